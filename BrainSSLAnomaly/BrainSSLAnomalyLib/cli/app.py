"""The command line. A thin door: every number comes from the rooms behind it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from ..core.errors import BrainSSLAnomalyError, Cancelled
from ..core.progress import Progress
from ..core.settings import (
    SEED_ON_T1,
    AnatomySource,
    DetectionSettings,
    DetectorName,
    Device,
    ExplanationMethod,
    ExplanationStage,
    MorphologySettings,
    ScoreName,
    SegmentationSettings,
    ThresholdMethod,
    ThresholdSettings,
    default_segmentation,
)
from ..core.study import Modality
from . import interrupt as interruption

app = typer.Typer(
    help="Find what is unusual in a brain MRI. Research use only, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

Scan = Annotated[
    Path | None,
    typer.Option(help="Scan of this contrast: a file or a DICOM folder.", show_default=False),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder for the results.", show_default=False)
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace results that are already there.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the path of the report.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]
Method = Annotated[
    ThresholdMethod | None, typer.Option(help="How the score becomes a mask.", show_default=False)
]


def _number(flag: str, text: str, usual: str) -> Any:
    """An option that changes one number of the segmentation; ``usual`` is what ``detect`` takes without it."""
    return typer.Option(flag, help=text, show_default=f"with detect {usual}")


_CUT = f"{ThresholdSettings.threshold:g}, on T1 alone {SEED_ON_T1:g}"
Threshold = Annotated[
    float | None, _number("--threshold", "Cut on the anomaly score, 0 to 1.", _CUT)
]
Low = Annotated[
    float | None, _number("--low", "Lower cut of hysteresis, 0 to 1.", f"{ThresholdSettings.low:g}")
]
Percentile = Annotated[
    float | None, typer.Option(help="For --method percentile, 0 to 100.", show_default=False)
]
Zscore = Annotated[
    float | None, typer.Option(help="For --method robust-z, in SD.", show_default=False)
]
Opening = Annotated[
    float | None,
    _number("--opening-mm", "Radius of opening, in mm.", f"{MorphologySettings.opening_mm:g}"),
]
Closing = Annotated[
    float | None,
    _number("--closing-mm", "Radius of closing, in mm.", f"{MorphologySettings.closing_mm:g}"),
]
Dilation = Annotated[
    float | None,
    _number("--dilation-mm", "Radius of dilation, in mm.", f"{MorphologySettings.dilation_mm:g}"),
]
Erosion = Annotated[
    float | None,
    _number("--erosion-mm", "Radius of erosion, in mm.", f"{MorphologySettings.erosion_mm:g}"),
]
Fill = Annotated[
    bool | None,
    typer.Option(
        "--fill-holes/--keep-holes", help="Fill holes in three dimensions.", show_default=False
    ),
]
Smallest = Annotated[
    float | None,
    _number("--min-volume-ml", "Smallest finding, in ml.", f"{MorphologySettings.min_volume_ml:g}"),
]


@app.command()
def detect(
    scans: Annotated[
        list[Path] | None,
        typer.Argument(help="Scans whose contrast is guessed.", show_default=False),
    ] = None,
    flair: Scan = None,
    t1: Scan = None,
    t1c: Scan = None,
    t2: Scan = None,
    pd: Scan = None,
    output: Output = None,
    detector: Annotated[
        DetectorName, typer.Option(help="What computes the score.")
    ] = DetectorName.AUTO,
    anatomy: Annotated[
        AnatomySource, typer.Option(help="What finds the brain and its parts.")
    ] = AnatomySource.NETWORK,
    score: Annotated[
        ScoreName, typer.Option(help="Which score of the hybrid detector.")
    ] = ScoreName.FUSED,
    test_time: Annotated[
        bool,
        typer.Option(
            help="Hybrid: look at mirrored and gamma-changed copies too; three times slower."
        ),
    ] = False,
    explain: Annotated[bool, typer.Option(help="Hybrid: a Grad-CAM map of what is found.")] = True,
    device: Annotated[Device, typer.Option(help="Where networks run.")] = Device.AUTO,
    series: Annotated[
        str | None,
        typer.Option(help="Number, UID or description of a DICOM series.", show_default=False),
    ] = None,
    bias_correction: Annotated[bool, typer.Option(help="Correct the receive field by N4.")] = True,
    method: Method = None,
    threshold: Threshold = None,
    low: Low = None,
    percentile: Percentile = None,
    zscore: Zscore = None,
    opening: Opening = None,
    closing: Closing = None,
    dilation: Dilation = None,
    erosion: Erosion = None,
    fill_holes: Fill = None,
    min_volume_ml: Smallest = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Detect anomalies in one patient's scans, and write maps, mask, findings and report.

    Examples:

        brain-ssl-anomaly detect --flair flair.nii.gz --t1 t1.nii.gz

        brain-ssl-anomaly detect FLAIR.nrrd T2.nrrd --output results

        brain-ssl-anomaly detect --t1 dicom_folder --series 5
    """

    def changed(settings: SegmentationSettings) -> SegmentationSettings:
        return _changed(
            settings,
            method,
            threshold,
            low,
            percentile,
            zscore,
            opening,
            closing,
            dilation,
            erosion,
            fill_holes,
            min_volume_ml,
        )

    changed(
        default_segmentation([Modality.T1])
    )  # what no scan would make right is said before any is read
    given = {
        m: p
        for m, p in (
            (Modality.FLAIR, flair),
            (Modality.T1, t1),
            (Modality.T1C, t1c),
            (Modality.T2, t2),
            (Modality.PD, pd),
        )
        if p is not None
    }
    from ..imageio import read_study, staged_folder

    say = _speaker(quiet or as_json)
    first = next(iter([*given.values(), *(scans or [])]), Path("scan"))
    target = output or Path(f"{first.name.split('.')[0]}_anomalies")
    with staged_folder(target, overwrite) as stage, _progress(quiet or as_json) as progress:
        progress("Reading", 0.0)
        study = read_study(given, scans or [], series)
        for scan in study.scans.values():
            if scan.guessed_from:
                say(f"{scan.source} is taken as {scan.modality.value} (from {scan.guessed_from})")
        wanted = DetectionSettings(
            detector, bias_correction, anatomy, score, test_time, explain, device
        )
        result = _detect_into(
            stage, study, wanted, changed(default_segmentation(study.modalities)), progress, say
        )
    _announce(target, result, quiet, as_json)


