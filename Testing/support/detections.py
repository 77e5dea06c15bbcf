"""A small made detection with a lesion of known place, by the statistics and by the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from BrainSSLAnomalyLib.core.anatomy import PatientAnatomy, Region, Zone
from BrainSSLAnomalyLib.core.progress import StageTime
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.results import Detection, MapName, NetworkInput, Provenance
from BrainSSLAnomalyLib.core.settings import (
    AnatomySource,
    DetectionSettings,
    DetectorName,
    ScoreName,
)
from BrainSSLAnomalyLib.core.study import Modality, Scan, Volume
from BrainSSLAnomalyLib.preparation.canonical import canonical_grid

QUICK = DetectionSettings(detector=DetectorName.STATISTICAL, anatomy=AnatomySource.ATLAS)
"""Without a network, where something else is tested."""


def make_detection(shape: tuple[int, int, int] = (60, 72, 60), spacing: float = 3.0) -> Detection:
    """An ellipsoid brain with a bright sphere in its left frontal white matter, on a LAS grid.

    The sphere has radius 9 mm and its centre at RAS (−24, 30, 15) mm.
    """
    k, j, i = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    centre = (np.array(shape[::-1]) - 1) / 2
    affine = np.diag([-spacing, spacing, spacing, 1.0])
    affine[:3, 3] = [spacing * centre[0], -spacing * centre[1], -spacing * centre[2]]
    r, a, s = (affine[n, n] * x + affine[n, 3] for n, x in enumerate((i, j, k)))
    brain = (r / 68) ** 2 + (a / 85) ** 2 + (s / 65) ** 2 < 1
    ventricle = (r / 14) ** 2 + (a / 30) ** 2 + (s / 10) ** 2 < 1
    lesion = (r + 24) ** 2 + (a - 30) ** 2 + (s - 15) ** 2 < 9**2
    rng = np.random.default_rng(0)
    image = (
        (100 * brain - 60 * ventricle + 60 * lesion + 3 * rng.standard_normal(shape) * brain)
        .clip(0)
        .astype(np.float32)
    )
    z = (rng.standard_normal(shape) * brain + 6 * lesion).astype(np.float32)
    score = np.where(brain, 0.05 + 0.9 * lesion + 0.04 * rng.random(shape), 0).astype(np.float32)
    side = np.where(r < 0, Region.LEFT_FRONTAL, Region.RIGHT_FRONTAL)
    regions = np.where(brain, side, Region.OUTSIDE).astype(np.uint8)
    regions[ventricle & (r < 0)], regions[ventricle & (r >= 0)] = (
        Region.LEFT_LATERAL_VENTRICLE,
        Region.RIGHT_LATERAL_VENTRICLE,
    )
    zones = np.where(brain, Zone.DEEP_WHITE, Zone.OUTSIDE).astype(np.uint8)
    zones[brain & ((r / 64) ** 2 + (a / 81) ** 2 + (s / 61) ** 2 > 1)] = Zone.CORTEX
    zones[ventricle] = Zone.VENTRICLE
    volume = Volume(image, affine)
    return Detection(
        reference=volume,
        modality=Modality.FLAIR,
        anomaly_score=score,
        brain_mask=brain,
        zscores={Modality.FLAIR: z, Modality.T1: (-0.5 * z).astype(np.float32)},
        anatomy=PatientAnatomy(regions, zones),
        detector=DetectorName.STATISTICAL,
        inputs=(
            Scan(volume, Modality.FLAIR, "flair.nii.gz", "0" * 64, ""),
            Scan(volume, Modality.T1, "t1.nii.gz", "1" * 64, "file name"),
        ),
        times={"Reading": StageTime(0.1, 0.1), "Scoring": StageTime(0.2, 0.3)},
        scan_p_value=0.05,
        provenance=Provenance(
            score=ScoreName.STATISTICAL,
            settings=QUICK,
            anatomy=AnatomySource.ATLAS,
            brain_volume_ml=round(float(brain.sum() * volume.voxel_ml), 1),
            skull_stripped=False,
            healthy_scans=20,
            template_to_reference=np.eye(4),
        ),
    )


def as_by_network(detection: Detection) -> Detection:
    """The same with what the network adds: a reconstruction without the lesion, and maps."""
    lesion = detection.anomaly_score > 0.5
    error = (5 * lesion + 0.2 * detection.brain_mask).astype(np.float32)
    maps = {
        MapName.RECONSTRUCTION: np.where(lesion, 100, detection.reference.array).astype(np.float32),
        MapName.ERROR: error,
        MapName.LATENT: (error / 4).astype(np.float32),
        MapName.UNCERTAINTY: (error / 2).astype(np.float32),
        MapName.GRADCAM: lesion.astype(np.float32),
    }
    grid = canonical_grid(detection.reference.grid, 3.0)
    image = detection.reference.with_array(
        (detection.zscores[Modality.FLAIR] * detection.brain_mask).astype(np.float32)
    )
    given = NetworkInput({Modality.FLAIR: resample(image, grid)}, grid.affine, (0,))
    detector = DetectorName.HYBRID
    return replace(detection, detector=detector, maps=maps, network_input=given)
