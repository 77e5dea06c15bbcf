"""Scans are guessed from the scene and read in place; unusable ones are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.study import Modality
from support.slicer.optional import needed
from support.slicer.scene_contents import add_scan, hierarchy, mask_of, segmented, turned

needed("slicer")


def test_a_scan_under_a_linear_transform_is_read_in_place_and_its_results_follow_it(
    scene, scan_node, detection
):
    import slicer
    from BrainSSLAnomalyLib.scene import Results, study_from_nodes

    transform, turn = turned(scene, scan_node)
    study = study_from_nodes({Modality.FLAIR: scan_node})
    matrix = slicer.util.arrayFromVTKMatrix(turn.GetMatrix())
    assert np.allclose(study.reference.volume.affine, matrix @ detection.reference.affine)
    moved = replace(detection, reference=study.reference.volume)
    results = Results.write(moved, {Modality.FLAIR: scan_node})
    node = results.write_segmentation(*segmented(moved))
    assert (
        results.layers["score"].GetTransformNodeID()
        == transform.GetID()
        == node.GetTransformNodeID()
    )
    lesion = segmented(results.detection())[0].findings[0]
    assert np.allclose(lesion.centroid_ras, (matrix @ [-24, 30, 15, 1])[:3], atol=1.5)
    assert np.array_equal(mask_of(node, scan_node), segmented(moved)[0].mask)


def test_a_scan_under_a_warp_is_refused_before_detection(scene, scan_node):
    import vtk
    from BrainSSLAnomalyLib.core.errors import UnsuitableScan
    from BrainSSLAnomalyLib.scene import study_from_nodes

    warp = vtk.vtkThinPlateSplineTransform()
    points = vtk.vtkPoints()
    for p in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50)):
        points.InsertNextPoint(*p)
    warp.SetSourceLandmarks(points)
    warp.SetTargetLandmarks(points)
    warp.SetBasisToR()
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "warp")
    transform.SetAndObserveTransformToParent(warp)
    scan_node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(UnsuitableScan, match="not linear"):
        study_from_nodes({Modality.FLAIR: scan_node})


def test_scans_on_different_grids_make_one_study(scene, detection):
    from BrainSSLAnomalyLib.core.study import Volume
    from BrainSSLAnomalyLib.scene import study_from_nodes

    coarse = Volume(
        detection.reference.array[::2], detection.reference.affine @ np.diag([1, 1, 2, 1])
    )
    study = study_from_nodes(
        {Modality.FLAIR: add_scan(detection.reference, "a"), Modality.T1: add_scan(coarse, "b")}
    )
    assert study.modalities == (Modality.FLAIR, Modality.T1)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("nothing chosen", "no scan was chosen"),
        ("twice", "is chosen as"),
        ("apart", "different places"),
        ("label map", "label map"),
        ("empty", "holds no voxels"),
        ("vector", "3 values a voxel"),
        ("constant", "same value"),
    ],
)
def test_an_unusable_scan_is_refused_in_one_sentence(scene, detection, what, words):
    import slicer
    from BrainSSLAnomalyLib.core.errors import UnsuitableScan
    from BrainSSLAnomalyLib.core.study import Volume
    from BrainSSLAnomalyLib.scene import study_from_nodes

    grid = detection.reference
    flair = add_scan(grid, "FLAIR")
    away = grid.affine.copy()
    away[0, 3] += 400
    choices = {
        "nothing chosen": lambda: {},
        "twice": lambda: {Modality.FLAIR: flair, Modality.T1: flair},
        "apart": lambda: {
            Modality.FLAIR: flair,
            Modality.T1: add_scan(Volume(grid.array, away), "T1"),
        },
        "label map": lambda: {
            Modality.T1: scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "l")
        },
        "empty": lambda: {Modality.T1: scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "e")},
        "vector": lambda: {
            Modality.T1: slicer.util.addVolumeFromArray(
                np.zeros((9, 9, 9, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode"
            )
        },
        "constant": lambda: {Modality.T1: add_scan(grid.with_array(np.ones_like(grid.array)), "c")},
    }
    with pytest.raises(UnsuitableScan, match=words):
        study_from_nodes(choices[what]())


def test_a_scan_that_changed_its_grid_is_noticed(results, scene):
    import slicer
    from BrainSSLAnomalyLib.core.errors import BadResults

    slicer.util.updateVolumeFromArray(
        results.reference, np.random.default_rng(0).random((20, 20, 20))
    )
    with pytest.raises(BadResults, match="detect again"):
        results.detection()


def test_scans_are_guessed_within_one_patient_and_study(scene, detection):
    from BrainSSLAnomalyLib.scene.guessing import describe, guess_scans

    tree, grid = hierarchy(), detection.reference
    a, b = (
        tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), n), "visit")
        for n in "AB"
    )
    nodes = {
        n: add_scan(grid, n)
        for n in ("T1_mprage", "ax FLAIR", "T2_tse", "lesion mask FLAIR", "t1 of B")
    }
    for name, node in nodes.items():
        tree.SetItemParent(tree.GetItemByDataNode(node), b if name == "t1 of B" else a)
    found = guess_scans()
    assert {m.value: n.GetName() for m, n in found.items()} == {
        "T1": "T1_mprage",
        "FLAIR": "ax FLAIR",
        "T2": "T2_tse",
    }
    other = guess_scans(nodes["t1 of B"])
    assert {m.value: n.GetName() for m, n in other.items()} == {"T1": "t1 of B"}
    assert (
        "ax FLAIR (FLAIR)" in describe(found)
        and "Without a FLAIR" in describe(other)
        and "at least one" in describe({})
    )


def test_the_description_of_a_dicom_series_counts_more_than_the_name(scene, detection):
    from BrainSSLAnomalyLib.scene.guessing import contrast_of

    node = add_scan(detection.reference, "5: unnamed")
    assert contrast_of(node) is None
    hierarchy().SetItemAttribute(
        hierarchy().GetItemByDataNode(node), "DICOM.SeriesDescription", "t2_tirm_tra_dark-fluid"
    )
    assert contrast_of(node) is Modality.FLAIR


def test_results_are_never_guessed_as_scans(results):
    from BrainSSLAnomalyLib.scene.guessing import guess_scans

    assert list(guess_scans().values()) == [results.reference]
