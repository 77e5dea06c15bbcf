"""Heads are archived with their sides, and a site's own scans can be added."""

from __future__ import annotations

import numpy as np
import pytest
from support.packages import need_network

need_network()

from BrainSSLAnomalyLib.core.anatomy import Structure
from BrainSSLAnomalyLib.core.study import Modality

from training.data import heads as archive


def test_segmentations_of_ixi_have_their_sides_where_right_is_right(data):
    _, structures, _ = next(archive.read_ixi(most=1))
    assert set(np.unique(structures)) == {int(s) for s in Structure}
    across = np.arange(structures.shape[2])
    for left in range(Structure.LEFT_WHITE, Structure.MIDLINE_VENTRICLES, 2):
        where = [
            float((across * (structures == code).sum((0, 1))).sum() / (structures == code).sum())
            for code in (left, left + 1)
        ]
        assert where[0] < where[1], Structure(left)


def test_an_archive_of_heads_reads_as_it_was_written_and_an_empty_one_is_refused(tmp_path):
    image = np.linspace(0, 1, 6 * 7 * 8, dtype=np.float32).reshape(1, 6, 7, 8)
    structures = np.arange(6 * 7 * 8).reshape(6, 7, 8).astype(np.uint8) % 18
    archive.write(tmp_path / "heads.npz", [archive.Head(image, structures)])
    found = archive.read(tmp_path / "heads.npz")
    assert found.modalities == (Modality.T1,) and not found.excluded[0].any()
    assert (
        np.array_equal(found.structures[0], structures)
        and np.abs(found.images[0] / 255 - image / 0.997).max() < 0.01
    )
    with pytest.raises(SystemExit, match="No scan was found"):
        archive.write(
            tmp_path / "none.npz",
            archive.read_folder(tmp_path / "missing") if (tmp_path / "missing").mkdir() else [],
        )
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".npz"] == ["heads.npz"]


def test_a_sites_own_scans_are_labelled_by_the_shipped_network(tmp_path):
    pytest.importorskip("monai")
    import nibabel as nib
    from BrainSSLAnomalyLib.phantom import synthetic_patient

    study, _ = synthetic_patient(3, spacing=4.0)
    scan = study.reference.volume
    nib.save(nib.nifti1.Nifti1Image(scan.array.T, scan.affine), tmp_path / "a.nii.gz")
    (_, structures, _), *rest = archive.read_folder(tmp_path)
    assert not rest and 0.05 < (structures > 0).mean() < 0.8
