"""The contrast of a scan, guessed from its name or its DICOM tags."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..core.study import Modality

_NAMES: tuple[tuple[Modality, str], ...] = (
    (Modality.FLAIR, r"flair|dark.?fluid|tirm"),
    (
        Modality.T1C,
        r"t1(w|_?mprage)?[-_ .+]*(c|ce|gd|gad|post|km|kontrast|contrast)(?![a-z])"
        r"|post[-_ ]?(gd|contrast)[-_ ]*t1|t1(c|ce|gd)w?",
    ),
    (Modality.T1, r"t1|mp2?rage|bravo|fspgr|tfe3d"),
    (Modality.PD, r"(?<![a-z])pdw?(?![a-z])|proton"),
    (Modality.T2, r"t2(?!\W?(star|\*))"),
)


def guess_from_name(name: str) -> Modality | None:
    """Guess the contrast from a file name or a series description; masks and labels have none.

    FLAIR is tried first, since ``t2_flair`` is a FLAIR.
    """
    low = name.lower()
    if re.search(r"(?<![a-z])(mask|label|labels|seg|segmentation|lesions?)(?![a-z])", low):
        return None
    for modality, pattern in _NAMES:
        if re.search(rf"(?<![a-z0-9])({pattern})" if modality is not Modality.PD else pattern, low):
            return modality
    return None


def guess_from_tags(tags: Mapping[str, object]) -> tuple[Modality, str] | None:
    """Guess the contrast from DICOM attributes: description, then echo and inversion times (ms).

    Returns:
        The modality, and the name of what it was guessed from.
    """
    contrast = bool(str(tags.get("ContrastBolusAgent", "")).strip())
    for name in ("SeriesDescription", "ProtocolName"):
        modality = guess_from_name(str(tags.get(name, "")))
        if modality is Modality.T1 and contrast:
            return Modality.T1C, f"DICOM {name} and ContrastBolusAgent"
        if modality is not None:
            return modality, f"DICOM {name}"
    try:
        echo, repetition = float(str(tags["EchoTime"])), float(str(tags["RepetitionTime"]))
        inversion = float(str(tags.get("InversionTime") or 0))
    except (KeyError, ValueError):
        return None
    if echo > 60 and inversion > 1500:
        return Modality.FLAIR, "DICOM echo and inversion times"
    if echo < 30 and repetition < 3000 and (repetition < 1000 or inversion > 0):
        return (Modality.T1C if contrast else Modality.T1), "DICOM echo and repetition times"
    if echo > 60 and repetition > 2000:
        return Modality.T2, "DICOM echo and repetition times"
    if echo < 40 and repetition > 2000:
        return Modality.PD, "DICOM echo and repetition times"
    return None
