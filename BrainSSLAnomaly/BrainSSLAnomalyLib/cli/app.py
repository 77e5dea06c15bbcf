"""The commands of ``brain-ssl-anomaly``: thin, every number comes from the rooms behind them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import AmbiguousInput, BrainSSLAnomalyError, Cancelled
from ..core.progress import Progress, StageClock
from ..core.results import Segmentation
from ..core.settings import (
    DetectionSettings,
    DetectorName,
    Device,
    ExplanationMethod,
    ExplanationStage,
    SegmentationSettings,
    default_segmentation,
)
from ..core.study import Modality, Study
from ..core.version import __version__
from . import interrupt
from .options import SegmentationChanges, with_detection_options, with_segmentation_options
from .output import print_result, printer, progress_bar

READ = "Reading"
DRAW = "Drawing a synthetic patient"
SEGMENT = "Segmenting"
WRITE = "Writing"
REPORT = "Drawing the report"
"""Stages of the commands, beside those of a detection."""

app = typer.Typer(
    help="Find what is unusual in a brain MRI. Research use only, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

ScanOption = Annotated[
    list[Path] | None,
    typer.Option(help="Scan of this contrast: a file or a DICOM folder.", show_default=False),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder for the results.", show_default=False),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace results that are already there.")
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only the path of the report.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]
ResultArgument = Annotated[Path, typer.Argument(help="Folder of results, written by detect.")]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"brain-ssl-anomaly {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[  # `main` takes it out, wherever it stands
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Find what is unusual in a brain MRI. Research use only, not for diagnosis."""


@app.command()
@with_segmentation_options
@with_detection_options
def detect(
    *,
    scans: Annotated[
        list[Path] | None,
        typer.Argument(help="Scans whose contrast is guessed.", show_default=False),
    ] = None,
    flair: ScanOption = None,
    t1: ScanOption = None,
    t1c: ScanOption = None,
    t2: ScanOption = None,
    pd: ScanOption = None,
    series: Annotated[
        str | None,
        typer.Option(help="Number, UID or description of a DICOM series.", show_default=False),
    ] = None,
    output: OutputOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    settings: DetectionSettings,
    changes: SegmentationChanges,
) -> None:
    """Detect anomalies in one patient's scans, and write maps, mask, findings and report.

    Examples:
        brain-ssl-anomaly detect --flair flair.nii.gz --t1 t1.nii.gz

        brain-ssl-anomaly detect FLAIR.nrrd T2.nrrd --output results

        brain-ssl-anomaly detect --t1 dicom_folder --series 5
    """
    changes.apply(default_segmentation([Modality.T1]))  # refused before any scan is read
    named = {
        Modality.FLAIR: flair,
        Modality.T1: t1,
        Modality.T1C: t1c,
        Modality.T2: t2,
        Modality.PD: pd,
    }
    given = {modality: _only_one(modality, paths) for modality, paths in named.items() if paths}
    from ..imageio import read_study, results_folder

    say = printer(is_quiet=quiet or as_json)
    first = next(iter([*given.values(), *(scans or [])]), Path("scan"))
    target = output or Path(f"{first.name.split('.')[0]}_anomalies")
    with (
        results_folder(target, overwrite=overwrite) as stage,
        progress_bar(is_quiet=quiet or as_json) as progress,
    ):
        clock = StageClock()
        progress(READ, 0.0)
        with clock.stage(READ):
            study = read_study(given, scans or [], series)
        for scan in study.scans.values():
            if scan.guessed_from:
                contrast = scan.modality.value
                say(f"{scan.source} is taken as {contrast} (from {scan.guessed_from})")
        segmentation_settings = changes.apply(default_segmentation(study.modalities))
        result = _detect_into(
            stage, study, settings, segmentation_settings, clock=clock, progress=progress, say=say
        )
    print_result(target, result, is_quiet=quiet, as_json=as_json)


