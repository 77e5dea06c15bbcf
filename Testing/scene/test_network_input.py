"""The network's maps become layers, survive saving, and are removed when they no longer hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.results import MapName
from BrainSSLAnomalyLib.core.settings import DetectorName, SegmentationSettings, ThresholdSettings
from BrainSSLAnomalyLib.core.study import Modality
from support.detections import as_by_network
from support.slicer.optional import needed
from support.slicer.scene_contents import load, node_ids, turned

needed("slicer")


def array(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


def test_network_maps_become_layers_and_the_reconstruction_has_the_window_of_the_scan(
    scan_node, detection
):
    from BrainSSLAnomalyLib.scene import Results

    scan_node.GetDisplayNode().AutoWindowLevelOff()
    scan_node.GetDisplayNode().SetWindowLevelMinMax(10, 170)
    by_network = as_by_network(detection)
    layers = Results.write(by_network, {Modality.FLAIR: scan_node}).layers
    names = ["reconstruction", "reconstruction_error", "latent_distance", "uncertainty", "gradcam"]
    assert list(layers) == ["score", "zscore-FLAIR", "zscore-T1", *names]
    healthy = layers["reconstruction"].GetDisplayNode()
    assert healthy.GetColorNodeID() == "vtkMRMLColorTableNodeGrey"
    assert (healthy.GetWindowLevelMin(), healthy.GetWindowLevelMax()) == (10, 170)
    for name, top in zip(names[1:], (4.0, 1.5, 3.0, 1.0), strict=True):  # as in the report
        display = layers[name].GetDisplayNode()
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, top)
        assert display.GetColorNode().GetName().startswith("Network map")
    assert [n.GetAttribute("BrainSSLAnomaly.Layer") for n in layers.values()][3:] == [
        "reconstruction",
        "reconstruction error",
        "feature distance",
        "uncertainty",
        "Grad-CAM of all findings",
    ]


def test_network_maps_survive_saving_and_are_removed_by_a_statistical_detection(
    scene, scan_node, detection, tmp_path
):
    from BrainSSLAnomalyLib.scene import Results

    by_network = as_by_network(detection)
    maps = by_network.maps
    results = Results.write(by_network, {Modality.FLAIR: scan_node})
    assert set(results.detection().maps) == set(MapName)
    assert all(
        np.array_equal(results.detection().maps[name], array) for name, array in maps.items()
    )
    window = results.layers["reconstruction"].GetDisplayNode().GetWindowLevelMax()
    assert scene.WriteToMRB(str(tmp_path / "all.mrb"))
    scene.Clear(False)
    load(scene, tmp_path / "all.mrb")
    (again,) = Results.all_in_scene()
    back = again.detection()
    assert set(back.maps) == set(MapName) and again.layers[
        "reconstruction"
    ].GetDisplayNode().GetWindowLevelMax() == pytest.approx(window)
    assert all(np.allclose(back.maps[name], array[::-1], atol=1e-4) for name, array in maps.items())
    assert (
        again.layers["gradcam"].GetDisplayNode().GetColorNode().GetName().startswith("Network map")
    )
    mine = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "FLAIR reconstruction")
    plain = replace(back, detector=DetectorName.STATISTICAL, maps={})
    left = Results.write(plain, {Modality.FLAIR: again.reference})
    assert (
        left == again
        and list(left.layers) == ["score", "zscore-FLAIR", "zscore-T1"]
        and mine.GetScene() is scene
    )


def test_the_network_input_is_kept_hidden_in_place_and_survives_saving(
    scene, scan_node, detection, tmp_path
):
    import slicer
    from BrainSSLAnomalyLib.core.errors import BadResults
    from BrainSSLAnomalyLib.scene import Results
    from BrainSSLAnomalyLib.scene.guessing import guess_scans

    turned(scene, scan_node)
    by_network = as_by_network(detection)
    results = Results.write(by_network, {Modality.FLAIR: scan_node})
    assert results.has_network_input and list(guess_scans().values()) == [scan_node]
    count = len(node_ids(scene))
    assert (
        Results.write(by_network, {Modality.FLAIR: scan_node}) == results
        and len(node_ids(scene)) == count
    )
    assert scene.WriteToMRB(str(tmp_path / "all.mrb"))
    scene.Clear(False)
    load(scene, tmp_path / "all.mrb")
    (again,) = Results.all_in_scene()
    for one in (again.network_input, by_network.network_input):
        assert one.axes == (0,)
    assert np.allclose(again.network_input.affine, by_network.network_input.affine, atol=1e-3)
    assert np.allclose(
        again.network_input.images[Modality.FLAIR],
        by_network.network_input.images[Modality.FLAIR],
        atol=1e-5,
    )
    hidden = slicer.util.getNode("FLAIR network input FLAIR")
    assert hidden.GetHideFromEditors()
    plain = Results.write(replace(again.detection(), maps={}), {Modality.FLAIR: again.reference})
    assert not plain.has_network_input and hidden.GetScene() is None
    with pytest.raises(BadResults, match="detect again"):
        _ = plain.network_input


def test_the_map_of_one_finding_is_named_after_it_and_removed_with_a_new_mask(
    scan_node, two_lesions, scene
):
    from BrainSSLAnomalyLib.scene import Results
    from BrainSSLAnomalyLib.scene.session import Session

    results = Results.write(as_by_network(two_lesions), {Modality.FLAIR: scan_node})
    session = Session(results)
    for number in (2, 1):
        node = results.write_finding_map(
            number, (session.segmentation.labels == number).astype(np.float32)
        )
        assert list(results.layers)[-1] == "finding" and results.layers["finding"] is node
        assert (
            node.GetName()
            == f"FLAIR Grad-CAM of finding {number}"
            == f"FLAIR {node.GetAttribute('BrainSSLAnomaly.Layer')}"
        )
    assert np.array_equal(array(node) > 0, session.segmentation.labels == 1)
    session.segment(session.settings)
    session.reject([2])
    assert "finding" in results.layers
    assert set(results.detection().maps) == set(MapName)
    session.segment(SegmentationSettings(ThresholdSettings(threshold=0.5, low=0.4)))
    assert "finding" not in results.layers and node.GetScene() is None
    results.write_finding_map(1, np.zeros(two_lesions.brain_mask.shape, np.float32))
    Results.write(as_by_network(two_lesions), {Modality.FLAIR: scan_node})
    assert "finding" not in results.layers and "gradcam" in results.layers
