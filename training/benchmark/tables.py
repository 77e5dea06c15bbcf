"""The tables of ``docs/evaluation.md``: ``python -m training.benchmark.tables RESULTS``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from BrainSSLAnomalyLib.core.errors import BadResults, BrainSSLAnomalyError
from BrainSSLAnomalyLib.core.files import write_text
from BrainSSLAnomalyLib.imageio import RESEARCH_USE

from .lesionwise import SMALL_ML, LesionWise
from .measures import Measured
from .results import Results, read
from .summary import FEWEST, LEVEL, RESAMPLES, SEED, Group, summarise_groups, summarise_scans

TARGET = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"
START, END = "<!-- benchmark -->", "<!-- /benchmark -->"

CASE_HEAD = (
    "case",
    "contrasts",
    "detector",
    "lesion ml",
    "found ml",
    "Dice",
    "best-cut Dice (oracle)",
    "AP",
    "lesions",
    "sensitivity",
    "precision",
    "F1",
    "lesion outside ml",
    "findings",
    "scan score",
    "p",
    "s",
    "GB",
)
GROUP_HEAD = (
    "group",
    "contrasts",
    "detector",
    "n",
    f"Dice ({LEVEL:.0%} interval)",
    "best-cut Dice (oracle)",
    "AP",
    "sensitivity",
    "precision",
    "F1",
    "false positives ml",
)
SIZE_HEAD = (
    "group",
    "contrasts",
    "detector",
    "size",
    "lesions",
    "sensitivity",
    "regions",
    "precision",
    "F1",
)
SCAN_HEAD = ("contrasts", "detector", "patients", "healthy", "AUROC")

PAGE = f"""# Evaluation

{RESEARCH_USE} These are the results on the test set and on healthy people. No
lesion of these patients was used for training, and no constant of a score or threshold was chosen
on them. Every detector gets the same scans, thresholds and post-processing. By default
(`--detector auto`) the network is used.

```sh
python -m training.benchmark --everything --detector statistical --detector hybrid \\
    --evaluations N --output results/benchmark.json
python -m training.benchmark.tables results/benchmark.json
```

* **Dice** and all lesion-wise figures are those of the mask at the default thresholds.
* **Best-cut Dice** uses the best threshold of each single patient, which is unknown in practice.
* **AP** is the average precision of the score over all voxels.
* **Sensitivity**, **precision** and **F1** count lesions: 26-connected components, detected by one
  voxel of overlap. **Regions** are the components of the mask.
* **Intervals** are bootstrapped over patients (percentile, {RESAMPLES:,} resamples, seed {SEED}).
  None is given for n < {FEWEST}.
* **False positives** are the median volume marked in healthy people. The group "healthy,
  calibration" has set the calibration itself, so the other healthy people count for more.
* **AUROC** is that of the scan score, the anomaly score that 0.1 ml of the brain reach, between all
  patients and all healthy people scanned with the same contrasts.

{START}
{END}
"""


def format_number(value: float) -> str:
    """Format two decimals, or a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def name_detector(m: Measured) -> str:
    """Name the detector, and what it has chosen where that has another name."""
    return m.detector if m.used == m.detector else f"{m.detector}: {m.used}"


def case_cells(m: Measured) -> tuple[str, ...]:
    """Format one line of the table of cases."""
    counts = m.lesionwise["all"]
    counted = ("–",) * 4 if m.healthy else (str(counts.lesions), *_figures(counts))
    scores = (
        format_number(v)
        for v in (m.lesion_ml, m.found_ml, m.dice, m.best_dice, m.average_precision)
    )
    rest = (
        format_number(m.outside_ml),
        str(m.findings),
        format_number(m.scan_score),
        format_number(m.p_value),
        f"{m.seconds:.1f}",
        format_number(m.peak_gb),
    )
    return (m.case, m.contrasts, name_detector(m), *scores, *counted, *rest)


def group_cells(g: Group) -> tuple[str, ...]:
    """Format one line of the table of groups."""
    dice = format_number(g.dice) + (
        f" ({g.dice_interval[0]:.2f} to {g.dice_interval[1]:.2f})" if g.dice_interval else ""
    )
    rest = (g.best_dice, g.average_precision, g.sensitivity, g.precision, g.f1, g.false_positive_ml)
    return (g.group, g.contrasts, g.detector, str(g.n), dice, *(format_number(v) for v in rest))


