"""Old people's scans are archived with what is not known to be healthy."""

from __future__ import annotations

import numpy as np
from support.packages import need_network

need_network()

from BrainSSLAnomalyLib.core.anatomy import Structure

from training.data import heads as archive


def test_a_lesion_map_is_grown_and_bright_white_matter_is_excluded_too():
    from training.data.elderly import crop_to_brain, find_possible_lesions

    rng = np.random.default_rng(0)
    structures = np.zeros((30, 30, 30), np.uint8)
    structures[5:25, 5:25, 5:25] = Structure.LEFT_WHITE
    flair = (100 + 5 * rng.standard_normal(structures.shape)).astype(np.float32)
    flair[20:22, 20:22, 20:22] = 160
    mapped = np.zeros(structures.shape, bool)
    mapped[10, 10, 10] = True
    excluded = find_possible_lesions(flair, structures, mapped)
    assert (
        excluded[10, 10, 8:13].all()
        and excluded[20:22, 20:22, 20:22].all()
        and excluded[19, 20, 20]
    )
    assert not excluded[structures == 0].any() and excluded.sum() < 0.2 * (structures > 0).sum()
    head = crop_to_brain(
        archive.Head(np.stack([flair, flair]), structures, excluded), margin_mm=4.0
    )
    assert head.images.shape == (2, 24, 24, 24) and head.excluded.sum() == excluded.sum()


def test_old_people_are_read_with_both_scans_on_one_grid_and_nobody_of_calibration(data, tmp_path):
    from training.data import elderly

    archive.write(
        tmp_path / "elderly.npz", elderly.read_elderly(most=1), modalities=elderly.MODALITIES
    )
    found = archive.read(tmp_path / "elderly.npz")
    t1, flair = found.images[0].astype(float)
    structures, excluded = found.structures[0], found.excluded[0]
    fluid = np.isin(structures, [Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE])
    white = np.isin(structures, [Structure.LEFT_WHITE, Structure.RIGHT_WHITE])
    assert all(
        np.median(image[fluid]) < 0.6 * np.median(image[white & ~excluded]) for image in (t1, flair)
    )
    assert np.median(flair[white & excluded]) > 1.1 * np.median(flair[white & ~excluded])
    assert 0.02 < excluded[structures > 0].mean() < 0.3
