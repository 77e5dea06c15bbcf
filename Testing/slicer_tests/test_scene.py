"""A detection in a real MRML scene: where it stands, what it keeps, what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from BrainSSLAnomalyLib.detection import MapName
from BrainSSLAnomalyLib.segmentation import segment
from BrainSSLAnomalyLib.segmentation.review import accepted, peak_voxel, rejected_numbers
from BrainSSLAnomalyLib.settings import SegmentationSettings, ThresholdSettings
from BrainSSLAnomalyLib.study import Modality
from conftest import as_by_network, make_detection
from optional import needed

needed("slicer")


def add_scan(volume, name):
    import slicer

    node = slicer.util.addVolumeFromArray(volume.array, ijkToRAS=volume.affine, name=name)
    node.CreateDefaultDisplayNodes()
    tree = hierarchy()
    tree.CreateItem(tree.GetSceneItemID(), node)
    return node


@pytest.fixture
def scan_node(scene, detection):
    return add_scan(detection.reference, "FLAIR")


@pytest.fixture
def results(scan_node, detection):
    from BrainSSLAnomalyLib.scene import Results

    return Results.write(detection, {Modality.FLAIR: scan_node})


def hierarchy():
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def node_ids(scene):
    return {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}


def array(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


def mask_of(node, reference):
    import slicer

    ids = node.GetSegmentation().GetSegmentIDs()
    return np.any([slicer.util.arrayFromSegmentBinaryLabelmap(node, i, reference) > 0 for i in ids], axis=0)


@pytest.fixture
def two_lesions(detection):
    """The detection with a weaker second lesion, mirrored."""
    score = np.maximum(detection.anomaly_score, np.where(detection.anomaly_score[..., ::-1] > 0.5, 0.8, 0)).astype(np.float32)
    return replace(detection, anomaly_score=score)


def load(scene, file):
    """As Slicer loads a scene bundle; the core alone cannot unpack it."""
    import zipfile

    with zipfile.ZipFile(file) as archive:
        archive.extractall(file.parent / "unpacked")
    (mrml,) = (file.parent / "unpacked").rglob("*.mrml")
    scene.SetURL(str(mrml))
    assert scene.Connect()


def cut(detection, **threshold):
    settings = SegmentationSettings(ThresholdSettings(**threshold))
    return segment(detection, settings), settings


def test_every_map_of_the_detection_becomes_a_layer_the_score_first(results, detection):
    assert list(results.layers) == ["score", "zscore-FLAIR", "zscore-T1"]
    assert results.layers["score"].GetName() == "FLAIR anomaly score"
    for node in results.layers.values():
        assert node.GetNodeReference("BrainSSLAnomaly.Source") is results.reference
        assert node.GetDisplayNode().GetColorNode().GetNumberOfColors() == 256


def test_a_detection_comes_back_from_the_scene_as_it_went_in(results, detection):
    again = results.detection()
    assert np.array_equal(again.anomaly_score, detection.anomaly_score)
    assert np.array_equal(again.brain_mask, detection.brain_mask)
    assert np.array_equal(again.anatomy.zones, detection.anatomy.zones)
    assert all(np.array_equal(again.zscores[m], z) for m, z in detection.zscores.items())
    assert np.allclose(again.reference.affine, detection.reference.affine)
    assert again.scan_p_value == detection.scan_p_value and again.inputs[1].source == "t1.nii.gz"
    assert segment(again, SegmentationSettings()).findings == segment(detection, SegmentationSettings()).findings


def test_results_stand_in_one_folder_beside_their_scan(results, detection):
    results.write_segmentation(*cut(detection))
    tree = hierarchy()
    folder = tree.GetItemParent(tree.GetItemByDataNode(results.segmentation))
    assert tree.GetItemName(folder) == "FLAIR anomalies"
    assert tree.GetItemParent(folder) == tree.GetItemParent(tree.GetItemByDataNode(results.reference))
    assert tree.GetNumberOfItemChildren(folder) == 5


def test_results_stand_under_the_patient_and_study_of_their_scan(scan_node, detection):
    from BrainSSLAnomalyLib.scene import Results

    tree = hierarchy()
    study = tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), "A"), "visit 1")
    tree.SetItemParent(tree.GetItemByDataNode(scan_node), study)
    results = Results.write(detection, {Modality.FLAIR: scan_node})
    folder = tree.GetItemParent(tree.GetItemByDataNode(results.layers["score"]))
    assert tree.GetItemParent(folder) == study


def test_the_mask_arrives_voxel_for_voxel_on_a_left_handed_grid(results, detection):
    segmentation, settings = cut(detection, threshold=0.5, low=0.3)
    node = results.write_segmentation(segmentation, settings)
    assert np.array_equal(mask_of(node, results.reference), segmentation.mask)


def test_one_segment_a_finding_has_names_and_the_terminology_of_a_lesion(results, two_lesions):
    import vtk

    segmentation, settings = cut(two_lesions)
    assert len(segmentation.findings) == 2
    node = results.write_segmentation(segmentation, settings, one_each=True)
    ids = node.GetSegmentation().GetSegmentIDs()
    assert len(ids) == len(segmentation.findings)
    for finding in segmentation.findings[:5]:
        name = f"{finding.number} {finding.place}"
        segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
        tag = vtk.mutable("")
        node.GetSegmentation().GetSegment(segment_id).GetTag("TerminologyEntry", tag)
        assert "SCT^52988006^Lesion" in str(tag)
    assert np.array_equal(mask_of(node, results.reference), segmentation.mask)
    node = results.write_segmentation(segmentation, settings)
    assert node.GetSegmentation().GetNumberOfSegments() == 1


def test_an_empty_mask_leaves_an_empty_segment(results, detection):
    segmentation, settings = cut(detection, threshold=1.0, low=1.0)
    node = results.write_segmentation(segmentation, settings)
    assert not mask_of(node, results.reference).any() and not results.edited


def test_a_second_run_replaces_its_own_nodes_and_nothing_else(results, scene, detection):
    from BrainSSLAnomalyLib.scene import Results

    results.write_segmentation(*cut(detection))
    mine = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "FLAIR anomaly score")
    before = node_ids(scene)
    brighter = replace(detection, anomaly_score=detection.anomaly_score * np.float32(0.5))
    again = Results.write(brighter, {Modality.FLAIR: results.reference})
    again.write_segmentation(*cut(brighter))
    assert node_ids(scene) == before and again == results
    assert mine.GetImageData() is None or mine.GetImageData().GetNumberOfPoints() == 0
    assert np.array_equal(again.detection().anomaly_score, brighter.anomaly_score)


def test_a_layer_that_is_no_longer_made_goes_with_the_second_run(results, detection):
    from BrainSSLAnomalyLib.scene import Results

    fewer = replace(detection, zscores={Modality.FLAIR: detection.zscores[Modality.FLAIR]}, inputs=detection.inputs[:1])
    assert list(Results.write(fewer, {Modality.FLAIR: results.reference}).layers) == ["score", "zscore-FLAIR"]


def test_what_the_network_adds_becomes_layers_the_reconstruction_as_the_scan_is_seen(scan_node, detection):
    from BrainSSLAnomalyLib.scene import Results

    scan_node.GetDisplayNode().AutoWindowLevelOff()
    scan_node.GetDisplayNode().SetWindowLevelMinMax(10, 170)
    seen = as_by_network(detection)
    layers = Results.write(seen, {Modality.FLAIR: scan_node}).layers
    names = ["reconstruction", "reconstruction_error", "latent_distance", "uncertainty", "gradcam"]
    assert list(layers) == ["score", "zscore-FLAIR", "zscore-T1", *names]
    healthy = layers["reconstruction"].GetDisplayNode()
    assert healthy.GetColorNodeID() == "vtkMRMLColorTableNodeGrey"
    assert (healthy.GetWindowLevelMin(), healthy.GetWindowLevelMax()) == (10, 170)
    for name, top in zip(names[1:], (4.0, 1.5, 3.0, 1.0), strict=True):  # as in the report
        display = layers[name].GetDisplayNode()
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, top)
        assert display.GetColorNode().GetName().startswith("What the network saw")
    assert [n.GetAttribute("BrainSSLAnomaly.Layer") for n in layers.values()][3:] == [
        "reconstruction", "reconstruction error", "feature distance", "uncertainty", "Grad-CAM of all findings",
    ]  # fmt: skip


def test_what_the_network_adds_survives_saving_and_goes_with_a_run_of_the_statistics(scene, scan_node, detection, tmp_path):
    from BrainSSLAnomalyLib.scene import Results

    seen = as_by_network(detection)
    results = Results.write(seen, {Modality.FLAIR: scan_node})
    assert set(results.detection().maps) == set(MapName)
    assert all(np.array_equal(results.detection().maps[name], array) for name, array in seen.maps.items())
    window = results.layers["reconstruction"].GetDisplayNode().GetWindowLevelMax()
    assert scene.WriteToMRB(str(tmp_path / "all.mrb"))
    scene.Clear(False)
    load(scene, tmp_path / "all.mrb")
    (again,) = Results.everything()
    back = again.detection()
    assert set(back.maps) == set(MapName) and again.layers["reconstruction"].GetDisplayNode().GetWindowLevelMax() == pytest.approx(window)
    assert all(np.allclose(back.maps[name], array[::-1], atol=1e-4) for name, array in seen.maps.items())
    assert again.layers["gradcam"].GetDisplayNode().GetColorNode().GetName().startswith("What the network saw")
    mine = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "FLAIR reconstruction")
    plain = replace(back, detector="statistical", maps={})
    left = Results.write(plain, {Modality.FLAIR: again.reference})
    assert left == again and list(left.layers) == ["score", "zscore-FLAIR", "zscore-T1"] and mine.GetScene() is scene


def turned(scene, node):
    """Put a node under a linear transform; the transform's node, and the transform."""
    import vtk

    turn = vtk.vtkTransform()
    turn.Translate(10, -20, 30)
    turn.RotateZ(20)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turn")
    transform.SetMatrixTransformToParent(turn.GetMatrix())
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform, turn


