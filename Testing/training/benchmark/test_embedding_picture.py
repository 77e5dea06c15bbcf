"""Embeddings are measured against healthy scans of other people; patients are shown on demand."""

from __future__ import annotations

import numpy as np
import pytest
from support.packages import need_network

need_network()
pytest.importorskip(
    "sklearn", reason="training needs scikit-learn: pip install 'brain-ssl-anomaly[training]'"
)
pytest.importorskip(
    "einops", reason="MONAI's transformer needs einops: pip install 'brain-ssl-anomaly[torch]'"
)

from BrainSSLAnomalyLib.core.results import NetworkInput
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.network.hybrid import CHANNELS
from BrainSSLAnomalyLib.network.inference import predict_volume
from support.models import tiny_model

from training.benchmark import embedding_picture as drawn
from training.benchmark.cases import Case
from training.data import embeddings


def point(group: str, person: str, shift: float, seed: int) -> drawn.ScanEmbedding:
    values = np.random.default_rng(seed).normal(size=16) + shift
    return drawn.ScanEmbedding(
        group, list(drawn.MARKERS)[seed % 3], person, values.astype(np.float32)
    )


def some_points() -> list[drawn.ScanEmbedding]:
    healthy = [
        point(drawn.REAL if n % 2 else drawn.SYNTHETIC, f"person {n}", 0, n) for n in range(12)
    ]
    return [
        *healthy,
        *(point(drawn.IMPLANTED, f"person {n}", 4, 100 + n) for n in range(5)),
        point("glioma", "g", 9, 200),
    ]


def test_anomalies_are_farther_from_healthy_scans_than_healthy_scans_of_other_people():
    scans = some_points()
    far = drawn.mahalanobis_distances(scans)
    assert far[12:].min() > far[:12].max() and far[-1] == far.max()


def test_a_scan_gains_nothing_from_other_scans_of_the_same_person():
    scans = some_points()
    twin = drawn.ScanEmbedding(
        drawn.REAL, Modality.T1, "person 0", scans[12].embedding
    )  # its anomalous scan, said to be healthy
    assert drawn.mahalanobis_distances([*scans, twin])[12] == pytest.approx(
        drawn.mahalanobis_distances(scans)[12]
    )


def test_a_contrast_is_no_anomaly():
    scans = some_points()
    shift = {Modality.T1: 0.0, Modality.T2: 50.0, Modality.FLAIR: -80.0}
    moved = [
        drawn.ScanEmbedding(
            p.group, p.modality, p.person, p.embedding + np.float32(shift[p.modality])
        )
        for p in scans
    ]
    assert np.allclose(
        drawn.mahalanobis_distances(moved), drawn.mahalanobis_distances(scans), rtol=1e-2
    )


def test_a_contrast_of_which_nobody_else_is_healthy_is_refused():
    scans = [
        drawn.ScanEmbedding(p.group, Modality.T1, p.person, p.embedding) for p in some_points()
    ]
    flair = drawn.ScanEmbedding(drawn.IMPLANTED, Modality.FLAIR, "x", scans[0].embedding)
    with pytest.raises(SystemExit, match="FLAIR"):
        drawn.mahalanobis_distances([*scans, flair])


def test_too_few_healthy_people_are_refused():
    with pytest.raises(SystemExit, match="Too few"):
        drawn.mahalanobis_distances(some_points()[9:14])


def test_patients_are_shown_on_demand_alone():
    assert not any(
        isinstance(what, Case) for _, what in drawn.list_scans(3, 1, 3, evaluation=False)
    )
    assert {
        group
        for group, what in drawn.list_scans(3, 1, 3, evaluation=True)
        if isinstance(what, Case)
    } == {"ms", "wml", "wmh", "glioma"}


def test_synthetic_patients_come_from_label_maps_that_training_has_not_seen():
    from training.synthesis.patients import HELD_OUT, MAPS

    seeds = {
        group: [w for g, w in drawn.list_scans(0, 3, 0, False) if g == group]
        for group in (drawn.SYNTHETIC, drawn.SYNTHETIC_LESIONS)
    }
    assert len(seeds[drawn.SYNTHETIC]) == 3 and len(seeds[drawn.SYNTHETIC_LESIONS]) == 6
    assert all(s % 3 == 0 for s in seeds[drawn.SYNTHETIC]) and all(
        s % 3 for s in seeds[drawn.SYNTHETIC_LESIONS]
    )
    assert all(s % MAPS >= MAPS - HELD_OUT for group in seeds.values() for s in group)


def test_the_embedding_of_a_scan_is_the_one_of_its_prediction():
    shape, engine = (16, 20, 24), tiny_model().engine
    modality = CHANNELS[1]
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    images = np.zeros((len(CHANNELS), *shape), np.float32)
    images[1] = image
    present = np.eye(len(CHANNELS), dtype=np.float32)[1]
    given = NetworkInput({modality: image}, np.eye(4), (0, 2))
    found = embeddings.embed(given, engine, every=1)
    predicted = predict_volume(engine, images, present, (0, 2))
    assert np.allclose(found, predicted.embedding, atol=1e-5)
    assert np.linalg.norm(embeddings.embed(given, engine)) == pytest.approx(1, abs=1e-5)


def test_the_command_draws_a_small_picture_and_prints_the_auroc(tmp_path, monkeypatch, capsys):
    some = some_points()
    monkeypatch.setattr(drawn, "list_scans", lambda *_: [("", n) for n in range(len(some))])
    monkeypatch.setattr(drawn, "embed_scans", lambda task: [some[task[1]]])
    drawn.main(tmp_path / "new" / "embedding.png", quick=True, workers=1)
    content = (tmp_path / "new" / "embedding.png").read_bytes()
    assert content.startswith(b"\x89PNG") and len(content) < 200_000
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["embedding.png"]
    said = capsys.readouterr().out
    assert (
        "1.00 implanted lesions (5) against healthy (6)" in said
        and "1.00 glioma (1) against" in said
    )
    assert "synthetic with lesions (0)" not in said


def test_the_axes_say_how_much_of_healthy_variance_they_show(monkeypatch):
    from matplotlib.axes import Axes

    said = []
    for name in ("set_xlabel", "set_ylabel"):
        monkeypatch.setattr(Axes, name, lambda self, label, **_: said.append(label))
    drawn.draw_picture(some_points())
    assert len(said) == 4 and all("%" in label and "healthy" in label for label in said)
