"""Bundles in MONAI's format: weights that load without pickle, checked by their SHA-256."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core.errors import DamagedModel
from ..core.resources import resource

WEIGHTS = ("models", "model.safetensors")
METADATA = ("configs", "metadata.json")


def read_metadata(bundle: str) -> dict[str, Any]:
    """Return the content of ``configs/metadata.json`` of a bundle in ``Resources``."""
    content: dict[str, Any] = json.loads(resource(bundle, *METADATA).read_text(encoding="utf-8"))
    return content


def load_weights(network: nn.Module, bundle: str) -> None:
    """Load the weights of a bundle in ``Resources``, stored in half precision, into a network.

    Raises:
        FileNotFoundError: the installation is incomplete.
        DamagedModel: another SHA-256 than that in the metadata, or weights of another network.
    """
    try:
        network.load_state_dict(load_tensors(bundle))
    except RuntimeError as error:
        raise DamagedModel(
            f"the weights in {bundle} belong to another network", "install the package again"
        ) from error


def load_tensors(
    bundle: str, file: tuple[str, ...] = WEIGHTS, digest: str = "weights_sha256"
) -> dict[str, torch.Tensor]:
    """Return the tensors of a file of a bundle, in single precision (integers as they are).

    Args:
        bundle: name of the folder in ``Resources``.
        file: path inside the bundle.
        digest: entry of the metadata that holds the SHA-256 of the file.

    Raises:
        FileNotFoundError: the installation is incomplete.
        DamagedModel: another SHA-256 than that in the metadata.
    """
    from safetensors.torch import load

    content = resource(bundle, *file).read_bytes()
    if hashlib.sha256(content).hexdigest() != read_metadata(bundle)[digest]:
        raise DamagedModel(
            f"{file[-1]} in {bundle} is not the file that was shipped", "install the package again"
        )
    return {
        name: values.float() if values.is_floating_point() else values
        for name, values in load(content).items()
    }


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
