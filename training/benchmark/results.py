"""The results of one run, as a JSON file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from BrainSSLAnomalyLib.core.errors import BadResults
from BrainSSLAnomalyLib.core.files import write_text

from .lesionwise import LesionWise
from .measures import Measured

FORMAT = 1


@dataclass(frozen=True)
class Results:
    """Results of one run.

    Attributes:
        rows: every case with every detector.
        failed: a sentence for each that could not be measured.
        evaluations: of the test set so far, this run included; None where that is not recorded.
        version: of the package.
        written: date, ISO 8601.
        anatomy: what found the brain and its parts.
    """

    rows: tuple[Measured, ...]
    failed: tuple[str, ...] = ()
    evaluations: int | None = None
    version: str = ""
    written: str = ""
    anatomy: str = ""


def write(path: Path, results: Results) -> None:
    """Write results, whole or not at all.

    Lesion-wise figures stand beside their counts, for other readers; NaN is null.
    """
    content = {"format": FORMAT, **asdict(results), "rows": [_row(m) for m in results.rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")


def read(path: Path) -> Results:
    """Read what `write` wrote.

    Raises:
        BadResults: unreadable, or written by something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        rows = tuple(_measured(row) for row in content.pop("rows"))
        return Results(rows, tuple(content.pop("failed")), **content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        words = getattr(error, "strerror", None) or error
        raise BadResults(
            f"{path.name} holds no benchmark results ({words})",
            "run python -m training.benchmark --output again",
        ) from error


def _row(m: Measured) -> dict[str, Any]:
    figures = {
        k: {**asdict(w), "sensitivity": w.sensitivity, "precision": w.precision, "f1": w.f1}
        for k, w in m.lesionwise.items()
    }
    return {**asdict(m), "lesionwise": figures}


def _measured(row: dict[str, Any]) -> Measured:
    counts = {
        k: LesionWise(w["lesions"], w["detected"], w["regions"], w["correct"])
        for k, w in row.pop("lesionwise").items()
    }
    rest: dict[str, Any] = {k: math.nan if v is None else v for k, v in row.items()}
    return Measured(lesionwise=counts, **rest)


def _plain(value: Any) -> Any:
    """Replace NaN by None at any depth."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value
