"""Implanted lesions lie in the brain, are as bright as stated, and change nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from support.packages import need_network

need_network()

from BrainSSLAnomalyLib.core.anatomy import Tissue
from BrainSSLAnomalyLib.core.settings import ScoreName
from BrainSSLAnomalyLib.core.study import Modality, Study
from BrainSSLAnomalyLib.phantom import synthetic_patient
from BrainSSLAnomalyLib.preparation import PreparedStudy, prepare
from BrainSSLAnomalyLib.scoring.fusion import FEATURES

from training.data.files import load
from training.synthesis import implanted as module
from training.synthesis.implanted import (
    KEPT_TEXTURE,
    draw_implanted_patient,
    draw_lesions_in,
    implant_lesions,
)
from training.synthesis.scans import GAIN


@pytest.fixture(scope="module")
def prepared() -> PreparedStudy:
    """A made patient's T1, whatever its lesions: what is put in is what counts here."""
    study, _ = synthetic_patient(3, spacing=2.0)
    return prepare(Study({Modality.T1: study.scans[Modality.T1]}), correct_bias=False)


def seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("large", [False, True])
def test_lesions_lie_in_the_brain_and_are_of_the_size_that_was_asked_for(large, prepared):
    masks = [draw_lesions_in(prepared, seeded(seed), large=large) for seed in range(4)]
    for mask in masks:
        assert mask.shape == prepared.brain.shape and mask.min() >= 0 and mask.max() <= 1
        assert mask.any() and not mask[~prepared.brain].any()
    ml = np.median([mask.sum() * prepared.reference.voxel_ml for mask in masks])
    assert ml > 4 if large else ml < 20
    again = draw_lesions_in(prepared, seeded(0), large=large)
    assert np.array_equal(again, masks[0]) and not np.array_equal(masks[1], masks[0])


@pytest.mark.parametrize("modality", [Modality.FLAIR, Modality.T2, Modality.T1])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_lesions_are_as_bright_as_stated_beside_the_white_matter_around(
    modality, strength, prepared
):
    white = prepared.posterior[Tissue.WHITE] > 0.9
    mask = np.zeros(prepared.brain.shape, np.float32)
    mask[white] = (
        seeded(1).random(int(white.sum())) < 0.3
    )  # where the scan's own brightness is that of white matter
    own = prepared.reference.array[prepared.box].astype(np.float32)
    ratios = [
        implant_lesions(prepared, mask, modality, strength, seeded(seed))
        .array[prepared.box][mask > 0]
        .mean()
        / own[mask > 0].mean()
        for seed in range(3)
    ]
    assert np.mean(ratios) == pytest.approx(1 + GAIN[modality] * strength, abs=0.05)
    assert (np.mean(ratios) < 1) == (modality is Modality.T1)


def test_what_is_no_lesion_stays_as_it_was_to_the_last_bit(prepared):
    mask = draw_lesions_in(prepared, seeded(2), large=True)
    scan = implant_lesions(prepared, mask, Modality.T1, 1.0, seeded(3))
    whole = prepared.on_whole_grid(mask)
    before = prepared.reference.array.astype(np.float32)
    assert np.array_equal(scan.array[whole == 0], before[whole == 0]) and np.array_equal(
        scan.affine, prepared.reference.affine
    )
    changed = np.abs(scan.array - before)[whole > 0.5]
    assert (
        changed.size
        and (changed > 0).mean() > 0.95
        and scan.array.min() >= 0
        and scan.array.dtype == np.float32
    )


def test_a_lesion_keeps_some_of_the_texture_of_its_place(prepared):
    mask = (prepared.posterior[Tissue.WHITE] > 0.9).astype(np.float32)
    own = prepared.reference.array[prepared.box].astype(np.float32)[mask > 0]
    new = implant_lesions(prepared, mask, Modality.T1, 1.0, seeded(4)).array[prepared.box][mask > 0]
    assert np.corrcoef(own, new)[0, 1] > 0 and 0 < KEPT_TEXTURE < 1


