"""Where the files that ship lie, and how bundles are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from BrainSSLAnomalyLib.core.files import replacing_file, write_text
from BrainSSLAnomalyLib.core.resources import read_json
from BrainSSLAnomalyLib.network.bundle import METADATA
from torch import Tensor

RESOURCES = Path(__file__).resolve().parents[2] / "BrainSSLAnomaly" / "Resources"


def save_tensors(target: Path, tensors: Mapping[str, Tensor]) -> None:
    """Save tensors as safetensors, in a folder that is made if missing."""
    from safetensors.torch import save_file

    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(target) as partial:
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial)


def half_precision(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in half precision; integers stay as they are."""
    return {name: v.half() if v.is_floating_point() else v for name, v in weights.items()}


def write_json(target: Path, content: Any, indent: int | None = None) -> None:
    """Write a JSON file."""
    write_text(target, json.dumps(content, indent=indent) + "\n")


def update_metadata(bundle: Path, **entries: Any) -> None:
    """Put entries into the metadata of a bundle."""
    target = bundle.joinpath(*METADATA)
    content = {**read_json(target), **entries}
    write_json(target, content, indent=2)
