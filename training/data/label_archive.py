"""An archive of label maps to synthesise from: ``python -m training.data.label_archive``.

The 20 whole-head maps are turned upright (RAS), cut off 25 mm below the brain, and stored as one
byte a voxel with a table of FreeSurfer codes. Training needs this file, torch and numpy, and
nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from BrainSSLAnomalyLib.core.anatomy import Tissue
from BrainSSLAnomalyLib.core.files import replacing_file
from numpy.typing import NDArray

from .files import DATA, load_upright
from .labels import freesurfer_tissue_table

ARCHIVE = Path("results/labels.npz")
BELOW_MM, AROUND_MM = 25, 4


@dataclass(frozen=True)
class LabelArchive:
    """Upright label maps at 1 mm.

    Attributes:
        maps: each (k, j, i) uint8, index into ``codes``; axes rise to superior, anterior, right.
        codes: (n,) FreeSurfer code of every index; 0 is background.
    """

    maps: tuple[NDArray[np.uint8], ...]
    codes: NDArray[np.int64]


def read_head(path: Path) -> NDArray[np.int64]:
    """Read FreeSurfer codes (k, j, i), cropped to the head above the neck."""
    from scipy import ndimage

    codes = load_upright(path).astype(np.int64)
    tissues = freesurfer_tissue_table()[codes]
    brain = (tissues > 0) & (tissues <= Tissue.CEREBELLUM_CORTEX + 1) & (tissues != Tissue.CSF + 1)
    low = ndimage.find_objects(brain.astype(np.uint8))[0][0].start - BELOW_MM
    head = ndimage.find_objects((codes > 0).astype(np.uint8))[0]
    box = [slice(max(0, s.start - AROUND_MM), s.stop + AROUND_MM) for s in head]
    box[0] = slice(max(0, low), box[0].stop)
    return codes[tuple(box)]


def write(target: Path, most: int | None = None) -> None:
    """Write the archive (about 10 MB), of all label maps or of the first ``most``."""
    maps = [
        read_head(p)
        for p in sorted((DATA / "labels" / "synthseg").glob("training_seg_*.nii.gz"))[:most]
    ]
    codes = np.unique(np.concatenate([np.unique(m) for m in maps]))
    target.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"map_{n:02d}": np.searchsorted(codes, m).astype(np.uint8) for n, m in enumerate(maps)
    }
    with replacing_file(target) as partial:
        np.savez_compressed(partial, codes=codes, **arrays)  # type: ignore[arg-type]


def read(path: Path = ARCHIVE) -> LabelArchive:
    """Read the archive."""
    with np.load(path) as content:
        names = sorted(n for n in content.files if n.startswith("map_"))
        return LabelArchive(tuple(content[n] for n in names), content["codes"])


def main(target: Path = ARCHIVE) -> None:
    """Prepare the label maps."""
    write(target)
    size = f"{target.stat().st_size / 1e6:.1f} MB"
    print(f"{target}: {size}, {len(read(target).maps)} label maps")


if __name__ == "__main__":
    import typer

    typer.run(main)
