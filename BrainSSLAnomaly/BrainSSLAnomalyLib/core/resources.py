"""The files that ship with the package: beside the Slicer module, or inside the installed wheel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import DamagedModel


def resource(*parts: str) -> Path:
    """Return the path of a shipped file, e.g. ``resource("Anatomy", "regions.nii.gz")``.

    Raises:
        DamagedModel: it is missing.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package / "Resources", package.parent / "Resources"):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    name = "/".join(parts)
    raise DamagedModel(f"{name} is missing from the installation", "install the package again")


def read_json(path: Path) -> Any:
    """Return the content of a shipped JSON file.

    Raises:
        DamagedModel: it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DamagedModel(f"{path.name} is damaged", "install the package again") from error
