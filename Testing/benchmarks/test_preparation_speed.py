"""How long does each stage of preparation take? Run by ``make benchmark``.

Aim on one thread for three scans of a whole head: no stage above 4 s, all together below 15 s.
"""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.settings import DetectionSettings
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.detection.detect import anatomy_predictor
from BrainSSLAnomalyLib.detection.statistics import compute_deviation, compute_zscores
from BrainSSLAnomalyLib.phantom import synthetic_patient
from BrainSSLAnomalyLib.preparation import prepare
from BrainSSLAnomalyLib.preparation.alignment import align_scans
from BrainSSLAnomalyLib.preparation.anatomy import place_anatomy
from BrainSSLAnomalyLib.preparation.prepare import (
    correct_scans,
    extract_brain,
    fit_brain_tissues,
    map_tissues,
    name_places,
    normalise_images,
    parcellate,
)
from BrainSSLAnomalyLib.preparation.template import load_template
from BrainSSLAnomalyLib.scoring.median import median_of_27


@pytest.fixture(scope="module")
def predictor():
    return anatomy_predictor(DetectionSettings(threads=1))


@pytest.fixture(scope="module")
def study():
    """Three scans of a whole head at 1 mm, the T2 and the T1 to be registered to the FLAIR."""
    patient, _ = synthetic_patient(0)
    assert set(patient.modalities) == {Modality.FLAIR, Modality.T1, Modality.T2}
    return patient


@pytest.fixture(scope="module")
def aligned(study):
    return align_scans(study)


@pytest.fixture(scope="module")
def parcellation(aligned, predictor):
    return parcellate(aligned, predictor)


@pytest.fixture(scope="module")
def anatomy(aligned, parcellation):
    return place_anatomy(aligned, load_template(), parcellation)


@pytest.fixture(scope="module")
def corrected(aligned, anatomy):
    return correct_scans(aligned, anatomy, enabled=True)


@pytest.fixture(scope="module")
def brain(aligned, anatomy, corrected):
    return extract_brain(aligned, anatomy, corrected)


@pytest.fixture(scope="module")
def prepared(study, predictor):
    return prepare(study, predictor=predictor)


def timed(benchmark, stage):
    return benchmark.pedantic(stage, rounds=3, warmup_rounds=1)


def test_aligning_three_scans(benchmark, study):
    timed(benchmark, lambda: align_scans(study))


def test_segmenting_the_anatomy(benchmark, aligned, predictor):
    timed(benchmark, lambda: parcellate(aligned, predictor))


def test_registering_to_the_template_from_a_known_pose(benchmark, aligned, parcellation):
    timed(benchmark, lambda: place_anatomy(aligned, load_template(), parcellation))


def test_registering_to_the_template_from_any_pose(benchmark, aligned):
    timed(benchmark, lambda: place_anatomy(aligned, load_template(), None))


def test_correcting_the_bias_field_of_three_scans(benchmark, aligned, anatomy):
    timed(benchmark, lambda: correct_scans(aligned, anatomy, enabled=True))


def test_extracting_the_brain(benchmark, aligned, anatomy, corrected):
    timed(benchmark, lambda: extract_brain(aligned, anatomy, corrected))


def test_measuring_and_naming_the_tissues(benchmark, aligned, anatomy, corrected, brain):
    def measure():
        fit = fit_brain_tissues(corrected, anatomy, brain)
        images = normalise_images(aligned, corrected, brain, fit)
        maps = map_tissues(aligned, anatomy, brain, fit)
        return name_places(aligned, anatomy, brain, images, maps)

    timed(benchmark, measure)


def test_all_of_preparation(benchmark, study, predictor):
    timed(benchmark, lambda: prepare(study, predictor=predictor))


def test_zscores_and_deviation(benchmark, prepared):
    timed(benchmark, lambda: compute_deviation(prepared, compute_zscores(prepared)))


def test_median_of_4_million_voxels(benchmark):
    array = np.random.default_rng(0).random((150, 180, 145), np.float32)
    timed(benchmark, lambda: median_of_27(array))
