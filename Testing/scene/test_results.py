"""A detection in a real MRML scene: where its nodes are, what it keeps and what it changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.settings import SegmentationSettings
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.segmentation import segment
from support.detections import make_detection
from support.slicer.optional import needed
from support.slicer.scene_contents import add_scan, hierarchy, load, mask_of, node_ids, segmented

needed("slicer")


def test_every_map_of_the_detection_becomes_a_layer_the_score_first(results, detection):
    assert list(results.layers) == ["score", "zscore-FLAIR", "zscore-T1"]
    assert results.layers["score"].GetName() == "FLAIR anomaly score"
    for node in results.layers.values():
        assert node.GetNodeReference("BrainSSLAnomaly.Source") is results.reference
        assert node.GetDisplayNode().GetColorNode().GetNumberOfColors() == 256


def test_a_detection_is_read_from_the_scene_as_it_was_written(results, detection):
    again = results.detection()
    assert np.array_equal(again.anomaly_score, detection.anomaly_score)
    assert np.array_equal(again.brain_mask, detection.brain_mask)
    assert np.array_equal(again.anatomy.zones, detection.anatomy.zones)
    assert all(np.array_equal(again.zscores[m], z) for m, z in detection.zscores.items())
    assert np.allclose(again.reference.affine, detection.reference.affine)
    assert again.scan_p_value == detection.scan_p_value and again.inputs[1].source == "t1.nii.gz"
    assert (
        segment(again, SegmentationSettings()).findings
        == segment(detection, SegmentationSettings()).findings
    )


def test_results_are_in_one_folder_beside_their_scan(results, detection):
    results.write_segmentation(*segmented(detection))
    tree = hierarchy()
    folder = tree.GetItemParent(tree.GetItemByDataNode(results.segmentation))
    assert tree.GetItemName(folder) == "FLAIR anomalies"
    assert tree.GetItemParent(folder) == tree.GetItemParent(
        tree.GetItemByDataNode(results.reference)
    )
    assert tree.GetNumberOfItemChildren(folder) == 5


def test_results_are_under_the_patient_and_study_of_their_scan(scan_node, detection):
    from BrainSSLAnomalyLib.scene import Results

    tree = hierarchy()
    study = tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), "A"), "visit 1")
    tree.SetItemParent(tree.GetItemByDataNode(scan_node), study)
    results = Results.write(detection, {Modality.FLAIR: scan_node})
    folder = tree.GetItemParent(tree.GetItemByDataNode(results.layers["score"]))
    assert tree.GetItemParent(folder) == study


def test_a_second_run_replaces_its_own_nodes_and_nothing_else(results, scene, detection):
    from BrainSSLAnomalyLib.scene import Results

    results.write_segmentation(*segmented(detection))
    mine = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "FLAIR anomaly score")
    before = node_ids(scene)
    brighter = replace(detection, anomaly_score=detection.anomaly_score * np.float32(0.5))
    again = Results.write(brighter, {Modality.FLAIR: results.reference})
    again.write_segmentation(*segmented(brighter))
    assert node_ids(scene) == before and again == results
    assert mine.GetImageData() is None or mine.GetImageData().GetNumberOfPoints() == 0
    assert np.array_equal(again.detection().anomaly_score, brighter.anomaly_score)


def test_a_layer_that_is_no_longer_made_is_removed_by_the_second_run(results, detection):
    from BrainSSLAnomalyLib.scene import Results

    fewer = replace(
        detection,
        zscores={Modality.FLAIR: detection.zscores[Modality.FLAIR]},
        inputs=detection.inputs[:1],
    )
    assert list(Results.write(fewer, {Modality.FLAIR: results.reference}).layers) == [
        "score",
        "zscore-FLAIR",
    ]


def test_a_run_that_fails_leaves_the_scene_as_it_was(scene, scan_node):
    from BrainSSLAnomalyLib.core.errors import BadResults
    from BrainSSLAnomalyLib.scene import Results

    before = node_ids(scene)
    with pytest.raises(BadResults, match="another grid"):
        Results.write(make_detection((40, 50, 40), 4.0), {Modality.FLAIR: scan_node})
    assert node_ids(scene) == before


def test_everything_survives_saving_closing_and_loading_the_scene(
    results, scene, detection, tmp_path
):
    from BrainSSLAnomalyLib.scene import Results

    segmentation, settings = segmented(detection, threshold=0.6, low=0.25)
    results.write_segmentation(segmentation, settings)
    results.rejected = [(1, 2, 3)]
    file = tmp_path / "all.mrb"
    assert scene.WriteToMRB(str(file))
    scene.Clear(False)
    assert Results.all_in_scene() == []
    load(scene, file)
    (again,) = Results.all_in_scene()
    assert again.name == "FLAIR" and again.settings == settings and not again.is_edited
    last = (
        detection.brain_mask.shape[0] - 1
    )  # loading turns the left-handed grid: its first slice is now the last
    assert again.rejected == [(last - 1, 2, 3)]
    assert np.array_equal(mask_of(again.segmentation, again.reference), segmentation.mask[::-1])
    back = again.detection()
    assert np.allclose(back.anomaly_score, detection.anomaly_score[::-1], atol=1e-6)
    assert np.allclose(
        segmented(back)[0].findings[0].peak_ras,
        segmented(detection)[0].findings[0].peak_ras,
        atol=1e-3,
    )
    assert (
        again.layers["score"].GetDisplayNode().GetColorNode().GetName().startswith("Anomaly score")
    )
    again.write_segmentation(*segmented(back))


def test_several_patients_in_one_scene_are_independent(scene, detection):
    from BrainSSLAnomalyLib.scene import Results

    one, two = (
        Results.write(detection, {Modality.FLAIR: add_scan(detection.reference, n)})
        for n in ("FLAIR", "FLAIR of another")
    )
    for results in (one, two):
        results.write_segmentation(*segmented(detection))
    assert len(Results.all_in_scene()) == 2 and not set(one.layers.values()) & set(
        two.layers.values()
    )
    for node in (two.layers["score"], two.segmentation):
        scene.RemoveNode(node)
    assert Results.all_in_scene() == [one] and one.segmentation is not None
    assert one.reference is not None and len(one.layers) == 3


def test_slice_views_show_scan_and_two_maps_over_it(results, scene):
    import slicer
    from BrainSSLAnomalyLib.scene import jump_to, show_layers, show_threshold

    composite = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    view = scene.AddNode(slicer.vtkMRMLSliceNode())
    score, z, _ = results.layers.values()
    show_layers(results.reference, [score, z], 0.4)
    assert (
        composite.GetBackgroundVolumeID() == results.reference.GetID()
        and composite.GetForegroundVolumeID() == score.GetID()
    )
    assert composite.GetNthLayerVolumeID(3) == z.GetID() and composite.GetForegroundOpacity() == 0.4
    show_layers(results.reference, [], 0.4)
    assert composite.GetForegroundVolumeID() is None and composite.GetNthLayerVolumeID(3) is None
    show_threshold(score, 0.4)
    assert (
        score.GetDisplayNode().GetApplyThreshold()
        and score.GetDisplayNode().GetLowerThreshold() == 0.4
    )
    show_threshold(score, None)
    assert not score.GetDisplayNode().GetApplyThreshold()
    jump_to((-24, 30, 15))
    assert view.GetSliceOffset() == pytest.approx(15)


def test_a_colour_legend_is_shown_and_hidden(results):
    import slicer
    from BrainSSLAnomalyLib.scene.maps import show_legend

    node = results.layers["score"]
    show_legend(node, True)
    assert slicer.modules.colors.logic().GetColorLegendDisplayNode(node).GetVisibility()
    show_legend(node, False)
    assert not slicer.modules.colors.logic().GetColorLegendDisplayNode(node).GetVisibility()