def test_what_the_network_looked_at_is_kept_hidden_where_it_is_and_survives_saving(scene, scan_node, detection, tmp_path):
    import slicer
    from BrainSSLAnomalyLib.errors import BadResults
    from BrainSSLAnomalyLib.scene import Results
    from BrainSSLAnomalyLib.scene.guessing import guess_scans

    turned(scene, scan_node)
    seen = as_by_network(detection)
    results = Results.write(seen, {Modality.FLAIR: scan_node})
    assert results.explainable and list(guess_scans().values()) == [scan_node]
    count = len(node_ids(scene))
    assert Results.write(seen, {Modality.FLAIR: scan_node}) == results and len(node_ids(scene)) == count
    assert scene.WriteToMRB(str(tmp_path / "all.mrb"))
    scene.Clear(False)
    load(scene, tmp_path / "all.mrb")
    (again,) = Results.everything()
    for one in (again.looked_at, seen.looked_at):
        assert one.axis == 0
    assert np.allclose(again.looked_at.affine, seen.looked_at.affine, atol=1e-3)
    assert np.allclose(again.looked_at.images[Modality.FLAIR], seen.looked_at.images[Modality.FLAIR], atol=1e-5)
    hidden = slicer.util.getNode("FLAIR network input FLAIR")
    assert hidden.GetHideFromEditors()
    plain = Results.write(replace(again.detection(), maps={}), {Modality.FLAIR: again.reference})
    assert not plain.explainable and hidden.GetScene() is None
    with pytest.raises(BadResults, match="detect again"):
        _ = plain.looked_at


