"""Synthetic scans beside real ones: ``python -m training.synthesis.contact_sheet``.

The page is for the eye and stays out of the repository, since it shows real scans.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import typer
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.preparation.canonical import canonical_copy
from numpy.typing import NDArray

from ..data.files import DATA, load
from ..data.label_archive import ARCHIVE, read
from .generator import GeneratorSettings, ScanGenerator

REAL = {Modality.T1: "d_T1", Modality.T2: "a_T2", Modality.FLAIR: "a_FLAIR"}
SPACING = 1.5


def real_plane(modality: Modality) -> NDArray[np.float32]:
    """Return an axial plane of a healthy head, upright: (anterior, right) rising."""
    volume = canonical_copy(
        load(DATA / "healthy" / "singles" / f"{REAL[modality]}.nii.gz"), SPACING
    ).array
    plane: NDArray[np.float32] = volume[int(0.62 * volume.shape[0])]
    return plane


def synthetic_planes(seed: int, at_random: float, stripped: float) -> Iterator[NDArray[np.float32]]:
    """Yield the same plane of one synthetic patient, contrast after contrast."""
    settings = GeneratorSettings(
        (112, 144, 128), SPACING, tuple(REAL), at_random=at_random, stripped=stripped
    )
    sample = ScanGenerator(read(ARCHIVE), settings)(1, torch.Generator().manual_seed(seed))
    for image in sample.images[0]:
        yield image[60].numpy()


def main(output: Path = Path("results/contact_sheet.png"), rows: int = 6, seed: int = 0) -> None:
    """Draw a sheet: first row real, then typical contrasts, then half of them at random."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(REAL), 3 * (rows + 1)), facecolor="black")
    axes = figure.subplots(rows + 1, len(REAL))
    for row in range(rows + 1):
        planes = (
            [real_plane(m) for m in REAL]
            if row == 0
            else list(synthetic_planes(seed + row, 0.0 if row <= rows / 2 else 0.5, 0.4))
        )
        for ax, plane, modality in zip(axes[row], planes, REAL, strict=True):
            ax.imshow(
                plane[:, ::-1],
                cmap="gray",
                vmin=0,
                vmax=float(np.percentile(plane, 99)),
                origin="lower",
            )
            ax.set_title(
                f"{modality.value}, {'real' if row == 0 else 'synthetic'}",
                color="white",
                fontsize=8,
            )
            ax.set_axis_off()
    figure.tight_layout()
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=60)
    typer.echo(f"{output}")


if __name__ == "__main__":
    typer.run(main)
