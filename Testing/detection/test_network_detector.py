"""The network's detection has every map, survives writing, and explains each finding by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.errors import Cancelled
from BrainSSLAnomalyLib.core.progress import ignore_progress
from BrainSSLAnomalyLib.core.results import MapName
from BrainSSLAnomalyLib.core.settings import (
    DetectionSettings,
    DetectorName,
    Device,
    ScoreName,
    SegmentationSettings,
)
from BrainSSLAnomalyLib.core.study import Modality, Study
from BrainSSLAnomalyLib.detection import detect as detect_module
from BrainSSLAnomalyLib.detection import network_detector
from BrainSSLAnomalyLib.detection.detect import detect
from BrainSSLAnomalyLib.detection.explain import activation_map
from BrainSSLAnomalyLib.detection.network_detector import (
    EXPLAINED_EVERY,
    EXPLAINED_SCORE,
    LATENT_SCORES,
    PREDICT,
    NetworkDetector,
    predict_study,
)
from BrainSSLAnomalyLib.detection.statistics import compute_zscores
from BrainSSLAnomalyLib.imageio import (
    read_detection,
    read_results,
    write_detection,
    write_results,
)
from BrainSSLAnomalyLib.network.model import load_model
from BrainSSLAnomalyLib.phantom import synthetic_patient
from BrainSSLAnomalyLib.preparation import prepare
from BrainSSLAnomalyLib.preparation.network_grid import brain_on
from BrainSSLAnomalyLib.report import write_report
from BrainSSLAnomalyLib.segmentation import segment
from support.packages import need_network

HYBRID = DetectionSettings(detector=DetectorName.HYBRID, device=Device.CPU)


@pytest.fixture(scope="module")
def patient():
    study, lesions = synthetic_patient(3, 2.0)
    return Study({Modality.FLAIR: study.scans[Modality.FLAIR]}), lesions


@pytest.fixture(scope="module")
def found(patient):
    return detect(patient[0], HYBRID)


def test_a_detection_comes_with_every_map_on_the_grid_of_the_scan(found, patient):
    grid = patient[0].reference.volume
    assert set(found.maps) == set(MapName) and found.detector == "hybrid"
    for name, array in found.maps.items():
        assert array.shape == grid.array.shape and np.isfinite(array).all(), name
        if name is not MapName.RECONSTRUCTION:
            assert (
                not array[~found.brain_mask].any() or np.abs(array[~found.brain_mask]).max() < 1e-3
            ), name
    assert found.maps[MapName.GRADCAM].min() >= 0 and found.maps[MapName.GRADCAM].max() <= 1
    assert found.anomaly_score.min() >= 0 and found.anomaly_score.max() <= 1


def test_the_saved_input_gives_the_grad_cam_of_the_detection_again(found):
    brain = found.reference.with_array(found.brain_mask)
    target = brain.with_array(found.anomaly_score > EXPLAINED_SCORE)
    inside = brain_on(found.network_input.grid, brain)
    model = load_model(Device.CPU)
    again = activation_map(found.network_input, inside, target, model, every=EXPLAINED_EVERY)
    assert np.abs(again - found.maps[MapName.GRADCAM])[found.brain_mask].max() < 0.02


def test_the_worker_explains_two_findings_from_what_was_written_and_differently(found, tmp_path):
    from BrainSSLAnomalyLib.jobs import explanation_request, messages, worker

    write_detection(tmp_path, found)
    labels = segment(found, SegmentationSettings()).labels
    given = read_detection(tmp_path).network_input
    assert given.axes == found.network_input.axes
    assert np.allclose(given.affine, found.network_input.affine, atol=1e-4)
    for modality, image in found.network_input.images.items():
        assert np.allclose(given.images[modality], image, atol=0.003)
    brain, heats = found.reference.with_array(found.brain_mask), []
    for number in (1, 2):
        scratch = tmp_path / str(number)
        scratch.mkdir()
        request = explanation_request.ExplanationRequest(given, brain, labels == number, Device.CPU)
        explanation_request.write_explanation_request(scratch, request)
        with open(scratch / "messages", "w+") as stream:
            writer = messages.MessageWriter(stream)
            worker.run(scratch, writer, worker.Watch(scratch, writer))
            stream.seek(0)
            assert '"done"' in stream.read()
        heat = explanation_request.read_explanation(scratch / messages.RESULTS)
        heats.append(heat)
        assert heat.shape == labels.shape and heat.min() >= 0 and heat.max() > 0.3
        assert not heat[~found.brain_mask].any()
    first, second = heats
    assert np.abs(first - second).max() > 0.3, "two findings have the same explanation"


def test_lesions_that_were_put_in_score_higher_than_the_rest_of_the_brain(found, patient):
    truth = patient[1].array > 0
    assert np.median(found.anomaly_score[truth]) > 10 * np.median(
        found.anomaly_score[found.brain_mask & ~truth]
    )


def test_the_reconstruction_is_the_scan_outside_the_brain_and_nearer_to_healthy_inside_lesions(
    found, patient
):
    scan, healthy, truth = (
        patient[0].reference.volume.array,
        found.maps[MapName.RECONSTRUCTION],
        patient[1].array > 0,
    )
    assert np.allclose(healthy[~found.brain_mask], scan[~found.brain_mask], rtol=1e-4)
    usual = np.median(scan[found.brain_mask & ~truth])
    assert abs(np.median(healthy[truth]) - usual) < abs(np.median(scan[truth]) - usual)


def test_results_with_maps_survive_writing_and_the_report_shows_them(found, tmp_path):
    settings = SegmentationSettings()
    cut = segment(found, settings)
    write_results(tmp_path, found, cut, settings)
    again = read_results(tmp_path).detection
    assert set(again.maps) == set(found.maps)
    assert all(np.allclose(again.maps[name], found.maps[name], atol=1e-4) for name in found.maps)
    page = write_report(tmp_path, found, cut, settings).read_text(encoding="utf-8")
    assert "Maps of the network at finding 1" in page and "“hybrid”" in page


def test_the_scan_turned_upside_down_and_back_to_front_gives_the_same_maps(found, patient):
    scan = patient[0].reference
    grid = scan.volume
    turned = grid.affine.copy()
    turned[:3, 3] += turned[:3, :3] @ (np.array(grid.array.shape[::-1]) - 1)
    turned[:3, :3] *= -1
    flipped = type(grid)(np.ascontiguousarray(grid.array[::-1, ::-1, ::-1]), turned)
    other = detect(
        Study({Modality.FLAIR: type(scan)(flipped, Modality.FLAIR, "turned")}),
        replace(HYBRID, explain=False),
    )
    back = other.anomaly_score[::-1, ::-1, ::-1]
    assert np.mean(np.abs(back - found.anomaly_score) > 0.1) < 0.002


@pytest.fixture(scope="module")
def predicted(patient):
    """The patient prepared and predicted with every distance, once for all scores."""
    prepared = prepare(patient[0])
    prediction = predict_study(prepared, load_model(Device.CPU), latent=LATENT_SCORES)
    return prediction, compute_zscores(prepared)


def test_both_engines_mark_the_same(predicted):
    need_network()
    from BrainSSLAnomalyLib.network.model import load_hybrid_network
    from BrainSSLAnomalyLib.network.torch_engine import TorchEngine

    by_onnx = load_model(Device.CPU)
    by_torch = replace(by_onnx, engine=TorchEngine(load_hybrid_network()))
    one, other = (
        NetworkDetector(model, explain=False)
        .score(predicted[0].prepared, ignore_progress)
        .anomaly_score
        > 0.7
        for model in (by_onnx, by_torch)
    )
    assert one.any() and 2 * (one & other).sum() >= 0.999 * (one.sum() + other.sum())


@pytest.mark.parametrize("score", [s for s in ScoreName if s is not ScoreName.FUSED])
def test_every_score_can_be_chosen(score, patient, predicted, monkeypatch):
    whole, zscores = predicted
    names = []

    def predict(*_, latent, **__):
        names.extend(latent)
        return whole

    monkeypatch.setattr(detect_module, "prepare", lambda *_, **__: whole.prepared)
    monkeypatch.setattr(network_detector, "compute_zscores", lambda *_, **__: zscores)
    monkeypatch.setattr(network_detector, "predict_study", predict)
    settings = replace(HYBRID, score=score, explain=False)
    detection = detect(patient[0], settings)
    assert detection.provenance.score is score and detection.anomaly_score.max() > 0
    assert MapName.GRADCAM not in detection.maps
    assert score not in LATENT_SCORES or score in names, "its distance was not asked of the network"


def test_a_detection_can_be_cancelled(patient, predicted, monkeypatch):
    monkeypatch.setattr(detect_module, "prepare", lambda *_, **__: predicted[0].prepared)

    def stop(stage: str, fraction: float) -> None:
        if stage == PREDICT:
            raise Cancelled

    with pytest.raises(Cancelled):
        detect(patient[0], HYBRID, stop)
