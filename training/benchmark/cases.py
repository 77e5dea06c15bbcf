"""The test set, patients with known lesions, and healthy people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from BrainSSLAnomalyLib.core.study import Modality, Study
from BrainSSLAnomalyLib.imageio import read_scan
from numpy.typing import NDArray

from ..data.files import DATA, load

EVALUATION = DATA / "evaluation"
F, T1, T1C, T2, PD = Modality.FLAIR, Modality.T1, Modality.T1C, Modality.T2, Modality.PD


@dataclass(frozen=True)
class Case:
    """One patient with one set of modalities.

    Attributes:
        name: for the table.
        group: for the table.
        scans: modality → file.
        truth: file in which everything above 0 is lesion, on the grid of the reference; None for a
            healthy person.
    """

    name: str
    group: str
    scans: dict[Modality, Path]
    truth: Path | None = None

    @property
    def contrasts(self) -> str:
        """The modalities, e.g. ``FLAIR+T2+T1``."""
        return "+".join(m.value for m in self.scans)

    def study(self) -> Study:
        """Read the study as users' scans are read."""
        return Study({m: read_scan(path, m) for m, path in self.scans.items()})

    def lesion(self) -> NDArray[np.bool_] | None:
        """Read the lesion, (k, j, i) bool."""
        return None if self.truth is None else load(self.truth).array > 0


_PATIENTS: tuple[tuple[str, str, str, tuple[Modality, ...]], ...] = (
    ("ms_26", "ms", "mask", (F, T2, T1)),
    ("wml_301D00252", "wml", "mask", (F, T2, T1, PD)),
    ("wml_301D00262", "wml", "mask", (F, T2, T1, PD)),
    ("wml_301D00293", "wml", "mask", (F, T2, T1, PD)),
    ("wml_301D00373", "wml", "mask", (F, T2, T1, PD)),
    ("wml_302D10226", "wml", "mask", (F, T2, T1, PD)),
    ("wmh_2516038876", "wmh", "mask", (F,)),
    ("wmh_2516043217", "wmh", "mask", (F,)),
    ("glioma_0001", "glioma", "mask_classes", (F, T1C)),
    ("glioma_0003", "glioma", "mask_classes", (F, T1C)),
    ("glioma_DU7294", "glioma", "mask_automatic", (F, T2, T1, T1C)),
)

_SUBSETS = ((F,), (T2,), (T1,), (T2, T1), (F, T2, T1))


def patients(everything: bool = False) -> Iterator[Case]:
    """Yield patients with FLAIR alone, or with every set of modalities that is reported."""
    for name, group, truth, there in _PATIENTS:
        for subset in _SUBSETS if everything else _SUBSETS[:1]:
            if set(subset) <= set(there):
                files = {m: EVALUATION / name / f"{m.key}.nii.gz" for m in subset}
                yield Case(name, group, files, EVALUATION / name / f"{truth}.nii.gz")


def healthy(calibration: int = 5) -> Iterator[Case]:
    """Yield healthy people.

    They are single scans of other scanners, and some of the IXI subjects that set the T1
    calibration.
    """
    single = DATA / "healthy" / "singles"
    for name, modality in (("b", F), ("c", T2), ("d", T1)):
        yield Case(
            f"{name}_{modality.value}",
            "healthy",
            {modality: single / f"{name}_{modality.value}.nii.gz"},
        )
    for path in sorted((DATA / "healthy" / "ixi_t1_2mm" / "calibration").glob("*_T1.nii.gz"))[
        :calibration
    ]:
        yield Case(path.name.removesuffix("_T1.nii.gz"), "healthy, calibration", {T1: path})
