"""What a reader works on: a result with its live mask, and which findings were accepted or rejected. No Qt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from ..core.results import Finding, Segmentation
from ..core.settings import SegmentationSettings
from ..segmentation import Segmenter
from ..segmentation.review import accepted, peak_voxel, rejected_numbers
from .results import Results


class Session:
    """Keeps the detection in memory, so that a slider waits for nothing.

    Args:
        results: the nodes.

    Raises:
        BadResults: they are incomplete.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self.detection = results.detection()
        self._segmenter = Segmenter(self.detection)
        self._places = set(results.rejected)
        self.settings = results.settings
        self.segmentation: Segmentation = self._segmenter.segment(self.settings)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of the last cut, rejected ones included."""
        return self.segmentation.findings

    @property
    def rejected(self) -> frozenset[int]:
        """Numbers of the rejected findings."""
        return rejected_numbers(self.segmentation.labels, self._places)

    def level(self, settings: SegmentationSettings) -> float:
        """The lowest score that these settings can mark."""
        return self._segmenter.level(settings.threshold)

    def cut(self, settings: SegmentationSettings) -> Segmentation:
        """Mask and findings anew; nothing in the scene changes before `show`, but that the map of a former finding goes."""
        if settings != self.settings:
            self.results.drop_finding_map()
        self.settings = settings
        self.segmentation = self._segmenter.segment(settings)
        return self.segmentation

    def reject(self, numbers: Collection[int], rejected: bool = True) -> None:
        """Reject findings, or take them back; remembered by their place, also when numbers change."""
        labels = self.segmentation.labels
        for number in numbers:
            if rejected:
                finding = next(f for f in self.findings if f.number == number)
                self._places.add(peak_voxel(finding, self.detection.reference.affine))
            else:
                self._places = {
                    p for p in self._places if number not in rejected_numbers(labels, [p])
                }
        self.results.rejected = self._places

    def show(self, one_each: bool = False, overwrite: bool = False) -> Any:
        """Write the accepted findings into the segmentation; returns its node.

        Raises:
            EditedByHand: see `Results.write_segmentation`.
        """
        gone = self.rejected
        labels = accepted(self.segmentation.labels, gone)
        shown = replace(self.segmentation, labels=labels, mask=labels > 0)
        return self.results.write_segmentation(shown, self.settings, gone, one_each, overwrite)

    def total_ml(self) -> float:
        """Volume of the accepted findings."""
        gone = self.rejected
        return sum(f.volume_ml for f in self.findings if f.number not in gone)

    def kept(self) -> Segmentation:
        """The accepted findings alone, for reports and tables."""
        gone = self.rejected
        labels = accepted(self.segmentation.labels, gone)
        findings = tuple(f for f in self.findings if f.number not in gone)
        return replace(self.segmentation, labels=labels, mask=labels > 0, findings=findings)