@pytest.mark.parametrize(("seed", "modality"), [(0, Modality.FLAIR), (2, Modality.T1)])
def test_a_real_scan_of_the_contrast_changes_in_its_lesions_and_the_white_matter_around_alone(
    seed, modality, data, monkeypatch
):
    kept = []
    monkeypatch.setattr(module, "prepare", lambda study: kept.append(prepare(study)) or kept[-1])
    study, lesions = draw_implanted_patient(seed)
    scan, path = (
        study.reference,
        next(
            p for p in module.healthy_scans()[modality] if study.reference.source.startswith(p.name)
        ),
    )
    assert study.modalities == (modality,) and f"lesions {seed}" in scan.source
    before = load(path)
    assert np.array_equal(scan.volume.affine, before.affine) and np.array_equal(
        lesions.affine, before.affine
    )
    assert lesions.array.any() and not lesions.array[~kept[0].brain_mask].any()
    white = kept[0].on_whole_grid((kept[0].posterior[Tissue.WHITE] > 0.5).astype(np.float32)) > 0
    far = (
        ndimage.distance_transform_edt(lesions.array == 0, sampling=before.spacing) > 15
    )  # mm, beyond every penumbra
    untouched = (lesions.array == 0) & (far | ~white)
    assert np.array_equal(scan.volume.array[untouched], before.array[untouched])
    inside = lesions.array > 0.8
    darker = scan.volume.array[inside].mean() < before.array[inside].mean()
    assert darker == (modality is Modality.T1)


def test_the_same_seed_gives_the_same_real_scan(data, monkeypatch):
    prepared = {}

    def prepare_once(study):
        name = study.reference.source
        return prepared.setdefault(name, prepared.get(name) or prepare(study))

    monkeypatch.setattr(module, "prepare", prepare_once)
    one, same = draw_implanted_patient(5), draw_implanted_patient(5)
    assert np.array_equal(one[0].reference.volume.array, same[0].reference.volume.array)
    assert (
        np.array_equal(one[1].array, same[1].array)
        and one[0].reference.source == same[0].reference.source
    )


def scored_rows(seed: int, logit_tells: bool) -> np.ndarray:
    """Rows of one patient: statistics separate lesions, the logit may, the error misleads."""
    rng = seeded(seed)
    truth = np.arange(400) < 100
    noise = rng.standard_normal((len(FEATURES), truth.size))
    told = {ScoreName.STATISTICAL: 2.0, ScoreName.LOGIT: 2.0 * logit_tells, ScoreName.L1: -1.0}
    columns = [n + told.get(name, 0.0) * truth for name, n in zip(FEATURES, noise, strict=True)]
    return np.stack([*columns, truth, np.ones(truth.size)], 1).astype(np.float32)


def test_sets_of_contrasts_without_a_real_scan_borrow_and_nothing_counts_against_a_lesion():
    build = pytest.importorskip("training.release.model")
    made, real = (
        [scored_rows(n, logit_tells=True) for n in range(3)],
        [scored_rows(n, logit_tells=False) for n in range(10, 13)],
    )
    rows = {
        "flair": {"draw_patient": made, "draw_implanted_patient": real},
        "t2": {"draw_patient": made, "draw_implanted_patient": made},
        "flair+t2": {"draw_patient": made},
    }
    alone = build.fit_fusion_weights((Modality.FLAIR,), rows)
    both = build.fit_fusion_weights((Modality.FLAIR, Modality.T2), rows)
    assert (
        both == alone and both["patients"] == 6
    )  # of the FLAIR; real T2 without a FLAIR are another matter
    assert (
        build.fit_fusion_weights((Modality.T2,), rows)["weights"]["logit"]
        > 2 * alone["weights"]["logit"]
    )
    assert "l1" not in alone["weights"] and min(alone["weights"].values()) >= 0
