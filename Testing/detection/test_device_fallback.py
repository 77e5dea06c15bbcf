"""A GPU that fails does not cost the result: the CPU takes over, and that is said."""

from __future__ import annotations

import io

import pytest
from BrainSSLAnomalyLib.core.errors import Cancelled, UnsuitableScan
from BrainSSLAnomalyLib.core.settings import (
    DetectionSettings,
    DetectorName,
    Device,
)
from BrainSSLAnomalyLib.core.study import Modality, Study
from BrainSSLAnomalyLib.detection import device_fallback as fallback
from BrainSSLAnomalyLib.imageio import read_detection
from BrainSSLAnomalyLib.jobs import detection_request, messages, worker
from BrainSSLAnomalyLib.phantom import synthetic_patient
from support.detections import make_detection
from support.packages import need_network

torch = need_network()

FAILURES = [
    torch.cuda.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 3.94 GiB"
    ),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
    RuntimeError("CUDA error: no kernel image is available for execution on the device"),
    RuntimeError("Found no NVIDIA driver on your system."),
    AssertionError("Torch not compiled with CUDA enabled"),
]


@pytest.fixture
def tried(monkeypatch):
    """The devices that were tried; `fail` says what happens on other devices than the CPU."""
    devices = []

    def fail(error, always=False):
        def detect(study, settings, progress):
            devices.append(settings.device)
            if always or settings.device is not Device.CPU:
                raise error
            return make_detection()

        monkeypatch.setattr(fallback, "detect", detect)
        return devices

    return fail


@pytest.mark.parametrize("error", FAILURES, ids=lambda e: str(e)[:40])
@pytest.mark.parametrize("device", [Device.AUTO, Device.CUDA])
def test_a_failing_gpu_is_replaced_by_the_cpu_which_is_said_first(tried, error, device):
    devices = tried(error)
    detection = fallback.detect_with_fallback(None, DetectionSettings(device=device))
    assert devices == [device, Device.CPU]
    assert (
        detection.warnings[0].startswith("The network could not run on the GPU (")
        and "on the CPU instead" in detection.warnings[0]
    )
    assert ("out of memory" in detection.warnings[0]) == ("out of memory" in str(error))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("the size of tensor a must match"),
        UnsuitableScan("no CUDA", "x"),
        Cancelled(),
        ImportError("cuda"),
    ],
    ids=repr,
)
def test_what_is_no_failure_of_the_gpu_is_raised_as_it_is(tried, error):
    devices = tried(error)
    with pytest.raises(type(error)):
        fallback.detect_with_fallback(None, DetectionSettings())
    assert devices == [Device.AUTO]


def test_the_cpu_is_tried_once(tried):
    devices = tried(FAILURES[1], always=True)
    with pytest.raises(RuntimeError):
        fallback.detect_with_fallback(None, DetectionSettings(device=Device.CPU))
    assert devices == [Device.CPU]
    with pytest.raises(RuntimeError):
        fallback.detect_with_fallback(None, DetectionSettings())
    assert devices == [Device.CPU, Device.AUTO, Device.CPU]


def test_nothing_is_said_where_nothing_failed(tried):
    tried(FAILURES[0])
    assert fallback.detect_with_fallback(None, DetectionSettings(device=Device.CPU)).warnings == ()


def test_the_worker_brings_results_although_the_gpu_is_full(tried, tmp_path, capfd):
    devices = tried(FAILURES[0])
    patient, _ = synthetic_patient(0, 4.0)
    study = Study({Modality.FLAIR: patient.scans[Modality.FLAIR]})
    settings = DetectionSettings(DetectorName.HYBRID, device=Device.CUDA)
    detection_request.write_detection_request(tmp_path, study, settings)
    writer = messages.MessageWriter(io.StringIO())
    worker.run(tmp_path, writer, worker.Watch(tmp_path, writer))
    detection = read_detection(tmp_path / messages.RESULTS)
    assert devices == [Device.CUDA, Device.CPU]
    assert "out of memory" in detection.warnings[0]
    assert "Tried to allocate 2.00 GiB" in capfd.readouterr().err