@app.command()
def segment(
    result: Annotated[Path, typer.Argument(help="Folder that detect has written.")],
    method: Method = None,
    threshold: Threshold = None,
    low: Low = None,
    percentile: Percentile = None,
    zscore: Zscore = None,
    opening: Opening = None,
    closing: Closing = None,
    dilation: Dilation = None,
    erosion: Erosion = None,
    fill_holes: Fill = None,
    min_volume_ml: Smallest = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Redo mask, findings and report of a result, without detecting again. What is not given stays as it was.

    Example:

        brain-ssl-anomaly segment flair_anomalies --threshold 0.8 --min-volume-ml 0.05
    """
    from ..imageio import drop_explanations, read_results, write_segmentation
    from ..report import write_report
    from ..segmentation import segment as cut

    detection, saved, content = read_results(result)
    settings = _changed(
        saved,
        method,
        threshold,
        low,
        percentile,
        zscore,
        opening,
        closing,
        dilation,
        erosion,
        fill_holes,
        min_volume_ml,
    )
    segmentation = cut(detection, settings)
    with _update(result) as stage:
        write_segmentation(stage, detection.reference, segmentation, settings, content)
        write_report(stage, detection, segmentation, settings)
        drop_explanations(result)
    _announce(result, segmentation, quiet, as_json)


@app.command()
def report(
    result: Annotated[Path, typer.Argument(help="Folder that detect has written.")],
    quiet: Quiet = False,
) -> None:
    """Draw the report of a result again."""
    from ..imageio import read_results
    from ..report import write_report
    from ..segmentation import segment as cut

    detection, settings, _ = read_results(result)
    segmentation = cut(detection, settings)
    with _update(result) as stage:
        write_report(stage, detection, segmentation, settings)
    _announce(result, segmentation, quiet, False)


@app.command()
def explain(
    result: Annotated[Path, typer.Argument(help="Folder that detect has written.")],
    finding: Annotated[
        int | None, typer.Option(help="Number of the finding; all by default.", show_default=False)
    ] = None,
    stage: Annotated[
        ExplanationStage, typer.Option(help="Whose features are asked.")
    ] = ExplanationStage.DECODER,
    method: Annotated[
        ExplanationMethod, typer.Option(help="How gradients become weights.")
    ] = ExplanationMethod.GRADCAM,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.AUTO,
    scans: Annotated[
        list[Path] | None,
        typer.Option(help="Where the scans lie now, if moved.", show_default=False),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Show what the network sees in each finding: Grad-CAM, attention and a picture, in the folder explanations of the result.

    Example:

        brain-ssl-anomaly explain flair_anomalies --finding 1 --method hirescam
    """
    from ..explanation import explain_results

    with _progress(quiet) as progress:
        wanted = explain_results(
            result,
            finding,
            stage=stage,
            method=method,
            device=device,
            scans=scans or (),
            progress=progress,
        )
        for explanation, picture in wanted:
            print(
                f"{picture.resolve()}{' (the network sees nothing unusual there)' if explanation.empty and not quiet else ''}"
            )


@app.command()
def demo(
    output: Output = None,
    seed: Annotated[int, typer.Option(help="Same seed, same patient.")] = 0,
    detector: Annotated[
        DetectorName, typer.Option(help="What computes the score.")
    ] = DetectorName.AUTO,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make a synthetic patient with lesions of known place, detect them, and write the report."""
    import numpy as np

    from ..imageio import staged_folder, write_volume
    from ..phantom.patient import synthetic_patient

    target = output or Path("demo_anomalies")
    say = _speaker(quiet)
    with staged_folder(target, overwrite) as stage, _progress(quiet) as progress:
        progress("Making a synthetic patient", 0.0)
        study, truth = synthetic_patient(seed)
        (stage / "patient").mkdir()
        for modality, scan in study.scans.items():
            write_volume(stage / "patient" / f"{modality.key}.nii.gz", scan.volume, np.int16)
        write_volume(stage / "patient" / "true_lesions.nii.gz", truth, np.uint8)
        segmentation = _detect_into(
            stage, study, DetectionSettings(detector), SegmentationSettings(), progress, say
        )
    true = truth.array > 0
    dice = 2 * (segmentation.mask & true).sum() / max(1, segmentation.mask.sum() + true.sum())
    say(
        f"Dice with the lesions that were put in: {dice:.2f} (synthetic and easy; it shows that the program works, not how well)"
    )
    _announce(target, segmentation, quiet, False)


def main() -> None:
    """Entry point: one sentence for what users can mend (exit code 2), one for what they cannot (1)."""
    debug = "--debug" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    try:
        interruption.listen()
        code = app(arguments, standalone_mode=False)
        if code == 130:  # typer makes an exit code of Ctrl-C, in some versions
            _cancel()
    except (Cancelled, KeyboardInterrupt, typer.Abort):
        _cancel()
    except BrainSSLAnomalyError as error:
        if debug:
            raise
        _stop(str(error), 2)
    except Exception as error:
        if interruption.asked():  # a library made something else of it
            _cancel()
        if hasattr(error, "format_message"):  # the command line itself is wrong: click says how
            _stop(f"{error.format_message()} See --help.", 2)
        if debug:
            raise
        _stop(
            f"Something went wrong that should not ({type(error).__name__}: {error}): add --debug and report what it prints.",
            1,
        )
    raise SystemExit(code or 0)


def _stop(sentence: str, code: int) -> None:
    print(sentence, file=sys.stderr)
    raise SystemExit(code)


def _cancel() -> None:
    print(Cancelled(), file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(130)  # an orderly exit dies by the signal instead if it came during an import


def _detect_into(
    stage: Path,
    study: Any,
    detection_settings: DetectionSettings,
    settings: SegmentationSettings,
    progress: Progress,
    say: Callable[[str], None],
) -> Any:
    from ..detection.device_fallback import detect_anyway
    from ..imageio import write_results
    from ..report import write_report
    from ..segmentation import segment as cut

    detection = detect_anyway(
        study,
        detection_settings,
        lambda stage_name, fraction: progress(stage_name, 0.02 + 0.8 * fraction),
    )
    for warning in detection.warnings:
        say(f"Warning: {warning}")
    progress("Segmenting", 0.85)
    segmentation = cut(detection, settings)
    progress("Writing", 0.87)
    write_results(stage, detection, segmentation, settings, detection_settings)
    progress("Drawing the report", 0.93)
    write_report(stage, detection, segmentation, settings)
    progress("Done", 1.0)
    return segmentation


@contextmanager
def _update(folder: Path) -> Iterator[Path]:
    """Files written to a temporary folder, and moved over the old ones when all are there."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as name:
        yield Path(name)
        for path in Path(name).iterdir():
            os.replace(path, folder / path.name)


def _changed(
    settings: SegmentationSettings,
    method: ThresholdMethod | None,
    threshold: float | None,
    low: float | None,
    percentile: float | None,
    zscore: float | None,
    opening: float | None,
    closing: float | None,
    dilation: float | None,
    erosion: float | None,
    fill_holes: bool | None,
    min_volume_ml: float | None,
) -> SegmentationSettings:
    """The settings with what the user gave. A threshold below the lower one takes that down with it."""
    cut: dict[str, Any] = {
        "method": method,
        "threshold": threshold,
        "low": low,
        "percentile": percentile,
        "zscore": zscore,
    }
    clean: dict[str, Any] = {
        "opening_mm": opening, "closing_mm": closing, "dilation_mm": dilation, "erosion_mm": erosion,
        "fill_holes": fill_holes, "min_volume_ml": min_volume_ml,
    }  # fmt: skip
    cut = {k: v for k, v in cut.items() if v is not None}
    if threshold is not None and low is None and threshold < settings.threshold.low:
        cut["low"] = threshold
    new: ThresholdSettings = replace(settings.threshold, **cut)
    morphology: MorphologySettings = replace(
        settings.morphology, **{k: v for k, v in clean.items() if v is not None}
    )
    return SegmentationSettings(new, morphology)


def _announce(folder: Path, segmentation: Any, quiet: bool, as_json: bool) -> None:
    page = (folder / "report.html").resolve()
    if as_json:
        ml = sum(f.volume_ml for f in segmentation.findings)
        print(
            json.dumps(
                {
                    "version": __version__,
                    "folder": str(folder.resolve()),
                    "report": str(page),
                    "findings": len(segmentation.findings),
                    "total_volume_ml": round(ml, 4),
                    "scan_score": round(segmentation.scan_score, 4),
                }
            )
        )
    elif quiet:
        print(page)
    else:
        for f in segmentation.findings[:10]:
            print(
                f"{f.number:3d}. {f.place}, {f.volume_ml:.2f} ml, score {f.peak_score:.3f}, {f.deviations[0].words}"
            )
        more = len(segmentation.findings) - 10
        print(
            f"{'' if more <= 0 else f'and {more} more; '}{len(segmentation.findings)} findings. Research use only, not for diagnosis."
        )
        print(f"Report: {page}")


def _speaker(quiet: bool) -> Callable[[str], None]:
    return (lambda _: None) if quiet else print


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    if quiet or not sys.stderr.isatty():
        yield lambda stage, fraction: interruption.check()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Reading", total=1.0)

        def tell(stage: str, fraction: float) -> None:
            interruption.check()
            bar.update(task, description=stage, completed=fraction)

        yield tell
