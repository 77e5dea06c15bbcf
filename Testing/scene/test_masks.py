"""Masks are written as segmented, edits are kept, and rejected findings are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.settings import SegmentationSettings, ThresholdSettings
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.segmentation.review import peak_voxel, rejected_numbers, without_rejected
from support.slicer.optional import needed
from support.slicer.scene_contents import mask_of, segmented

needed("slicer")


def test_the_mask_arrives_voxel_for_voxel_on_a_left_handed_grid(results, detection):
    segmentation, settings = segmented(detection, threshold=0.5, low=0.3)
    node = results.write_segmentation(segmentation, settings)
    assert np.array_equal(mask_of(node, results.reference), segmentation.mask)


def test_one_segment_a_finding_has_names_and_the_terminology_of_a_lesion(results, two_lesions):
    import vtk

    segmentation, settings = segmented(two_lesions)
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
    segmentation, settings = segmented(detection, threshold=1.0, low=1.0)
    node = results.write_segmentation(segmentation, settings)
    assert not mask_of(node, results.reference).any() and not results.is_edited


def test_a_segmentation_edited_by_hand_is_overwritten_only_on_request(results, detection):
    import slicer
    from BrainSSLAnomalyLib.scene import EditedByHand

    node = results.write_segmentation(*segmented(detection))
    assert not results.is_edited
    edit = np.zeros(detection.brain_mask.shape, np.uint8)
    edit[30:33, 30:33, 30:33] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        edit, node, node.GetSegmentation().GetNthSegmentID(0), results.reference
    )
    assert results.is_edited
    with pytest.raises(EditedByHand):
        results.write_segmentation(*segmented(detection, threshold=0.6))
    assert np.array_equal(mask_of(node, results.reference), edit > 0)
    kept = results.release_segmentation()
    new = results.write_segmentation(*segmented(detection))
    assert new is not kept and np.array_equal(mask_of(kept, results.reference), edit > 0)
    results.write_segmentation(*segmented(detection), overwrite=True)


def test_a_segment_that_a_user_adds_counts_as_an_edit_and_is_kept(results, detection):
    import slicer

    node = results.write_segmentation(*segmented(detection))
    own = node.GetSegmentation().AddEmptySegment("own", "own")
    edit = np.zeros(detection.brain_mask.shape, np.uint8)
    edit[10:12, 10:12, 10:12] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(edit, node, own, results.reference)
    assert results.is_edited
    results.write_segmentation(*segmented(detection), overwrite=True)
    assert slicer.util.arrayFromSegmentBinaryLabelmap(node, own, results.reference).sum() == 8


def test_rejected_findings_leave_the_mask_and_stay_in_the_table(results, two_lesions):
    segmentation, settings = segmented(two_lesions)
    first = segmentation.findings[0]
    places = [peak_voxel(first, two_lesions.reference.grid)]
    numbers = rejected_numbers(segmentation.labels, places)
    assert numbers == {first.number}
    labels = without_rejected(segmentation.labels, numbers)
    node = results.write_segmentation(
        replace(segmentation, labels=labels, mask=labels > 0), settings, numbers
    )
    results.rejected = places
    assert np.array_equal(
        mask_of(node, results.reference), segmentation.mask & (segmentation.labels != first.number)
    )
    table = results.node.GetNodeReference("table")
    assert table.GetNumberOfRows() == len(segmentation.findings)
    assert (
        table.GetCellText(0, table.GetNumberOfColumns() - 1) == "rejected"
        and results.rejected == places
    )


def test_the_surface_is_shown_and_removed(results, detection):
    from BrainSSLAnomalyLib.scene.masks import show_surface

    node = results.write_segmentation(*segmented(detection))
    show_surface(node, True)
    assert node.GetSegmentation().ContainsRepresentation("Closed surface") and not results.is_edited
    show_surface(node, False)
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")


def test_slicer_knows_the_terminology_of_a_lesion(scene):
    import slicer
    from BrainSSLAnomalyLib.scene.masks import LESION, TERMINOLOGY, load_terminology

    assert load_terminology() and load_terminology()
    logic = slicer.modules.terminologies.logic()
    assert logic.IsTerminologyContextLoaded(TERMINOLOGY)
    entry = slicer.vtkSlicerTerminologyEntry()
    assert logic.DeserializeTerminologyEntry(LESION, entry)
    assert (
        entry.GetTypeObject().GetCodeMeaning() == "Lesion"
        and entry.GetTypeObject().GetCodeValue() == "52988006"
    )


def test_a_reader_rejects_a_finding_and_accepts_it_again(results, two_lesions, scene):
    from BrainSSLAnomalyLib.scene import Results
    from BrainSSLAnomalyLib.scene.session import Session

    session = Session(Results.write(two_lesions, {Modality.FLAIR: results.reference}))
    node = session.write()
    whole = mask_of(node, results.reference).sum()
    session.reject([2])
    session.write()
    assert (
        session.rejected == {2}
        and mask_of(node, results.reference).sum()
        == whole - (session.segmentation.labels == 2).sum()
    )
    assert len(session.findings) == 2 and len(session.accepted_segmentation().findings) == 1
    session.segment(SegmentationSettings(ThresholdSettings(threshold=0.5, low=0.4)))
    assert session.rejected == {2}
    assert Session(session.results).rejected == {2}
    session.reject([2], is_rejected=False)
    session.write()
    assert not session.rejected and mask_of(node, results.reference).sum() == whole


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.seg.nrrd"])
def test_the_mask_is_saved_as_it_is_in_the_scene(results, detection, tmp_path, name):
    import SimpleITK as sitk
    from BrainSSLAnomalyLib.core.errors import BrainSSLAnomalyError
    from BrainSSLAnomalyLib.scene.saving import save_mask

    segmentation, settings = segmented(detection)
    node = results.write_segmentation(segmentation, settings)
    save_mask(node, results.reference, tmp_path / name)
    assert (
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name))).sum()
        == segmentation.mask.sum()
    )
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
