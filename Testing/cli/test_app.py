"""The command line does what its help says, and fails in one sentence leaving nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from BrainSSLAnomalyLib import __version__
from BrainSSLAnomalyLib.core.errors import Cancelled
from BrainSSLAnomalyLib.core.settings import T1_THRESHOLD
from BrainSSLAnomalyLib.imageio import write_volume
from BrainSSLAnomalyLib.phantom import synthetic_patient
from support.command_line import PATIENCE_SECONDS, QUICK, run
from support.malformed import MALFORMED
from support.phantoms import phantom

PROMISED = (
    "anomaly_score.nii.gz",
    "anomaly_mask.nii.gz",
    "brain_mask.nii.gz",
    "zscore_flair.nii.gz",
    "zscore_t1.nii.gz",
    "findings.csv",
    "regions.csv",
    "result.json",
    "report.html",
)


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    study, truth = synthetic_patient(1, spacing=2.0)
    for modality, scan in study.scans.items():
        write_volume(folder / f"{modality.key}.nii.gz", scan.volume, np.int16)
    write_volume(folder / "truth.nii.gz", truth, np.uint8)
    return folder


@pytest.fixture(scope="module")
def detected(scans, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("detected") / "result"
    done = run("detect", "--flair", scans / "flair.nii.gz", scans / "t1.nii.gz", "--output", folder)
    assert done.returncode == 0, done.stderr
    assert "t1.nii.gz is taken as T1 (from file name)" in done.stdout
    assert "Research use only" in done.stdout and str(folder / "report.html") in done.stdout
    return folder


def test_detect_writes_everything_promised_on_the_reference_grid(detected, scans):
    reference = nib.loadsave.load(scans / "flair.nii.gz")
    for name in PROMISED:
        assert (detected / name).stat().st_size > 0
        if name.endswith(".nii.gz"):
            image = nib.loadsave.load(detected / name)
            assert image.shape == reference.shape and np.allclose(image.affine, reference.affine)
    score = np.asarray(nib.loadsave.load(detected / "anomaly_score.nii.gz").dataobj)
    assert score.min() >= 0 and 0.5 < score.max() <= 1
    assert not [p for p in detected.parent.iterdir() if "partial" in p.name]


def test_the_lesions_of_the_synthetic_patient_are_found(detected, scans):
    mask, truth = (
        np.asarray(nib.loadsave.load(p).dataobj) > 0
        for p in (detected / "anomaly_mask.nii.gz", scans / "truth.nii.gz")
    )
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.4
    assert json.loads((detected / "result.json").read_text())["findings"]


def test_a_network_finds_the_brain_by_default_and_the_report_says_so(detected):
    pytest.importorskip("monai")
    assert "found by a network and the atlas" in (detected / "report.html").read_text(
        encoding="utf-8"
    )


def test_the_result_keeps_no_folder_names(detected, scans):
    text = (detected / "result.json").read_text() + (detected / "report.html").read_text()
    assert str(scans) not in text


def test_segment_with_the_same_settings_gives_exactly_the_mask_of_detect(detected):
    before = np.asarray(nib.loadsave.load(detected / "anomaly_mask.nii.gz").dataobj)
    was = json.loads((detected / "result.json").read_text())["segmentation_settings"]
    moved = run(
        "segment", detected, "--method", "fixed", "--threshold", 0.9, "--opening-mm", 2, "--json"
    )
    assert moved.returncode == 0 and json.loads(moved.stdout)["folder"]
    assert (np.asarray(nib.loadsave.load(detected / "anomaly_mask.nii.gz").dataobj) != before).any()
    t = was["threshold"]
    again = run(
        "segment",
        detected,
        "--method",
        t["method"],
        "--threshold",
        t["threshold"],
        "--low",
        t["low"],
        "--opening-mm",
        0,
        "-q",
    )
    assert again.returncode == 0 and again.stdout.strip().endswith("report.html")
    assert np.array_equal(
        np.asarray(nib.loadsave.load(detected / "anomaly_mask.nii.gz").dataobj), before
    )
    assert json.loads((detected / "result.json").read_text())["segmentation_settings"] == was


def test_report_draws_the_page_again(detected):
    (detected / "report.html").unlink()
    assert run("report", detected, "--quiet").returncode == 0
    assert (detected / "report.html").exists()


def test_results_are_not_overwritten_unasked(detected, scans):
    before = (detected / "result.json").read_bytes()
    done = run("detect", "--flair", scans / "flair.nii.gz", "--output", detected)
    assert done.returncode == 2 and "--overwrite" in done.stderr
    assert (detected / "result.json").read_bytes() == before


@pytest.mark.parametrize(
    "name",
    [
        "absent",
        "voxels cut off, compressed",
        "four axes",
        "a CT",
        "empty folder",
        "DICOM with a gap",
    ],
)
def test_bad_scans_end_with_code_2_one_sentence_and_no_folder(name, tmp_path):
    (tmp_path / "in").mkdir()
    done = run(
        "detect",
        "--flair",
        MALFORMED[name](tmp_path / "in"),
        "--output",
        tmp_path / "out" / "result",
    )
    assert (
        done.returncode == 2
        and len(done.stderr.strip().splitlines()) == 1
        and "Traceback" not in done.stderr
    )
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_phantom_ends_with_code_2_one_sentence_and_no_folder(tmp_path):
    write_volume(tmp_path / "t1.nii.gz", phantom("cylinder"), np.float32)
    done = run("detect", tmp_path / "t1.nii.gz", "--output", tmp_path / "result", *QUICK)
    assert (
        done.returncode == 2
        and done.stderr.startswith("no brain was found")
        and len(done.stderr.strip().splitlines()) == 1
    )
    assert [p.name for p in tmp_path.iterdir()] == ["t1.nii.gz"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("detect",),
        ("detect", "--flair", "x.nii.gz", "--threshold", "2"),
        ("detect", "--flair", "x.nii.gz", "--method", "magic"),
        ("detect", "--nonsense"),
        ("detect", "--flair", "x.nii.gz", "--flair", "y.nii.gz"),
        ("demo", "--seed", "-3"),
        ("segment", "nowhere"),
        ("segment",),
        ("report", "nowhere"),
        ("nonsense",),
        ("detect", "--flair", "x.nii.gz", "--opening-mm", "many"),
    ],
)
def test_a_wrong_command_line_ends_with_code_2_and_one_sentence(arguments, tmp_path):
    done = run(*arguments, folder=tmp_path)
    assert (
        done.returncode == 2
        and "Traceback" not in done.stderr
        and len(done.stderr.strip().splitlines()) == 1
    )
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_result_is_refused(tmp_path, detected):
    (tmp_path / "result.json").write_text("{")
    assert run("segment", tmp_path).returncode == 2


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
@pytest.mark.parametrize("stage", ["Registering", "Drawing"])
def test_ctrl_c_at_any_stage_ends_with_code_130_and_leaves_nothing(stage, scans, tmp_path):
    """The program interrupts itself when it reports the stage, as Ctrl-C would then."""
    program = (
        "import os, signal\n"
        "from contextlib import contextmanager\n"
        "from BrainSSLAnomalyLib.cli import app\n"
        "@contextmanager\n"
        "def progress_bar(is_quiet):\n"
        "    def report(stage, fraction):\n"
        f"        if stage.startswith({stage!r}):\n"
        "            print('reached', flush=True)\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "    yield report\n"
        "app.progress_bar = progress_bar\n"
        "app.main()\n"
    )
    scan = os.fspath(scans / "flair.nii.gz")
    done = subprocess.run(
        [sys.executable, "-c", program, "detect", "--flair", scan, "-o", tmp_path / "r", *QUICK],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert "reached" in done.stdout, done.stderr
    assert done.returncode == 130 and done.stderr.strip() == str(Cancelled())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def test_ctrl_c_in_the_middle_of_an_import_lets_it_finish_and_stops_right_after(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('imported', flush=True)\n"
    )
    program = (
        "import time\n"
        "from BrainSSLAnomalyLib.cli import interrupt\n"
        "interrupt.install_handler()\n"
        "try:\n    import slow\n    time.sleep(3600)\n"
        "except KeyboardInterrupt:\n    print('stopped')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.stdout.split() == ["imported", "stopped"], done.stderr


@pytest.mark.parametrize("command", ["detect", "segment", "explain"])
def test_help_shows_an_example(command):
    done = run(command, "--help")
    assert done.returncode == 0 and f"brain-ssl-anomaly {command}" in done.stdout


def test_the_version_is_that_of_the_package():
    done = run("--version")
    assert done.returncode == 0 and done.stdout.split() == ["brain-ssl-anomaly", __version__]


def test_the_demo_finds_its_own_lesions_also_over_an_older_demo(tmp_path):
    target = tmp_path / "demo"
    (target / "patient").mkdir(parents=True)
    older = ("patient/flair.nii.gz", "report.html")
    for name in older:
        (target / name).write_text("old")
    mine = (target / "my notes.txt", target / "patient" / "my notes.txt")
    for path in mine:
        path.write_text("mine")
    command = ("demo", "--output", target, "--detector", "statistical")
    refused = run(*command)
    assert refused.returncode == 2 and "--overwrite" in refused.stderr
    assert all((target / name).read_text() == "old" for name in older)
    done = run(*command, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("true lesions: ")[1][:4]) > 0.5
    assert str(target / "report.html") in done.stdout
    assert "Research use only" in (target / "report.html").read_text(encoding="utf-8")
    assert nib.loadsave.load(target / "patient" / "flair.nii.gz").ndim == 3
    assert [path.read_text() for path in mine] == ["mine", "mine"]
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]


def test_a_dicom_folder_is_read_and_without_a_flair_users_are_warned(data, tmp_path):
    done = run("detect", data / "dicom" / "t1_mprage", "--output", tmp_path / "r", *QUICK)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "r" / "result.json").read_text())
    assert result["inputs"][0]["modality"] == "T1"
    assert result["segmentation_settings"]["threshold"]["threshold"] == T1_THRESHOLD
    assert "Warning: Without a FLAIR" in done.stdout
    assert "Without a FLAIR" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
