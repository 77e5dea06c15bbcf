"""Measure detection on the test set: ``python -m training.benchmark``."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from BrainSSLAnomalyLib import __version__
from BrainSSLAnomalyLib.core.settings import AnatomySource, DetectionSettings, DetectorName

from .cases import healthy, patients
from .measures import try_measure
from .results import Results, write
from .tables import case_cells, case_table, group_table, scan_table


def main(
    everything: Annotated[
        bool, typer.Option("--everything", help="Every set of modalities, not FLAIR alone.")
    ] = False,
    only: Annotated[str, typer.Option(help="Cases whose name contains this.")] = "",
    detector: Annotated[
        list[DetectorName] | None,
        typer.Option(help="Repeat to compare several.", show_default="auto"),
    ] = None,
    anatomy: Annotated[
        AnatomySource, typer.Option(help="What finds the brain and its parts.")
    ] = AnatomySource.NETWORK,
    evaluations: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How often the test set has been evaluated, this run included.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(min=1, help="Cases at once; seconds a case are then those of a busy machine."),
    ] = 1,
    output: Annotated[
        Path | None, typer.Option(help="Write the results as JSON too.", show_default=False)
    ] = None,
) -> None:
    """Measure detection with its default settings on the test set and on healthy people.

    Several detectors get the same cases in one run, which counts as one evaluation of the test set.
    """
    settings = DetectionSettings(anatomy=anatomy)
    cases = [c for c in [*patients(everything), *healthy()] if only in c.name]
    jobs = [
        (case, replace(settings, detector=name))
        for case in cases
        for name in dict.fromkeys(detector or (DetectorName.AUTO,))
    ]
    rows, failed = [], []
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        for outcome in pool.imap(try_measure, jobs):
            if isinstance(outcome, str):
                failed.append(outcome)
                typer.echo(outcome, err=True)
            else:
                rows.append(outcome)
                typer.echo(" ".join(case_cells(outcome)), err=True)
    if output:
        write(
            output,
            Results(
                tuple(rows),
                tuple(failed),
                evaluations,
                __version__,
                date.today().isoformat(),
                anatomy.value,
            ),
        )
    typer.echo("\n\n".join((case_table(rows), group_table(rows), scan_table(rows))))
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