@app.command()
@with_segmentation_options
def segment(
    *,
    result: ResultArgument,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    changes: SegmentationChanges,
) -> None:
    """Redo mask, findings and report of a result, without detecting again.

    Options that are not given stay as they were.

    Example:
        brain-ssl-anomaly segment flair_anomalies --threshold 0.8 --min-volume-ml 0.05
    """
    from ..core.files import replacing_files
    from ..imageio import read_results, remove_explanations, write_segmentation
    from ..report import write_report
    from ..segmentation import segment as segment_detection

    saved = read_results(result)
    settings = changes.apply(saved.settings)
    segmentation = segment_detection(saved.detection, settings)
    with replacing_files(result) as stage:
        write_segmentation(stage, saved.detection.reference, segmentation, settings, saved.record)
        write_report(stage, saved.detection, segmentation, settings)
    remove_explanations(result)
    print_result(result, segmentation, is_quiet=quiet, as_json=as_json)


@app.command()
def report(result: ResultArgument, quiet: QuietOption = False) -> None:
    """Draw the report of a result again."""
    from ..core.files import replacing_files
    from ..imageio import read_results
    from ..report import write_report
    from ..segmentation import segment as segment_detection

    saved = read_results(result)
    segmentation = segment_detection(saved.detection, saved.settings)
    with replacing_files(result) as stage:
        write_report(stage, saved.detection, segmentation, saved.settings)
    print_result(result, segmentation, is_quiet=quiet, as_json=False)