def format_markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines))


def case_table(rows: Iterable[Measured]) -> str:
    """Format every case with every detector."""
    return format_markdown(CASE_HEAD, (case_cells(m) for m in rows))


def group_table(rows: Sequence[Measured]) -> str:
    """Format every group with every detector."""
    return format_markdown(GROUP_HEAD, (group_cells(g) for g in summarise_groups(rows)))


def size_table(rows: Sequence[Measured]) -> str:
    """Format small and large lesions of every group of patients, counted together."""
    lines = []
    for g in summarise_groups([m for m in rows if not m.healthy]):
        for size, counts in (
            (f"below {SMALL_ML:g} ml", g.small),
            (f"from {SMALL_ML:g} ml", g.large),
        ):
            sensitivity, precision, f1 = _figures(counts)
            figures = (str(counts.lesions), sensitivity, str(counts.regions), precision, f1)
            lines.append((g.group, g.contrasts, g.detector, size, *figures))
    return format_markdown(SIZE_HEAD, lines)


def scan_table(rows: Sequence[Measured]) -> str:
    """Format every set of modalities with every detector."""
    return format_markdown(
        SCAN_HEAD,
        (
            (s.contrasts, s.detector, str(s.patients), str(s.healthy), format_number(s.auroc))
            for s in summarise_scans(rows)
        ),
    )


def format_page(results: Results, evaluations: int | None = None) -> str:
    """Format what stands between the markers.

    Args:
        results: of one run.
        evaluations: of the test set, where the results do not state them.
    """
    evaluations = results.evaluations if evaluations is None else evaluations
    times = (
        "an unrecorded number of times"
        if evaluations is None
        else "once"
        if evaluations == 1
        else f"{evaluations} times"
    )
    parts = [
        f"Version {results.version}, {results.written}, anatomy by the {results.anatomy}. "
        f"The test set has been evaluated {times}, this run included.",
        *(
            [
                "Not measured:\n\n"
                + "\n".join(f"* {' '.join(words.split())}" for words in results.failed)
            ]
            if results.failed
            else []
        ),
        "## Groups\n\n" + group_table(results.rows),
        "## Scans as a whole\n\n" + scan_table(results.rows),
        "## Lesions by size\n\n" + size_table(results.rows),
        "## Cases\n\n" + case_table(results.rows),
    ]
    return "\n\n".join(parts)


def replace_between_markers(text: str, body: str) -> str:
    """Replace what stands between the markers of a text.

    Raises:
        BadResults: not exactly one pair of markers.
    """
    head, start, rest = text.partition(START)
    _, end, tail = rest.partition(END)
    if not (start and end) or START in rest or END in head + tail:
        raise BadResults(
            f"the page does not hold one {START} followed by one {END}",
            "put them back, or delete the page",
        )
    return f"{head}{START}\n\n{body}\n\n{END}{tail}"


def rewrite(target: Path, body: str, page: str = PAGE) -> None:
    """Replace the tables of a page, or make the page; whole or not at all."""
    text = target.read_text(encoding="utf-8") if target.exists() else page
    write_text(target, replace_between_markers(text, body))


def main(
    results: Annotated[
        Path, typer.Argument(help="What python -m training.benchmark --output has written.")
    ],
    target: Annotated[
        Path,
        typer.Option(
            help="Page whose tables are replaced; made if it does not exist.", show_default=False
        ),
    ] = TARGET,
    evaluations: Annotated[
        int | None,
        typer.Option(min=1, help="How often the test set has been evaluated.", show_default=False),
    ] = None,
) -> None:
    """Rewrite the tables of the evaluation page."""
    try:
        rewrite(target, format_page(read(results), evaluations))
    except BrainSSLAnomalyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    typer.echo(target)


def _figures(counts: LesionWise) -> tuple[str, str, str]:
    return (
        format_number(counts.sensitivity),
        format_number(counts.precision),
        format_number(counts.f1),
    )


if __name__ == "__main__":
    typer.run(main)
