"""The statistical detector: healthy statistics, no network."""

from __future__ import annotations

from ..core.progress import Progress, StageClock
from ..core.settings import DetectorName, ScoreName
from ..preparation import PreparedStudy
from ..scoring.exceedance import exceedance_table
from ..scoring.region_trimming import anomaly_score
from .method import ScoreMaps
from .statistics import compute_deviation, compute_zscores, peak_level, scored_voxels

SCORE = "Scoring"


class StatisticalDetector:
    """Score by how improbable a voxel is among the tissues of healthy people at its place."""

    name = DetectorName.STATISTICAL
    score_name = ScoreName.STATISTICAL

    def score(self, prepared: PreparedStudy, progress: Progress) -> ScoreMaps:
        """Return the scores of a study; see `DetectionMethod`."""
        clock = StageClock(progress, {SCORE: 1.0})
        with clock.stage(SCORE):
            zscores = compute_zscores(prepared)
            deviation = compute_deviation(prepared, zscores)
            table = exceedance_table(prepared.images, self.score_name)
            score = anomaly_score(deviation, scored_voxels(prepared), table, self.score_name)
        progress(SCORE, 1.0)
        return ScoreMaps(
            anomaly_score=prepared.on_whole_grid(score),
            zscores={m: prepared.on_whole_grid(z) for m, z in zscores.items()},
            scan_p_value=table.p_value(peak_level(prepared, deviation)),
            healthy_scans=table.scans,
            times=clock.times,
        )
