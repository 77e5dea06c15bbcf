"""A worker that dies, starves, hangs or babbles is noticed, explained and cleaned up after."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from BrainSSLAnomalyLib import jobs
from BrainSSLAnomalyLib.core.errors import BadSettings, Cancelled
from BrainSSLAnomalyLib.core.settings import (
    DetectionSettings,
    SegmentationSettings,
    detection_from_dict,
    to_dict,
)
from BrainSSLAnomalyLib.core.study import Modality, Study
from BrainSSLAnomalyLib.jobs import Job, JobFailed, Status, worker
from BrainSSLAnomalyLib.phantom import synthetic_patient
from support.detections import QUICK

REAL = [sys.executable, "-m", "BrainSSLAnomalyLib.jobs.worker"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and address limits are POSIX")
CANCEL_S = 4.0
"""Two seconds, and two to spare on a machine that is busy with something else."""
ONE_THREAD = {**os.environ, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def small_study() -> Study:
    """The FLAIR of the synthetic patient, at 4 mm."""
    study, _ = synthetic_patient(0, 4.0)
    return Study({Modality.FLAIR: study.scans[Modality.FLAIR]})


@pytest.fixture
def started(small_study):
    """Starts jobs and leaves none behind."""
    begun = []

    def start(command, study=None, **options):
        scratch = jobs.new_scratch()
        if study is not None:
            jobs.write_request(scratch, study, QUICK, SegmentationSettings())
        job = Job(command, scratch, environment=ONE_THREAD, **options)
        job.start()
        begun.append(job)
        return job

    yield start
    for job in begun:
        job.close()
        assert not job.scratch.exists()
        assert (
            not psutil.pid_exists(job._process.pid)
            or psutil.Process(job._process.pid).status() == psutil.STATUS_ZOMBIE
        )


def slow(manner: str) -> list[str]:
    return [sys.executable, os.fspath(Path(__file__).with_name("slow_worker.py")), manner]


def until(job: Job, seconds: float = 180, every: float = 0.02) -> jobs.JobState:
    """Poll until it ends."""
    end = time.monotonic() + seconds
    while job.poll().status is Status.RUNNING:
        assert time.monotonic() < end, "the job did not end"
        time.sleep(every)
    return job.state


def one_clear_sentence(text: str) -> bool:
    return text.endswith(".") and ": " in text and "Traceback" not in text and "\n" not in text


def test_a_worker_that_behaves_is_followed_to_its_end(started):
    job, fractions = started(slow("polite")), []
    while job.poll().status is Status.RUNNING:
        fractions.append(job.state.fraction)
        time.sleep(0.01)
    assert job.state.status is Status.DONE and job.state.fraction == 1
    assert fractions == sorted(fractions) and len(set(fractions)) > 10


def test_a_worker_that_is_done_but_does_not_leave_is_not_waited_for(started):
    assert until(started(slow("never leaving"), grace_s=0.2)).status is Status.DONE


@posix
@pytest.mark.parametrize("moment", range(20))
def test_a_worker_killed_at_any_moment_is_reported_in_one_sentence(started, moment):
    how = random.Random(moment)
    job = started(slow("polite"))
    time.sleep(how.uniform(0.0, 1.0))
    job._process.send_signal(
        how.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT])
    )
    state = until(job)
    assert state.status is Status.FAILED and one_clear_sentence(state.sentence)


@pytest.mark.parametrize("moment", range(20))
def test_a_worker_cancelled_at_any_moment_ends_within_two_seconds(started, moment):
    how = random.Random(moment)
    job = started(slow(how.choice(["polite", "deaf"])))
    time.sleep(how.uniform(0.0, 0.8))
    job.poll()
    begin = time.monotonic()
    job.cancel()
    assert until(job).status is Status.CANCELLED
    assert time.monotonic() - begin < CANCEL_S


@posix
def test_cancel_ends_the_whole_process_tree_not_only_the_launcher(started):
    job = started(slow("deaf with a child"), grace_s=0.3)
    while not (job.scratch / "child").exists() or not (job.scratch / "child").read_text():
        time.sleep(0.02)
    child = int((job.scratch / "child").read_text())
    job.cancel()
    assert until(job).status is Status.CANCELLED
    end = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, "the child lives on"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("silent", "no sign of life for 2 s"),
        ("babbling", "no sign of life for 2 s"),
        ("flooding", "nonsense without end"),
        ("quitting", "exit code 3"),
        ("leaving early", "without results"),
        ("lying", "without results"),
        ("out of memory", "not enough memory"),
    ],
)
def test_a_worker_that_misbehaves_is_stopped_and_explained(started, manner, words):
    state = until(started(slow(manner), silence_s=2.0))
    assert (
        state.status is Status.FAILED
        and words in state.sentence
        and one_clear_sentence(state.sentence)
    )


def test_damaged_messages_do_no_harm_and_the_fraction_never_falls(tmp_path):
    job = Job([], tmp_path)
    for line in (
        b"",
        b"null",
        b"[1]",
        b'{"message": "progress"}',
        b'{"message": "progress", "stage": 3, "fraction": "x"}',
        b"\xff\xfe",
    ):
        job._hear(line)
    assert job.state.fraction == 0
    for fraction in ("0.5", "0.2", "NaN", "Infinity", "-3", "7"):
        job._hear(f'{{"message": "progress", "stage": "s", "fraction": {fraction}}}'.encode())
        assert 0.5 <= job.state.fraction <= 1
    assert job.state.fraction == 1


def test_time_left_follows_from_what_is_done(tmp_path):
    now = [0.0]
    job = Job([], tmp_path, clock=lambda: now[0])
    now[0] = 10.0
    job._hear(b'{"message": "progress", "stage": "s", "fraction": 0.25}')
    assert job.state.seconds_left == pytest.approx(30)


def test_a_worker_that_cannot_be_started_is_explained_and_leaves_no_folder():
    scratch = jobs.new_scratch()
    with pytest.raises(JobFailed, match="could not be started"):
        Job([os.fspath(scratch / "no such program")], scratch).start()
    assert not scratch.exists()


def test_a_vanished_scratch_folder_fails_the_job(started):
    import shutil

    job = started(slow("deaf"))
    shutil.rmtree(job.scratch)
    state = until(job)
    assert state.status is Status.FAILED and "vanished" in state.sentence


def test_the_real_worker_gives_the_detection_that_the_detector_gives(started, small_study):
    import numpy as np
    from BrainSSLAnomalyLib.detection.detect import detect

    job, stages = started(REAL, small_study), []
    while job.poll().status is Status.RUNNING:
        stages.append(job.state.stage)
        time.sleep(0.02)
    assert job.state.status is Status.DONE, job.log
    there, here = job.detection(), detect(small_study, QUICK)
    assert np.abs(there.anomaly_score - here.anomaly_score).max() < 0.05
    assert there.inputs[0].source == "synthetic patient 0, FLAIR" and len(set(stages)) >= 4


@posix
@pytest.mark.parametrize("moment", [0.05, 0.8, 1.7, 3.1])
def test_the_real_worker_killed_at_a_random_moment_is_reported(started, small_study, moment):
    job = started(REAL, small_study)
    time.sleep(moment)
    os.killpg(job._process.pid, signal.SIGKILL)
    state = until(job)
    assert (
        state.status is Status.FAILED
        and "memory" in state.sentence
        and one_clear_sentence(state.sentence)
    )
    with pytest.raises(JobFailed):
        job.detection()


@pytest.mark.parametrize("moment", [0.0, 1.2, 2.6])
def test_the_real_worker_cancelled_at_a_random_moment_ends_within_two_seconds(
    started, small_study, moment
):
    job = started(REAL, small_study)
    time.sleep(moment)
    begin = time.monotonic()
    job.cancel()
    assert until(job).status is Status.CANCELLED
    assert time.monotonic() - begin < CANCEL_S


@posix
@pytest.mark.parametrize("mib", [60, 150, 400, 700])
def test_the_real_worker_starved_of_memory_is_explained(started, small_study, mib):
    code = (
        "import resource, runpy, sys; "
        f"import numpy, SimpleITK; used = int(open('/proc/self/statm').read().split()[0]) * 4096; "
        f"resource.setrlimit(resource.RLIMIT_AS, (used + {mib} * 2**17,) * 2); "
        "runpy.run_module('BrainSSLAnomalyLib.jobs.worker', run_name='__main__', alter_sys=True)"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("address space is limited on Linux alone")
    state = until(started([sys.executable, "-c", code], small_study, silence_s=15))
    if state.status is not Status.DONE:
        assert state.status is Status.FAILED and one_clear_sentence(state.sentence), state
        # A library may wait for ever for a thread that it had no memory to start: then the silence is what can be told.
        assert "memory" in state.sentence or "no sign of life" in state.sentence, state


@pytest.mark.parametrize("damage", ["request", "scan", "nothing there"])
def test_the_real_worker_fed_with_corrupt_files_says_what_is_wrong(
    started, small_study, damage, monkeypatch
):
    scratch = jobs.new_scratch()
    if damage != "nothing there":
        jobs.write_request(scratch, small_study, QUICK, SegmentationSettings())
    if damage == "request":
        (scratch / worker.REQUEST).write_bytes(random.Random(0).randbytes(300))
    if damage == "scan":
        scan = scratch / "flair.nii"
        scan.write_bytes(scan.read_bytes()[:5000])
    job = Job(REAL, scratch, ONE_THREAD)
    job.start()
    state = until(job)
    job.close()
    assert state.status is Status.FAILED and one_clear_sentence(state.sentence)
    assert (
        "shorter than its header" if damage == "scan" else "request.json cannot be used"
    ) in state.sentence


def test_a_scan_that_is_no_brain_is_refused_with_the_sentence_of_the_package(started, small_study):
    import numpy as np
    from BrainSSLAnomalyLib.core.study import Scan

    flat = small_study.reference.volume
    noise = np.random.default_rng(0).random(flat.array.shape).astype(np.float32)
    state = until(
        started(
            REAL, Study({Modality.FLAIR: Scan(flat.with_array(noise), Modality.FLAIR, "noise")})
        )
    )
    assert state.status is Status.FAILED and one_clear_sentence(state.sentence)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"scans": {}}',
        '{"scans": {"T9": {"file": "a", "source": "b"}}}',
        '{"scans": {"T1": {"file": "../a", "source": "b"}}, "detection": {}, "segmentation": {}}',
    ],
)
def test_a_request_that_cannot_be_used_is_refused(tmp_path, content):
    (tmp_path / worker.REQUEST).write_text(content)
    with pytest.raises(BadSettings):
        worker.read_request(tmp_path)


def test_the_worker_ends_and_tidies_up_when_nobody_watches(tmp_path):
    import subprocess

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / worker.WATCHED).touch()
    os.utime(scratch / worker.WATCHED, (time.time() - 2 * worker.UNWATCHED_S,) * 2)
    code = (
        "import sys, time; from pathlib import Path; from BrainSSLAnomalyLib.jobs import worker; worker.ALONE_BEATS = 3; "
        "worker.Watch(Path(sys.argv[1]), worker.Voice(sys.stdout)).start(); time.sleep(60)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, os.fspath(scratch)], capture_output=True, timeout=30
    )
    assert done.returncode == worker.CANCELLED and not scratch.exists()


def test_the_worker_stops_when_its_folder_is_gone(tmp_path):
    watch = worker.Watch(tmp_path / "scratch", worker.Voice(open(os.devnull, "w")))
    with pytest.raises(Cancelled):
        watch.progress("Working", 0.5)


def test_a_computer_that_slept_does_not_make_the_worker_hang(started):
    now = [0.0]
    job = started(slow("polite"), clock=lambda: now[0])
    job.poll()
    now[0] = 3600.0
    assert job.poll().status is Status.RUNNING


def test_detection_settings_survive_the_way_to_the_worker():
    settings = DetectionSettings(correct_bias=False)
    assert detection_from_dict(json.loads(json.dumps(to_dict(settings)))) == settings
    for wrong in ({"detector": "oracle"}, {"colour": 1}, {"correct_bias": "no"}):
        with pytest.raises(BadSettings):
            detection_from_dict(wrong)