def test_the_map_of_one_finding_is_named_after_it_and_goes_when_findings_are_cut_anew(scan_node, two_lesions, scene):
    from BrainSSLAnomalyLib.scene import Results
    from BrainSSLAnomalyLib.scene.session import Session

    results = Results.write(as_by_network(two_lesions), {Modality.FLAIR: scan_node})
    session = Session(results)
    for number in (2, 1):
        node = results.write_finding_map(number, (session.segmentation.labels == number).astype(np.float32))
        assert list(results.layers)[-1] == "finding" and results.layers["finding"] is node
        assert node.GetName() == f"FLAIR Grad-CAM of finding {number}" == f"FLAIR {node.GetAttribute('BrainSSLAnomaly.Layer')}"
    assert np.array_equal(array(node) > 0, session.segmentation.labels == 1)
    session.cut(session.settings)
    session.reject([2])
    assert "finding" in results.layers
    assert set(results.detection().maps) == set(MapName)
    session.cut(SegmentationSettings(ThresholdSettings(threshold=0.5, low=0.4)))
    assert "finding" not in results.layers and node.GetScene() is None
    results.write_finding_map(1, np.zeros(two_lesions.brain_mask.shape, np.float32))
    Results.write(as_by_network(two_lesions), {Modality.FLAIR: scan_node})
    assert "finding" not in results.layers and "gradcam" in results.layers


