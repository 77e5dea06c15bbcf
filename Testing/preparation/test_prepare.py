"""A scan comes home to the template whatever its pose, and what is no brain is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.anatomy import (
    INTRACRANIAL,
    TEMPLATE_GRID,
    Tissue,
    Zone,
)
from BrainSSLAnomalyLib.core.errors import PreparationFailed, UnsuitableScan
from BrainSSLAnomalyLib.core.grid import Grid
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.study import Modality, Scan, Study, Volume
from BrainSSLAnomalyLib.imageio import read_scan
from BrainSSLAnomalyLib.phantom import synthetic_patient
from BrainSSLAnomalyLib.preparation import prepare
from BrainSSLAnomalyLib.preparation.anatomy import classify_tissue
from BrainSSLAnomalyLib.preparation.brain_mask import find_stripped_brain
from BrainSSLAnomalyLib.preparation.registration import (
    _is_plausible,
    draw_template,
    mean_displacement,
    register_rigidly,
    register_to_template,
)
from BrainSSLAnomalyLib.preparation.template import load_template
from BrainSSLAnomalyLib.preparation.tissues import TissueIntensities, fit_tissues
from nibabel import orientations
from scipy import ndimage
from support.phantoms import phantom

FLAIR, T1, T2 = Modality.FLAIR, Modality.T1, Modality.T2


def study_of(**volumes: Volume) -> Study:
    return Study({Modality(m): Scan(v, Modality(m), m) for m, v in volumes.items()})


def moved(
    volume: Volume, degrees: tuple[float, float, float], shift: tuple[float, float, float]
) -> tuple[Volume, np.ndarray]:
    """The volume in another pose, its voxels untouched, and the motion (old RAS mm → new)."""
    x, y, z = np.deg2rad(degrees)
    rx = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rz = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    centre = (volume.affine @ [*((np.array(volume.array.shape[::-1]) - 1) / 2), 1])[:3]
    motion = np.eye(4)
    motion[:3, :3] = rz @ ry @ rx
    motion[:3, 3] = centre + shift - motion[:3, :3] @ centre
    return Volume(volume.array, motion @ volume.affine), motion


def turned(volume: Volume, code: str) -> Volume:
    """The same voxels in another order of axes."""
    turn = orientations.ornt_transform(
        orientations.io_orientation(volume.affine), orientations.axcodes2ornt(tuple(code))
    )
    affine = volume.affine @ orientations.inv_ornt_aff(turn, volume.array.shape[::-1])
    return Volume(
        np.ascontiguousarray(orientations.apply_orientation(volume.array.T, turn).T), affine
    )


@pytest.fixture(scope="module")
def made() -> tuple[Study, Volume]:
    return synthetic_patient(3, spacing=2.0)


@pytest.fixture(scope="module")
def patient(made) -> dict[str, Volume]:
    return {m.value: s.volume for m, s in made[0].scans.items()}


@pytest.fixture(scope="module")
def lesions(made) -> Volume:
    return made[1].with_array(made[1].array.astype(np.float32))


@pytest.fixture(scope="module")
def prepared(patient):
    return prepare(study_of(**patient))


@pytest.fixture(scope="module")
def upright(patient):
    return prepare(study_of(FLAIR=patient["FLAIR"]))


def test_the_brain_is_found_and_its_tissues_are_named_right(prepared):
    assert 900 < prepared.brain_mask.sum() * prepared.reference.voxel_ml < 2000
    flair, t1, t2 = (prepared.intensities[m].mean for m in (FLAIR, T1, T2))
    assert flair[Tissue.VENTRICLE] < flair[Tissue.WHITE] < flair[Tissue.CORTEX]
    assert t1[Tissue.VENTRICLE] < t1[Tissue.CORTEX] < t1[Tissue.WHITE]
    assert t2[Tissue.WHITE] < t2[Tissue.CORTEX] < t2[Tissue.VENTRICLE]


def test_left_is_left_and_zones_are_where_they_belong(prepared):
    regions, zones = prepared.anatomy.regions, prepared.anatomy.zones
    k, j, i = np.nonzero(prepared.brain_mask)
    x = (
        np.linalg.inv(prepared.template_to_reference)
        @ prepared.reference.affine
        @ np.stack([i, j, k, np.ones(len(i))])
    )[0]
    names = regions[prepared.brain_mask]
    sided = (names >= 2) & (names < 30)
    assert (x[sided & (names % 2 == 0)] < 3).mean() > 0.99
    assert (x[sided & (names % 2 == 1)] > -3).mean() > 0.99
    assert not zones[~prepared.brain_mask].any() and set(np.unique(zones)) >= {
        Zone.VENTRICLE,
        Zone.PERIVENTRICULAR,
        Zone.CORTEX,
    }


def test_lesions_of_the_made_patient_are_said_to_lie_in_white_matter(prepared, lesions):
    inside = (resample(lesions, prepared.reference.grid) > 0.5) & prepared.brain_mask
    labels, count = ndimage.label(inside)
    white = np.isin(
        prepared.anatomy.zones, [Zone.DEEP_WHITE, Zone.PERIVENTRICULAR, Zone.JUXTACORTICAL]
    )
    shares = [white[labels == n + 1].mean() for n in range(count)]
    assert count >= 7 and np.median(shares) > 0.9
    assert min(shares) > 0.5  # two touch the cortex, and the tumour reaches between its folds


def test_what_flair_shows_brighter_than_white_matter_is_fluid_only_where_the_anatomy_is_sure():
    priors = np.zeros((len(INTRACRANIAL), 1, 1, 2), np.float32)
    priors[Tissue.CSF, ..., 0], priors[Tissue.WHITE, ..., 0] = 0.2, 0.8
    priors[Tissue.VENTRICLE, ..., 1], priors[Tissue.WHITE, ..., 1] = 0.9, 0.1
    posterior = np.zeros_like(priors)
    posterior[Tissue.CSF, ..., 0] = posterior[Tissue.VENTRICLE, ..., 1] = 1.0
    intensities = {FLAIR: TissueIntensities(np.zeros(9), np.ones(9))}
    bright, dark = ({FLAIR: np.full((1, 1, 2), value, np.float32)} for value in (1, -1))

    def named(images):
        return classify_tissue(priors, posterior, images, intensities).ravel().tolist()

    assert named(bright) == [Tissue.WHITE, Tissue.VENTRICLE]
    assert named(dark) == [Tissue.CSF, Tissue.VENTRICLE]
    assert named({}) == [Tissue.CSF, Tissue.VENTRICLE]


@pytest.mark.parametrize("code", ["SLP"])
def test_the_order_of_axes_changes_nothing(code, patient, upright):
    other = prepare(study_of(FLAIR=turned(patient["FLAIR"], code)))
    assert (
        mean_displacement(
            other.template_to_reference, load_template(), upright.template_to_reference
        )
        < 0.05
    )
    back = turned(
        other.reference.with_array(other.brain_mask),
        "".join(orientations.aff2axcodes(upright.reference.affine)),
    )
    assert (back.array != upright.brain_mask).mean() < 1e-3


def test_intensities_may_be_scaled_at_will(patient, upright):
    other = prepare(
        study_of(
            FLAIR=Volume(patient["FLAIR"].array.astype(np.float32) * 0.01, patient["FLAIR"].affine)
        )
    )
    a, b = upright.intensities[FLAIR], other.intensities[FLAIR]
    assert np.allclose(a.mean, b.mean, atol=0.15)


@pytest.mark.parametrize("seed", range(3))
def test_a_t2_turned_by_5_degrees_and_shifted_by_10_mm_is_brought_back_to_half_a_millimetre(
    seed, patient
):
    rng = np.random.default_rng(seed)
    axis = rng.standard_normal(3)
    t2, motion = moved(
        patient["T2"],
        tuple(5 * axis / np.linalg.norm(axis)),
        tuple(10 * axis[::-1] / np.linalg.norm(axis)),
    )
    found = register_rigidly(t2, patient["FLAIR"])
    assert mean_displacement(found @ np.eye(4), load_template(), motion) <= 0.5


def test_a_real_t2_turned_by_5_degrees_and_shifted_by_10_mm_is_brought_back_to_half_a_millimetre(
    data,
):
    case = data / "evaluation" / "ms_26"
    t2, flair = (read_scan(case / f"{m}.nii.gz").volume for m in ("t2", "flair"))
    rested = register_rigidly(t2, flair)
    turned_t2, motion = moved(t2, (3, -3, 2.65), (6, -6, 5.3))
    assert (
        mean_displacement(register_rigidly(turned_t2, flair), load_template(), motion @ rested)
        <= 0.5
    )


def test_ms_26_comes_home_from_6_poses(data):
    """Rotations up to 30°, shifts up to 40 mm, against the registration of the unmoved scan."""
    template = load_template()
    volume = read_scan(data / "evaluation" / "ms_26" / "flair.nii.gz").volume
    rested = register_to_template(volume, FLAIR, template, with_skull=False)
    rng = np.random.default_rng(26)
    apart = []
    for _ in range(6):
        axis, shift = rng.standard_normal(3), rng.standard_normal(3)
        angles = axis / np.linalg.norm(axis) * rng.uniform(0, 30)
        posed, motion = moved(
            volume, tuple(angles), tuple(shift / np.linalg.norm(shift) * rng.uniform(0, 40))
        )
        found = register_to_template(posed, FLAIR, template, with_skull=False)
        apart.append(mean_displacement(found, template, motion @ rested))
    assert max(apart) <= 2.0, np.round(apart, 2)


def test_a_scan_in_template_space_is_left_where_it_is(patient):
    template = load_template()
    picture = draw_template(template, T1, with_skull=True)
    grid = np.diag([2.0, 2, 2, 1])
    grid[:3, 3] = TEMPLATE_GRID.affine[:3, 3]
    rng = np.random.default_rng(0)
    shape = (91, 109, 91)
    array = resample(picture, Grid(shape, grid)) + 0.02 * rng.standard_normal(shape)
    scan = Volume((array * 500).astype(np.float32), grid)
    assert np.array_equal(register_to_template(scan, T1, template, with_skull=True), np.eye(4))
    away, _ = moved(scan, (0, 0, 12), (9, 0, 0))
    assert not np.array_equal(register_to_template(away, T1, template, with_skull=True), np.eye(4))


def test_an_affine_that_mirrors_or_crushes_a_head_is_not_believed():
    assert _is_plausible(np.diag([1.1, 0.9, 1.0, 1]), np.eye(4))
    assert not _is_plausible(np.diag([1.0, 1, -1, 1]), np.eye(4))
    assert not _is_plausible(np.diag([1.0, 1, 0.5, 1]), np.eye(4))


def test_stripped_scans_are_recognised_and_whole_heads_are_not(patient, prepared):
    head = patient["FLAIR"]
    assert find_stripped_brain(head) is None
    stripped = head.with_array(np.where(prepared.brain_mask, head.array, 0))
    found = find_stripped_brain(stripped)
    assert found is not None
    assert (
        2 * (found & prepared.brain_mask).sum() / (found.sum() + prepared.brain_mask.sum()) > 0.98
    )
    assert prepare(study_of(FLAIR=stripped)).is_stripped


def test_a_bimodal_histogram_cannot_swap_the_tissues():
    """Two equal peaks, and a lesion as large as a tissue: names stay with the anatomy."""
    rng = np.random.default_rng(0)
    n = 30_000
    truth = rng.choice([Tissue.WHITE, Tissue.CORTEX, Tissue.CSF], n, p=[0.42, 0.42, 0.16])
    priors = np.full((len(Tissue), n), 0.01, np.float32)
    priors[[Tissue.WHITE, Tissue.CORTEX, Tissue.CSF]] = 0.15
    priors[truth, np.arange(n)] = 0.7
    priors /= priors.sum(0)
    means = {Tissue.WHITE: 300.0, Tissue.CORTEX: 520.0, Tissue.CSF: 80.0}
    values = np.array([means[t] for t in truth]) + 25 * rng.standard_normal(n)
    values[(truth == Tissue.WHITE) & (rng.random(n) < 0.15)] = 900
    fit = fit_tissues({FLAIR: values.astype(np.float32)}, priors, with_skull=False).intensities[
        FLAIR
    ]
    assert fit.mean[Tissue.WHITE] == pytest.approx(300, abs=15)
    assert fit.mean[Tissue.CORTEX] == pytest.approx(520, abs=15)


@pytest.mark.parametrize(("modality", "fluid"), [(Modality.T2, 900.0), (FLAIR, 80.0)])
def test_half_filled_voxels_at_the_edge_of_a_tight_mask_are_not_taken_for_the_fluid(
    modality, fluid
):
    rng = np.random.default_rng(0)
    n = 30_000
    truth = rng.choice([Tissue.WHITE, Tissue.CORTEX, Tissue.CSF], n, p=[0.42, 0.42, 0.16])
    priors = np.full((len(Tissue), n), 0.01, np.float32)
    priors[truth, np.arange(n)] = 0.7
    priors /= priors.sum(0)
    means = {Tissue.WHITE: 300.0, Tissue.CORTEX: 400.0, Tissue.CSF: fluid}
    values = np.array([means[t] for t in truth]) + 25 * rng.standard_normal(n)
    edge = (truth == Tissue.CSF) & (rng.random(n) < 0.6)
    values[edge] = rng.uniform(0, 280, edge.sum())
    fit = fit_tissues({modality: values.astype(np.float32)}, priors, with_skull=False).intensities[
        modality
    ]
    assert fit.mean[Tissue.CSF] == pytest.approx(fluid, abs=80)


def test_the_scan_whose_histogram_misled_plain_modes_has_its_tissues_in_order(data):
    prepared = prepare(
        study_of(FLAIR=read_scan(data / "evaluation" / "wml_301D00293" / "flair.nii.gz").volume)
    )
    mean = prepared.intensities[FLAIR].mean
    assert mean[Tissue.VENTRICLE] < mean[Tissue.WHITE] < mean[Tissue.CORTEX]
    white = prepared.posterior[Tissue.WHITE] > 0.9
    assert abs(np.median(prepared.images[FLAIR][white]) - mean[Tissue.WHITE]) < 0.5


@pytest.mark.parametrize(
    ("kind", "modality"),
    [
        ("ball", "FLAIR"),
        ("cylinder", "T1"),
        ("shaded ball", "T1"),
        ("rods", "FLAIR"),
        ("noise", "T1"),
        ("shells", "FLAIR"),
    ],
)
def test_a_phantom_is_no_brain(kind, modality):
    with pytest.raises(PreparationFailed) as caught:
        prepare(study_of(**{modality: phantom(kind)}))
    assert "no brain" in str(caught.value) or "opposite order" in str(caught.value)


def test_a_contrast_with_a_wrong_name_is_noticed(patient):
    with pytest.raises(PreparationFailed, match=r"opposite order|no brain was found"):
        prepare(study_of(T1=patient["T2"]))


def test_a_real_head_is_found_to_hold_a_brain(data):
    for name in ("healthy/singles/c_T2.nii.gz", "evaluation/glioma_0003/flair.nii.gz"):
        modality = T2 if "T2" in name else FLAIR
        assert prepare(
            study_of(**{modality.value: read_scan(Path(data) / name, modality).volume})
        ).brain_mask.any()


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "not finite"), (np.inf, "not finite"), (0.0, "same value")]
)
def test_an_array_that_holds_no_image_is_refused_in_a_sentence(value, words):
    volume = Volume(np.full((40, 50, 40), value, np.float32), np.diag([4.0, 4, 4, 1]))
    with pytest.raises(UnsuitableScan, match=words):
        prepare(Study({Modality.FLAIR: Scan(volume, Modality.FLAIR)}))
