"""``python -m training.benchmark``: detect on every measuring case, and write the table."""

from __future__ import annotations

import json
import math
import multiprocessing
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from BrainSSLAnomalyLib.settings import AnatomySource, DetectionSettings
from rich.console import Console
from rich.table import Table

from .cases import healthy, patients
from .measures import Measured, measure

HEAD = ("case", "contrasts", "lesion ml", "found ml", "Dice", "best-cut Dice", "AP", "lesion outside ml", "findings", "p", "s", "GB")


def row(m: Measured) -> tuple[str, ...]:
    """As text, for the table."""
    numbers = (m.lesion_ml, m.found_ml, m.dice, m.best_dice, m.average_precision, m.outside_ml)
    text = ("" if math.isnan(v) else f"{v:.2f}" for v in numbers)
    return (m.case, m.contrasts, *text, str(m.findings), f"{m.p_value:.2f}", f"{m.seconds:.1f}", f"{m.peak_gb:.2f}")


def markdown(results: Sequence[Measured]) -> str:
    """The table as it stands in the README."""
    lines = ["| " + " | ".join(HEAD) + " |", "| --- " * len(HEAD) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row(m)) + " |" for m in results)])


def main(
    everything: Annotated[bool, typer.Option(help="Every set of modalities, not FLAIR alone.")] = False,
    only: Annotated[str, typer.Option(help="Cases whose name contains this.")] = "",
    network: Annotated[bool, typer.Option(help="With the anatomy network.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the results as JSON too.")] = None,
) -> None:
    """Measure detection with its default settings on every case that is kept for measuring only."""
    cases = [c for c in [*patients(everything), *healthy()] if only in c.name]
    settings = DetectionSettings(anatomy=AnatomySource.NETWORK if network else AnatomySource.ATLAS)
    results = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for result in pool.imap(partial(measure, settings=settings), cases):
            results.append(result)
            typer.echo(" ".join(row(result)), err=True)
    table = Table(*HEAD)
    for result in results:
        table.add_row(*row(result))
    Console().print(table)
    typer.echo(markdown(results))
    if output:
        output.write_text(json.dumps([asdict(r) for r in results], indent=2), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
