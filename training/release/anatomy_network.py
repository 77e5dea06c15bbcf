"""The bundle of the anatomy network: ``python -m training.release.anatomy_network WEIGHTS``.

Trained weights are put into the bundle in half precision, with their SHA-256 in the metadata. Ship
only what ``training.benchmark.anatomy`` finds better; version and changelog of the metadata are
written by hand.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
import typer
from BrainSSLAnomalyLib.network.anatomy import BUNDLE, AnatomyNetwork
from BrainSSLAnomalyLib.network.bundle import METADATA, WEIGHTS, sha256
from safetensors.torch import load_file, save_file

RESOURCES = Path(__file__).resolve().parents[2] / "BrainSSLAnomaly" / "Resources"


def main(weights: Path, bundle: Path = RESOURCES / BUNDLE) -> None:
    """Replace the weights of the bundle."""
    values = load_file(weights)
    AnatomyNetwork().load_state_dict(values)
    target, about = bundle.joinpath(*WEIGHTS), bundle.joinpath(*METADATA)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".partial-{target.name}")
    save_file({name: v.to(torch.float16) for name, v in values.items()}, partial)
    content = json.loads(about.read_text(encoding="utf-8"))
    content["weights_sha256"] = sha256(partial)
    os.replace(partial, target)
    about.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    typer.echo(
        f"{target}: {target.stat().st_size / 2**20:.2f} MiB, SHA-256 {content['weights_sha256']}"
    )


if __name__ == "__main__":
    typer.run(main)