def test_a_run_that_fails_leaves_the_scene_as_it_was(scene, scan_node):
    from BrainSSLAnomalyLib.errors import BadResults
    from BrainSSLAnomalyLib.scene import Results

    before = node_ids(scene)
    with pytest.raises(BadResults, match="another grid"):
        Results.write(make_detection((40, 50, 40), 4.0), {Modality.FLAIR: scan_node})
    assert node_ids(scene) == before


def test_a_segmentation_edited_by_hand_is_not_overwritten_unless_asked(results, detection):
    import slicer
    from BrainSSLAnomalyLib.scene import EditedByHand

    node = results.write_segmentation(*cut(detection))
    assert not results.edited
    edit = np.zeros(detection.brain_mask.shape, np.uint8)
    edit[30:33, 30:33, 30:33] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(edit, node, node.GetSegmentation().GetNthSegmentID(0), results.reference)
    assert results.edited
    with pytest.raises(EditedByHand):
        results.write_segmentation(*cut(detection, threshold=0.6))
    assert np.array_equal(mask_of(node, results.reference), edit > 0)
    kept = results.let_go_of_segmentation()
    new = results.write_segmentation(*cut(detection))
    assert new is not kept and np.array_equal(mask_of(kept, results.reference), edit > 0)
    results.write_segmentation(*cut(detection), overwrite=True)


def test_a_segment_that_a_user_adds_is_an_edit_and_is_left_alone(results, detection):
    import slicer

    node = results.write_segmentation(*cut(detection))
    own = node.GetSegmentation().AddEmptySegment("own", "own")
    edit = np.zeros(detection.brain_mask.shape, np.uint8)
    edit[10:12, 10:12, 10:12] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(edit, node, own, results.reference)
    assert results.edited
    results.write_segmentation(*cut(detection), overwrite=True)
    assert slicer.util.arrayFromSegmentBinaryLabelmap(node, own, results.reference).sum() == 8


def test_rejected_findings_leave_the_mask_and_stay_in_the_table(results, two_lesions):
    segmentation, settings = cut(two_lesions)
    first = segmentation.findings[0]
    places = [peak_voxel(first, two_lesions.reference.affine)]
    numbers = rejected_numbers(segmentation.labels, places)
    assert numbers == {first.number}
    labels = accepted(segmentation.labels, numbers)
    node = results.write_segmentation(replace(segmentation, labels=labels, mask=labels > 0), settings, numbers)
    results.rejected = places
    assert np.array_equal(mask_of(node, results.reference), segmentation.mask & (segmentation.labels != first.number))
    table = results.node.GetNodeReference("table")
    assert table.GetNumberOfRows() == len(segmentation.findings)
    assert table.GetCellText(0, table.GetNumberOfColumns() - 1) == "rejected" and results.rejected == places


