"""Bundles in MONAI's format: weights that load without pickle, checked by their SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DamagedModel
from ..core.resources import read_json, resource

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = ("models", "model.safetensors")
METADATA = ("configs", "metadata.json")

WEIGHTS_DIGEST = "weights_sha256"
"""Entry of the metadata: the SHA-256 of the weights."""

GRAPHS = "graphs"
"""Entry of the metadata: for each ONNX graph its SHA-256, and the weights that it does not use."""


def read_metadata(bundle: str) -> dict[str, Any]:
    """Return the content of ``configs/metadata.json`` of a bundle in ``Resources``."""
    content: dict[str, Any] = read_json(resource(bundle, *METADATA))
    return content


def load_weights(network: nn.Module, bundle: str) -> None:
    """Load the weights of a bundle in ``Resources`` into a network of PyTorch.

    Raises:
        DamagedModel: the installation is incomplete, the SHA-256 is not that in the metadata, or
            the weights are those of another network.
    """
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in load_arrays(bundle).items()}
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise DamagedModel(
            f"the weights in {bundle} belong to another network", "install the package again"
        ) from error


def load_arrays(
    bundle: str, file: tuple[str, ...] = WEIGHTS, digest: str = WEIGHTS_DIGEST
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file of a bundle, in single precision (integers as they are).

    Args:
        bundle: name of the folder in ``Resources``.
        file: path inside the bundle.
        digest: entry of the metadata that holds the SHA-256 of the file.

    Raises:
        DamagedModel: the installation is incomplete, or another SHA-256 than that in the metadata.
    """
    from safetensors.numpy import load

    content = _checked(resource(bundle, *file), read_metadata(bundle)[digest], bundle)
    return {
        name: values.astype(np.float32) if np.issubdtype(values.dtype, np.floating) else values
        for name, values in load(content).items()
    }


def graph_path(name: str) -> tuple[str, ...]:
    """Return the path of an ONNX graph inside a bundle."""
    return ("models", f"{name}.onnx")


class Graph(NamedTuple):
    """Hold an ONNX graph.

    Attributes:
        content: the bytes of the model.
        unused: names of those weights of the bundle that it does not use; None if it has weights
            of its own.
    """

    content: bytes
    unused: tuple[str, ...] | None


def load_graph(bundle: str, name: str) -> Graph:
    """Return an ONNX graph of a bundle.

    Raises:
        DamagedModel: the installation is incomplete, or another SHA-256 than that in the metadata.
    """
    entry: Mapping[str, Any] = read_metadata(bundle)[GRAPHS][name]
    content = _checked(resource(bundle, *graph_path(name)), entry["sha256"], bundle)
    unused = entry["unused"]
    return Graph(content, None if unused is None else tuple(unused))


def _checked(path: Path, digest: str, bundle: str) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise DamagedModel(
            f"{path.name} in {bundle} is not the file that was shipped", "install the package again"
        )
    return content
