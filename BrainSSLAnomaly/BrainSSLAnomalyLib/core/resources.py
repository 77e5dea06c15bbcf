"""Where the files lie that ship with the package: beside the Slicer module, or inside the installed wheel."""

from __future__ import annotations

from pathlib import Path


def resource(*parts: str) -> Path:
    """Path of a shipped file, e.g. ``resource("Anatomy", "regions.nii.gz")``.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    here = Path(__file__).resolve().parents[1]
    for root in (here / "Resources", here.parent / "Resources"):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(
        f"{'/'.join(parts)} is missing from the installation; install the package again"
    )