@app.command()
def explain(
    result: ResultArgument,
    finding: Annotated[
        int | None,
        typer.Option(help="Number of one finding; all by default.", show_default=False),
    ] = None,
    stage: Annotated[
        ExplanationStage, typer.Option(help="Features of the network that are used.")
    ] = ExplanationStage.CONVOLUTION,
    method: Annotated[
        ExplanationMethod, typer.Option(help="How gradients become weights.")
    ] = ExplanationMethod.HIRESCAM,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.AUTO,
    scans: Annotated[
        list[Path] | None,
        typer.Option(help="Where the scans are now, if they were moved.", show_default=False),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Explain each finding by the network: class activation map, attention and a figure.

    They are written into the folder explanations of the result.

    Example:
        brain-ssl-anomaly explain flair_anomalies --finding 1 --method hirescam
    """
    from ..explanation import explain_results

    with progress_bar(is_quiet=quiet) as progress:
        explained = explain_results(
            result,
            finding,
            stage=stage,
            method=method,
            device=device,
            scans=scans or (),
            progress=progress,
        )
        count = 0
        for explanation, picture in explained:
            count += 1
            empty = " (nothing in the network supports an anomaly there)"
            note = empty if explanation.is_empty and not quiet else ""
            print(f"{picture.resolve()}{note}")
    if not count and not quiet:
        print("There are no findings to explain.")


@app.command()
def demo(
    output: OutputOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same patient.")] = 0,
    detector: Annotated[
        DetectorName, typer.Option(help="What computes the anomaly score.")
    ] = DetectorName.AUTO,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw a synthetic patient with lesions of known place, detect them, and write the report."""
    import numpy as np

    from ..imageio import results_folder, write_volume
    from ..imageio.locate import DEMO_SCANS
    from ..phantom import synthetic_patient

    target = output or Path("demo_anomalies")
    say = printer(is_quiet=quiet)
    with (
        results_folder(target, overwrite=overwrite) as stage,
        progress_bar(is_quiet=quiet) as progress,
    ):
        clock = StageClock()
        progress(DRAW, 0.0)
        with clock.stage(DRAW):
            study, truth = synthetic_patient(seed)
        (stage / DEMO_SCANS).mkdir()
        for modality, scan in study.scans.items():
            path = stage / DEMO_SCANS / f"{modality.key}.nii.gz"
            write_volume(path, scan.volume, np.int16)
        write_volume(stage / DEMO_SCANS / "true_lesions.nii.gz", truth, np.uint8)
        settings = DetectionSettings(detector=detector)
        segmentation = _detect_into(
            stage, study, settings, SegmentationSettings(), clock=clock, progress=progress, say=say
        )
    lesions = truth.array > 0
    overlap = 2 * int((segmentation.mask & lesions).sum())
    dice = overlap / max(1, int(segmentation.mask.sum() + lesions.sum()))
    say(
        f"Dice with the true lesions: {dice:.2f} (synthetic and easy; it shows that the program "
        "works, not how well)"
    )
    print_result(target, segmentation, is_quiet=quiet, as_json=False)


def main() -> None:
    """Run the command line: exit code 2 and one sentence for what users can mend, else 1."""
    is_debug = "--debug" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    try:
        interrupt.install_handler()
        code = app(arguments, standalone_mode=False)
        if code == 130:  # some versions of typer make an exit code of Ctrl-C
            _exit_cancelled()
    except (Cancelled, KeyboardInterrupt, typer.Abort):
        _exit_cancelled()
    except BrainSSLAnomalyError as error:
        if is_debug:
            raise
        _exit(str(error), 2)
    except PermissionError as error:
        if is_debug:
            raise
        where = Path(error.filename or "a folder").parent.name or "the folder"
        _exit(f"{where} cannot be written to: choose a folder that you may write to.", 2)
    except Exception as error:
        if interrupt.was_pressed():  # a library made another exception of it
            _exit_cancelled()
        if hasattr(error, "format_message"):  # the command line itself is wrong
            wrong = error.format_message().rstrip(".")
            _exit(f"{wrong}. See --help." if wrong else "See --help.", 2)
        if is_debug:
            raise
        _exit(
            f"Something went wrong that should not ({type(error).__name__}: {error}): add --debug "
            "and report what it prints.",
            1,
        )
    raise SystemExit(code or 0)


def _exit(sentence: str, code: int) -> None:
    print(sentence, file=sys.stderr)
    raise SystemExit(code)


def _exit_cancelled() -> None:
    print(Cancelled(), file=sys.stderr, flush=True)
    sys.stdout.flush()
    # An orderly exit would die by the signal instead if it came during an import.
    os._exit(130)


def _only_one(modality: Modality, paths: list[Path]) -> Path:
    """Return the scan of a contrast; a second one would silently replace the first."""
    if len(paths) > 1:
        raise AmbiguousInput(
            f"--{modality.key} is given {len(paths)} times", "give one scan of each contrast"
        )
    return paths[0]


def _detect_into(
    folder: Path,
    study: Study,
    detection_settings: DetectionSettings,
    settings: SegmentationSettings,
    *,
    clock: StageClock,
    progress: Progress,
    say: Callable[[str], None],
) -> Segmentation:
    """Detect, segment, and write everything into a folder, with the time of every stage."""
    from ..core.memory import peak_memory_mb
    from ..detection.device_fallback import detect_with_fallback
    from ..imageio import write_results, write_times
    from ..report import write_report
    from ..segmentation import segment as segment_detection

    def report_detection(stage: str, fraction: float) -> None:
        progress(stage, 0.02 + 0.8 * fraction)

    detection = detect_with_fallback(study, detection_settings, report_detection)
    detection = replace(detection, times={**clock.times, **detection.times})
    for warning in detection.warnings:
        say(f"Warning: {warning}")
    progress(SEGMENT, 0.85)
    with clock.stage(SEGMENT):
        segmentation = segment_detection(detection, settings)
    progress(WRITE, 0.87)
    with clock.stage(WRITE):
        write_results(folder, detection, segmentation, settings)
    progress(REPORT, 0.93)
    with clock.stage(REPORT):
        write_report(folder, detection, segmentation, settings)
    write_times(folder, {**detection.times, **clock.times}, peak_memory_mb())
    progress("Done", 1.0)
    return segmentation