def test_everything_survives_saving_closing_and_loading_the_scene(results, scene, detection, tmp_path):
    from BrainSSLAnomalyLib.scene import Results

    segmentation, settings = cut(detection, threshold=0.6, low=0.25)
    results.write_segmentation(segmentation, settings)
    results.rejected = [(1, 2, 3)]
    file = tmp_path / "all.mrb"
    assert scene.WriteToMRB(str(file))
    scene.Clear(False)
    assert Results.everything() == []
    load(scene, file)
    (again,) = Results.everything()
    assert again.name == "FLAIR" and again.settings == settings and not again.edited
    last = detection.brain_mask.shape[0] - 1  # loading turns the left-handed grid: its first slice is now the last
    assert again.rejected == [(last - 1, 2, 3)]
    assert np.array_equal(mask_of(again.segmentation, again.reference), segmentation.mask[::-1])
    back = again.detection()
    assert np.allclose(back.anomaly_score, detection.anomaly_score[::-1], atol=1e-6)
    assert np.allclose(cut(back)[0].findings[0].peak_ras, cut(detection)[0].findings[0].peak_ras, atol=1e-3)
    assert again.layers["score"].GetDisplayNode().GetColorNode().GetName().startswith("Anomaly score")
    again.write_segmentation(*cut(back))


def test_several_patients_in_one_scene_do_not_touch_each_other(scene, detection):
    from BrainSSLAnomalyLib.scene import Results

    one, two = (Results.write(detection, {Modality.FLAIR: add_scan(detection.reference, n)}) for n in ("FLAIR", "FLAIR of another"))
    for results in (one, two):
        results.write_segmentation(*cut(detection))
    assert len(Results.everything()) == 2 and not set(one.layers.values()) & set(two.layers.values())
    two.remove()
    assert Results.everything() == [one] and one.segmentation is not None
    assert one.reference is not None and len(one.layers) == 3


def test_removing_results_leaves_the_scene_as_before_them(scene, scan_node, detection):
    from BrainSSLAnomalyLib.scene import Results

    before = node_ids(scene)
    Results.write(detection, {Modality.FLAIR: scan_node}).write_segmentation(*cut(detection))
    Results.everything()[0].remove()
    left = {scene.GetNodeByID(i).GetClassName() for i in node_ids(scene) - before}
    assert left <= {"vtkMRMLColorTableNode", "vtkMRMLSubjectHierarchyNode"}


def test_a_scan_under_a_linear_transform_is_read_where_it_is_and_its_results_go_along(scene, scan_node, detection):
    import slicer
    from BrainSSLAnomalyLib.scene import Results, study_from_nodes

    transform, turn = turned(scene, scan_node)
    study = study_from_nodes({Modality.FLAIR: scan_node})
    matrix = slicer.util.arrayFromVTKMatrix(turn.GetMatrix())
    assert np.allclose(study.reference.volume.affine, matrix @ detection.reference.affine)
    moved = replace(detection, reference=study.reference.volume)
    results = Results.write(moved, {Modality.FLAIR: scan_node})
    node = results.write_segmentation(*cut(moved))
    assert results.layers["score"].GetTransformNodeID() == transform.GetID() == node.GetTransformNodeID()
    lesion = cut(results.detection())[0].findings[0]
    assert np.allclose(lesion.centroid_ras, (matrix @ [-24, 30, 15, 1])[:3], atol=1.5)
    assert np.array_equal(mask_of(node, scan_node), cut(moved)[0].mask)


def test_a_scan_under_a_warp_is_refused_before_detection(scene, scan_node):
    import vtk
    from BrainSSLAnomalyLib.scene import problem

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
    assert "not linear" in problem(scan_node)


