"""A worker that dies, hangs or writes nonsense is noticed, explained and cleaned up after."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from BrainSSLAnomalyLib.core.errors import BadSettings, Cancelled
from BrainSSLAnomalyLib.core.study import Modality, Scan, Study
from BrainSSLAnomalyLib.detection.detect import detect
from BrainSSLAnomalyLib.imageio import read_detection
from BrainSSLAnomalyLib.jobs import Job, JobFailed, JobState, Status, messages, worker
from BrainSSLAnomalyLib.jobs.detection_request import (
    read_detection_request,
    write_detection_request,
)
from BrainSSLAnomalyLib.jobs.job import new_scratch
from BrainSSLAnomalyLib.jobs.process import SubprocessStarter
from BrainSSLAnomalyLib.phantom import synthetic_patient
from support import slow_worker
from support.detections import QUICK

REAL = [sys.executable, "-m", "BrainSSLAnomalyLib.jobs.worker"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits are POSIX")
ONE_THREAD = {
    **os.environ,
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
PATIENCE_SECONDS = 600
"""Tens of times what anything here takes: a test that waits so long has failed."""


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
        scratch = new_scratch()
        if study is not None:
            write_detection_request(scratch, study, QUICK)
        job = Job(
            command, scratch, read_detection, starter=SubprocessStarter(ONE_THREAD), **options
        )
        job.start()
        begun.append(job)
        return job

    yield start
    for job in begun:
        job.close()
        assert not job.scratch.exists()
        assert is_gone(process_of(job).pid)


def process_of(job: Job):
    """The process of a job, as `subprocess` knows it."""
    return job._process._process


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_for(condition, what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def wait_for_stage(job: Job, fraction: float) -> None:
    """Poll until the job has come so far, or has ended."""
    wait_for(
        lambda: job.poll().status is not Status.RUNNING or job.state.fraction >= fraction,
        f"the job did not reach {fraction}",
    )


def slow(manner: str) -> list[str]:
    return [sys.executable, slow_worker.__file__, manner]


def until_ended(job: Job) -> JobState:
    wait_for(lambda: job.poll().status is not Status.RUNNING, "the job did not end")
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
    job = started(slow("never leaving"), grace_seconds=0.2)
    assert until_ended(job).status is Status.DONE


@posix
@pytest.mark.parametrize("moment", range(20))
def test_a_worker_killed_at_any_moment_is_reported_in_one_sentence(started, moment):
    how = random.Random(moment)
    job = started(slow("deaf"))
    wait_for_stage(job, how.uniform(0.0, 0.9))
    signals = [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT]
    process_of(job).send_signal(how.choice(signals))
    state = until_ended(job)
    assert state.status is Status.FAILED and one_clear_sentence(state.sentence)


@pytest.mark.parametrize("moment", range(20))
def test_a_worker_cancelled_at_any_moment_is_ended(started, moment):
    how = random.Random(moment)
    job = started(slow(how.choice(["polite", "deaf"])))
    wait_for_stage(job, how.uniform(0.0, 0.9))
    assert job.state.status is Status.RUNNING, job.state
    job.cancel()
    assert until_ended(job).status is Status.CANCELLED


@posix
def test_cancel_ends_the_whole_process_tree_not_only_the_launcher(started):
    job = started(slow("deaf with a child"), grace_seconds=0.3)
    path = job.scratch / "child"
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"), "there is no child")
    child = int(path.read_text())
    job.cancel()
    assert until_ended(job).status is Status.CANCELLED
    wait_for(lambda: is_gone(child), "the child lives on")


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
    silence = 2.0 if "no sign of life" in words else PATIENCE_SECONDS
    state = until_ended(started(slow(manner), silence_seconds=silence))
    assert (
        state.status is Status.FAILED
        and words in state.sentence
        and one_clear_sentence(state.sentence)
    )


def test_damaged_messages_do_no_harm_and_the_fraction_never_falls(tmp_path):
    path = tmp_path / "messages"
    reader = messages.MessageReader(path)
    job = Job([], tmp_path, read_detection)

    def receive(line: bytes) -> None:
        with path.open("ab") as stream:
            stream.write(line + b"\n")
        for message in reader.read(to_end=False):
            job._receive(message)

    for line in (
        b"",
        b"null",
        b"[1]",
        b'{"message": "progress"}',
        b'{"message": "progress", "stage": 3, "fraction": "x"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ):
        receive(line)
    assert job.state.fraction == 0
    for fraction in ("0.5", "0.2", "NaN", "Infinity", "-3", "7"):
        receive(f'{{"message": "progress", "stage": "s", "fraction": {fraction}}}'.encode())
        assert 0.5 <= job.state.fraction <= 1
    assert job.state.fraction == 1


def test_time_left_follows_from_what_is_done(tmp_path):
    now = [0.0]
    job = Job([], tmp_path, read_detection, clock=lambda: now[0])
    now[0] = 10.0
    job._receive({"message": "progress", "stage": "s", "fraction": 0.25})
    assert job.state.seconds_left == pytest.approx(30)


def test_a_worker_that_cannot_be_started_is_explained_and_leaves_no_folder():
    scratch = new_scratch()
    with pytest.raises(JobFailed, match="could not be started"):
        Job([os.fspath(scratch / "no such program")], scratch, read_detection).start()
    assert not scratch.exists()


def test_a_vanished_scratch_folder_fails_the_job(started):
    import shutil

    job = started(slow("deaf"))
    shutil.rmtree(job.scratch)
    state = until_ended(job)
    assert state.status is Status.FAILED and "vanished" in state.sentence


def test_the_real_worker_gives_the_detection_that_the_detector_gives(started, small_study):
    job, stages = started(REAL, small_study), []
    while job.poll().status is Status.RUNNING:
        stages.append(job.state.stage)
        time.sleep(0.02)
    assert job.state.status is Status.DONE, job.log
    there, here = job.result(), detect(small_study, QUICK)
    assert np.abs(there.anomaly_score - here.anomaly_score).max() < 0.05
    assert there.inputs[0].source == "synthetic patient 0, FLAIR" and len(set(stages)) >= 4


@posix
@pytest.mark.parametrize("fraction", [0.0, 0.3])
def test_the_real_worker_killed_at_any_moment_is_reported(started, small_study, fraction):
    job = started(REAL, small_study)
    wait_for_stage(job, fraction)
    os.killpg(process_of(job).pid, signal.SIGKILL)
    state = until_ended(job)
    assert state.status is Status.FAILED and "memory" in state.sentence
    assert one_clear_sentence(state.sentence)
    with pytest.raises(JobFailed):
        job.result()


@pytest.mark.parametrize("fraction", [0.0, 0.3])
def test_the_real_worker_cancelled_at_any_moment_ends(started, small_study, fraction):
    job = started(REAL, small_study)
    wait_for_stage(job, fraction)
    job.cancel()
    assert until_ended(job).status is Status.CANCELLED


@posix
@pytest.mark.parametrize("mib", [60, 400])
def test_the_real_worker_starved_of_memory_is_explained(started, small_study, mib):
    code = (
        "import resource, runpy, sys; "
        "import numpy, SimpleITK; "
        "used = int(open('/proc/self/statm').read().split()[0]) * 4096; "
        f"resource.setrlimit(resource.RLIMIT_AS, (used + {mib} * 2**17,) * 2); "
        "runpy.run_module('BrainSSLAnomalyLib.jobs.worker', run_name='__main__', alter_sys=True)"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("address space is limited on Linux alone")
    state = until_ended(started([sys.executable, "-c", code], small_study, silence_seconds=15))
    if state.status is not Status.DONE:
        assert state.status is Status.FAILED and one_clear_sentence(state.sentence), state
        # A library may wait for ever for a thread that had no memory to start.
        assert "memory" in state.sentence or "no sign of life" in state.sentence, state


@pytest.mark.parametrize("damage", ["request", "scan", "nothing there"])
def test_the_real_worker_fed_with_corrupt_files_says_what_is_wrong(
    started, small_study, damage, monkeypatch
):
    scratch = new_scratch()
    if damage != "nothing there":
        write_detection_request(scratch, small_study, QUICK)
    if damage == "request":
        (scratch / messages.REQUEST).write_bytes(random.Random(0).randbytes(300))
    if damage == "scan":
        scan = scratch / "flair.nii"
        scan.write_bytes(scan.read_bytes()[:5000])
    job = Job(REAL, scratch, read_detection, starter=SubprocessStarter(ONE_THREAD))
    job.start()
    state = until_ended(job)
    job.close()
    assert state.status is Status.FAILED and one_clear_sentence(state.sentence)
    assert (
        "shorter than its header" if damage == "scan" else "request.json cannot be used"
    ) in state.sentence


def test_a_scan_that_is_no_brain_is_refused_with_the_sentence_of_the_package(started, small_study):
    flat = small_study.reference.volume
    noise = np.random.default_rng(0).random(flat.array.shape).astype(np.float32)
    state = until_ended(
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
        '{"scans": {"T1": {"file": "../a", "source": "b"}}, "detection": {}}',
    ],
)
def test_a_request_that_cannot_be_used_is_refused(tmp_path, content):
    (tmp_path / messages.REQUEST).write_text(content)
    with pytest.raises(BadSettings):
        read_detection_request(tmp_path)


def test_the_worker_ends_and_tidies_up_when_nobody_watches(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / messages.WATCHED).touch()
    os.utime(scratch / messages.WATCHED, (time.time() - 2 * worker.UNWATCHED_SECONDS,) * 2)
    code = (
        "import sys, time; from pathlib import Path; "
        "from BrainSSLAnomalyLib.jobs import messages, worker; "
        "worker.UNWATCHED_BEATS = 3; "
        "writer = messages.MessageWriter(sys.stdout); "
        "worker.Watch(Path(sys.argv[1]), writer).start(); time.sleep(3600)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, os.fspath(scratch)],
        capture_output=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == messages.EXIT_CANCELLED and not scratch.exists()


def test_the_worker_stops_when_its_folder_is_gone(tmp_path):
    watch = worker.Watch(tmp_path / "scratch", messages.MessageWriter(io.StringIO()))
    with pytest.raises(Cancelled):
        watch.progress("Working", 0.5)


def test_a_computer_that_slept_does_not_make_the_worker_hang(started):
    now = [0.0]
    job = started(slow("polite"), clock=lambda: now[0])
    job.poll()
    now[0] = 3600.0
    assert job.poll().status is Status.RUNNING
