"""A session: a result with its live mask and its review. No Qt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..core.results import Detection, Finding, Segmentation
from ..core.settings import SegmentationSettings
from ..segmentation import Segmenter
from ..segmentation.review import peak_voxel, rejected_numbers, without_rejected
from .grids import Node
from .results import Results


class Session:
    """Keep a detection in memory, so that no slider waits.

    Args:
        results: the nodes.

    Raises:
        BadResults: they are incomplete.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self.detection: Detection = results.detection()
        self.settings = results.settings
        self._segmenter = Segmenter(self.detection)
        self._segmentation: Segmentation | None = None
        self._places = set(results.rejected)

    @property
    def segmentation(self) -> Segmentation:
        """Return mask and findings for the settings, rejected findings included."""
        if self._segmentation is None:
            self._segmentation = self._segmenter.segment(self.settings)
        return self._segmentation

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return all findings, rejected ones included."""
        return self.segmentation.findings

    @property
    def rejected(self) -> frozenset[int]:
        """Return the numbers of the rejected findings."""
        return rejected_numbers(self.segmentation.labels, self._places)

    @property
    def accepted(self) -> tuple[Finding, ...]:
        """Return the findings that are not rejected."""
        rejected = self.rejected
        return tuple(f for f in self.findings if f.number not in rejected)

    @property
    def accepted_ml(self) -> float:
        """Return the volume of the accepted findings, in ml."""
        return sum(f.volume_ml for f in self.accepted)

    def lowest_level(self, settings: SegmentationSettings) -> float:
        """Return the lowest score that some settings can mark."""
        return self._segmenter.lowest_level(settings.threshold)

    def segment(self, settings: SegmentationSettings) -> Segmentation:
        """Return mask and findings for new settings.

        The scene changes with `write` only, except that the map of a former finding is removed.
        """
        if settings != self.settings:
            self.results.remove_finding_map()
            self.settings = settings
            self._segmentation = None
        return self.segmentation

    def reject(self, numbers: Collection[int], *, is_rejected: bool = True) -> None:
        """Reject findings or accept them again; kept by place, also when numbers change."""
        labels = self.segmentation.labels
        for number in numbers:
            if is_rejected:
                finding = next(f for f in self.findings if f.number == number)
                self._places.add(peak_voxel(finding, self.detection.reference.grid))
            else:
                self._places = {
                    p for p in self._places if number not in rejected_numbers(labels, [p])
                }
        self.results.rejected = list(self._places)

    def write(self, *, one_each: bool = False, overwrite: bool = False) -> Node:
        """Write the accepted findings into the segmentation; return its node.

        Args:
            one_each: a segment a finding.
            overwrite: also where the segmentation has been edited by hand.

        Raises:
            EditedByHand: see `Results.write_segmentation`.
        """
        return self.results.write_segmentation(
            self._without_rejected(),
            self.settings,
            self.rejected,
            one_each=one_each,
            overwrite=overwrite,
        )

    def accepted_segmentation(self) -> Segmentation:
        """Return mask and findings without rejected ones, for reports and tables."""
        return replace(self._without_rejected(), findings=self.accepted)

    def _without_rejected(self) -> Segmentation:
        """Return the segmentation with the voxels of accepted findings and the list of all."""
        labels = without_rejected(self.segmentation.labels, self.rejected)
        return replace(self.segmentation, labels=labels, mask=labels > 0)