def test_scans_on_different_grids_make_one_study(scene, detection):
    from BrainSSLAnomalyLib.scene import study_from_nodes
    from BrainSSLAnomalyLib.study import Volume

    coarse = Volume(detection.reference.array[::2], detection.reference.affine @ np.diag([1, 1, 2, 1]))
    study = study_from_nodes({Modality.FLAIR: add_scan(detection.reference, "a"), Modality.T1: add_scan(coarse, "b")})
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
def test_what_cannot_be_used_is_refused_in_one_sentence(scene, detection, what, words):
    import slicer
    from BrainSSLAnomalyLib.errors import UnsuitableScan
    from BrainSSLAnomalyLib.scene import study_from_nodes
    from BrainSSLAnomalyLib.study import Volume

    grid = detection.reference
    flair = add_scan(grid, "FLAIR")
    away = grid.affine.copy()
    away[0, 3] += 400
    choices = {
        "nothing chosen": lambda: {},
        "twice": lambda: {Modality.FLAIR: flair, Modality.T1: flair},
        "apart": lambda: {Modality.FLAIR: flair, Modality.T1: add_scan(Volume(grid.array, away), "T1")},
        "label map": lambda: {Modality.T1: scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "l")},
        "empty": lambda: {Modality.T1: scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "e")},
        "vector": lambda: {
            Modality.T1: slicer.util.addVolumeFromArray(np.zeros((9, 9, 9, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode")
        },
        "constant": lambda: {Modality.T1: add_scan(grid.with_array(np.ones_like(grid.array)), "c")},
    }
    with pytest.raises(UnsuitableScan, match=words):
        study_from_nodes(choices[what]())


def test_a_scan_that_changed_its_grid_is_noticed(results, scene):
    import slicer
    from BrainSSLAnomalyLib.errors import BadResults

    slicer.util.updateVolumeFromArray(results.reference, np.random.default_rng(0).random((20, 20, 20)))
    with pytest.raises(BadResults, match="detect again"):
        results.detection()


def test_slice_views_show_scan_and_two_maps_over_it(results, scene):
    import slicer
    from BrainSSLAnomalyLib.scene import jump, show_layers, show_threshold

    composite = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    view = scene.AddNode(slicer.vtkMRMLSliceNode())
    score, z, _ = results.layers.values()
    show_layers(results.reference, [score, z], 0.4)
    assert composite.GetBackgroundVolumeID() == results.reference.GetID() and composite.GetForegroundVolumeID() == score.GetID()
    assert composite.GetNthLayerVolumeID(3) == z.GetID() and composite.GetForegroundOpacity() == 0.4
    show_layers(results.reference, [], 0.4)
    assert composite.GetForegroundVolumeID() is None and composite.GetNthLayerVolumeID(3) is None
    show_threshold(score, 0.4)
    assert score.GetDisplayNode().GetApplyThreshold() and score.GetDisplayNode().GetLowerThreshold() == 0.4
    show_threshold(score, None)
    assert not score.GetDisplayNode().GetApplyThreshold()
    jump((-24, 30, 15))
    assert view.GetSliceOffset() == pytest.approx(15)


def test_a_colour_legend_is_shown_and_hidden(results):
    import slicer
    from BrainSSLAnomalyLib.scene.maps import show_legend

    node = results.layers["score"]
    show_legend(node, True)
    assert slicer.modules.colors.logic().GetColorLegendDisplayNode(node).GetVisibility()
    show_legend(node, False)
    assert not slicer.modules.colors.logic().GetColorLegendDisplayNode(node).GetVisibility()


def test_the_surface_is_made_when_wanted_and_gone_when_not(results, detection):
    from BrainSSLAnomalyLib.scene.masks import show_surface

    node = results.write_segmentation(*cut(detection))
    show_surface(node, True)
    assert node.GetSegmentation().ContainsRepresentation("Closed surface") and not results.edited
    show_surface(node, False)
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")


def test_the_terminology_of_a_lesion_is_known_to_slicer(scene):
    import slicer
    from BrainSSLAnomalyLib.scene.masks import LESION, TERMINOLOGY, load_terminology

    assert load_terminology() and load_terminology()
    logic = slicer.modules.terminologies.logic()
    assert logic.IsTerminologyContextLoaded(TERMINOLOGY)
    entry = slicer.vtkSlicerTerminologyEntry()
    assert logic.DeserializeTerminologyEntry(LESION, entry)
    assert entry.GetTypeObject().GetCodeMeaning() == "Lesion" and entry.GetTypeObject().GetCodeValue() == "52988006"


def test_scans_are_guessed_within_one_patient_and_study(scene, detection):
    from BrainSSLAnomalyLib.scene.guessing import describe, guess_scans

    tree, grid = hierarchy(), detection.reference
    a, b = (tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), n), "visit") for n in "AB")
    nodes = {n: add_scan(grid, n) for n in ("T1_mprage", "ax FLAIR", "T2_tse", "lesion mask FLAIR", "t1 of B")}
    for name, node in nodes.items():
        tree.SetItemParent(tree.GetItemByDataNode(node), b if name == "t1 of B" else a)
    found = guess_scans()
    assert {m.value: n.GetName() for m, n in found.items()} == {"T1": "T1_mprage", "FLAIR": "ax FLAIR", "T2": "T2_tse"}
    other = guess_scans(nodes["t1 of B"])
    assert {m.value: n.GetName() for m, n in other.items()} == {"T1": "t1 of B"}
    assert "ax FLAIR (FLAIR)" in describe(found) and "Without a FLAIR" in describe(other) and "at least one" in describe({})


