"""The bundle of the anatomy network: ``python -m training.release.anatomy_network WEIGHTS``.

Trained weights are put into the bundle in half precision, with their SHA-256 in the metadata. Ship
only what ``training.benchmark.anatomy`` finds better; version and changelog of the metadata are
written by hand.
"""

from __future__ import annotations

from pathlib import Path

import typer
from BrainSSLAnomalyLib.core.files import sha256
from BrainSSLAnomalyLib.network.anatomy import BUNDLE
from BrainSSLAnomalyLib.network.anatomy_network import AnatomyNetwork
from BrainSSLAnomalyLib.network.bundle import WEIGHTS
from safetensors.torch import load_file

from .bundle import RESOURCES, half_precision, save_tensors, update_metadata


def main(weights: Path, bundle: Path = RESOURCES / BUNDLE) -> None:
    """Replace the weights of the bundle."""
    values = load_file(weights)
    AnatomyNetwork().load_state_dict(values)
    target = bundle.joinpath(*WEIGHTS)
    save_tensors(target, half_precision(values))
    digest = sha256(target)
    update_metadata(bundle, weights_sha256=digest)
    typer.echo(f"{target}: {target.stat().st_size / 2**20:.2f} MiB, SHA-256 {digest}")


if __name__ == "__main__":
    typer.run(main)
