"""Batch normalisation folded into the convolutions before it, which changes no result."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-5
"""PyTorch's: added to the variances."""

_NORM_WEIGHT = re.compile(r"(.*\.)norm(\d)\.weight")


def fold_batch_norm(weights: Mapping[str, NDArray]) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a network whose convolutions do the work of their normalisation.

    In MONAI's residual blocks ``norm1`` follows ``conv1.conv``, and so on.

    Args:
        weights: by name, as the network was trained.

    Returns:
        Weights by name: convolutions have a bias, and no batch normalisation is left.
    """
    folded = {name: w.astype(np.float32) for name, w in weights.items() if w.dtype.kind == "f"}
    for name in weights:
        match = _NORM_WEIGHT.fullmatch(name)
        if match and f"{match[1]}norm{match[2]}.running_var" in weights:
            _fold_one(folded, f"{match[1]}conv{match[2]}.conv", f"{match[1]}norm{match[2]}")
    return folded


def _fold_one(weights: dict[str, NDArray[np.float32]], convolution: str, norm: str) -> None:
    scale, shift, mean, variance = (
        weights.pop(f"{norm}.{part}") for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / np.sqrt(variance + EPSILON)
    kernel = weights[f"{convolution}.weight"]
    weights[f"{convolution}.weight"] = kernel * factor.reshape(-1, *(1,) * (kernel.ndim - 1))
    weights[f"{convolution}.bias"] = shift - mean * factor