def test_the_description_of_a_dicom_series_counts_more_than_the_name(scene, detection):
    from BrainSSLAnomalyLib.scene.guessing import contrast_of

    node = add_scan(detection.reference, "5: unnamed")
    assert contrast_of(node) is None
    hierarchy().SetItemAttribute(hierarchy().GetItemByDataNode(node), "DICOM.SeriesDescription", "t2_tirm_tra_dark-fluid")
    assert contrast_of(node) is Modality.FLAIR


def test_results_are_never_guessed_as_scans(results):
    from BrainSSLAnomalyLib.scene.guessing import guess_scans

    assert list(guess_scans().values()) == [results.reference]


def test_a_reader_rejects_a_finding_and_takes_it_back(results, two_lesions, scene):
    from BrainSSLAnomalyLib.scene import Results
    from BrainSSLAnomalyLib.scene.session import Session

    session = Session(Results.write(two_lesions, {Modality.FLAIR: results.reference}))
    node = session.show()
    whole = mask_of(node, results.reference).sum()
    session.reject([2])
    session.show()
    assert session.rejected == {2} and mask_of(node, results.reference).sum() == whole - (session.segmentation.labels == 2).sum()
    assert len(session.findings) == 2 and len(session.kept().findings) == 1
    session.cut(SegmentationSettings(ThresholdSettings(threshold=0.5, low=0.4)))
    assert session.rejected == {2}
    assert Session(session.results).rejected == {2}
    session.reject([2], rejected=False)
    session.show()
    assert not session.rejected and mask_of(node, results.reference).sum() == whole


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.seg.nrrd"])
def test_the_mask_is_saved_as_it_stands_in_the_scene(results, detection, tmp_path, name):
    import SimpleITK as sitk
    from BrainSSLAnomalyLib.errors import BrainSSLAnomalyError
    from BrainSSLAnomalyLib.scene.saving import save_mask

    segmentation, settings = cut(detection)
    node = results.write_segmentation(segmentation, settings)
    save_mask(node, results.reference, tmp_path / name)
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name))).sum() == segmentation.mask.sum()
    assert [p.name for p in tmp_path.iterdir()] == [name]
    with pytest.raises(BrainSSLAnomalyError, match="choose another folder"):
        save_mask(node, results.reference, tmp_path / "missing" / name)


def test_the_report_holds_accepted_findings_only(results, two_lesions, tmp_path):
    from BrainSSLAnomalyLib.imageio import read_results
    from BrainSSLAnomalyLib.scene import Results
    from BrainSSLAnomalyLib.scene.saving import save_report
    from BrainSSLAnomalyLib.scene.session import Session

    session = Session(Results.write(two_lesions, {Modality.FLAIR: results.reference}))
    session.reject([1])
    page = save_report(session, tmp_path / "out")
    assert page.is_file() and len(read_results(tmp_path / "out")[2]["findings"]) == 1
