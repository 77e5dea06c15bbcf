"""What the hybrid network makes of a prepared study: joins `network` and `scoring`, as `detector` joins the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .detection import MapName, NetworkInput
from .network.explanation import explain
from .network.hybrid import CHANNELS
from .network.model import Model
from .network.slices import AS_IT_IS, TEST_TIME, Seen, look
from .preparation import PreparedStudy
from .preparation.upright import SPACING_MM, UprightStudy, upright
from .resampling import resample
from .scoring import errors
from .scoring.density import HealthyPatches
from .scoring.fusion import FEATURES, fusion
from .scoring.normative import median_mm
from .settings import ScoreName
from .study import Modality, Volume

LATENT = (ScoreName.EUCLIDEAN, ScoreName.COSINE, ScoreName.MAHALANOBIS, ScoreName.KDE)


@dataclass(frozen=True)
class HybridView:
    """What was seen.

    Attributes:
        study: on the grid that the network works on.
        images: (m, k, j, i) with all `CHANNELS`, on that grid.
        present: (m,) float32, 1 for what is there.
        seen: raw, on that grid.
    """

    study: UprightStudy
    images: NDArray[np.float32]
    present: NDArray[np.float32]
    seen: Seen

    @property
    def shown(self) -> NDArray[np.float32]:
        """(present modalities, k, j, i)."""
        return self.images[self.present > 0]


def view(
    prepared: PreparedStudy,
    model: Model,
    modalities: tuple[Modality, ...] | None = None,
    *,
    test_time: bool = False,
    latent: tuple[ScoreName, ...] = (ScoreName.COSINE,),
    progress: Callable[[float], None] = lambda _: None,
) -> HybridView:
    """Let the network look at a study.

    Args:
        prepared: the study.
        modalities: those to show; all by default.
        test_time: look at changed copies too.
        latent: distances in the space of embeddings.
        progress: told the fraction done; may raise to stop.
    """
    study = upright(prepared, modalities)
    images = np.zeros((len(CHANNELS), *study.brain.shape), np.float32)
    for modality, image in study.images.items():
        images[CHANNELS.index(modality)] = np.clip(image, -8, 12)
    present = np.array([float(m in study.images) for m in CHANNELS], np.float32)
    healthy = HealthyPatches(**model.patches)
    seen = look(
        model.network,
        images,
        present,
        study.axes,
        variants=TEST_TIME if test_time else (AS_IT_IS,),
        distances={name.value: healthy.distance(name) for name in latent},
        progress=progress,
    )
    return HybridView(study, images, present, seen)


def scores(
    seen: HybridView, deviation: NDArray[np.float32], wanted: tuple[ScoreName, ...] = FEATURES
) -> dict[ScoreName, NDArray[np.float32]]:
    """Every score that was asked for, (k, j, i) float32 on the box of the reference, larger being more unusual; not calibrated.

    Args:
        seen: by the network.
        deviation: (k, j, i) of the statistical detector, on that box.
        wanted: without `ScoreName.FUSED`, which `fused` makes.
    """
    image, s = seen.shown, seen.seen
    made: dict[ScoreName, Callable[[], NDArray[np.float32]]] = {
        ScoreName.LOGIT: lambda: s.anomaly,
        ScoreName.L1: lambda: _smooth(errors.l1(image, s.reconstruction)),
        ScoreName.L2: lambda: _smooth(errors.l2(image, s.reconstruction)),
        ScoreName.SSIM: lambda: _smooth(errors.structural(image, s.reconstruction)),
        **{name: (lambda name=name: s.distances[name.value]) for name in LATENT},  # type: ignore[misc]
    }
    out: dict[ScoreName, NDArray[np.float32]] = {
        name: seen.study.back(made[name]()) for name in wanted if name is not ScoreName.STATISTICAL
    }
    if ScoreName.STATISTICAL in wanted:
        out[ScoreName.STATISTICAL] = deviation
    return out


def fused(all_scores: Mapping[ScoreName, NDArray[np.float32]], modalities: tuple[Modality, ...]) -> NDArray[np.float32]:
    """The fusion of `FEATURES`."""
    return fusion(modalities)(all_scores)


def maps(
    seen: HybridView, prepared: PreparedStudy, all_scores: Mapping[ScoreName, NDArray[np.float32]]
) -> dict[MapName, NDArray[np.float32]]:
    """Everything that explains a score, on the box of the reference, 0 outside the brain but for the reconstruction."""
    inside, reference = prepared.brain, prepared.study.reference.modality
    number = [m for m, p in zip(CHANNELS, seen.present, strict=True) if p].index(reference)
    change = seen.study.back((seen.seen.reconstruction[number] - seen.shown[number]) * seen.study.brain)
    return {
        MapName.RECONSTRUCTION: _undone(prepared, change),
        MapName.ERROR: all_scores[ScoreName.L1] * inside,
        MapName.LATENT: all_scores[ScoreName.COSINE] * inside,
        MapName.UNCERTAINTY: seen.study.back(seen.seen.spread) * inside,
    }


def gradcam(seen: HybridView, model: Model, asked: NDArray, progress: Callable[[float], None] = lambda _: None) -> NDArray[np.float32]:
    """Grad-CAM of what was marked, 0 to 1, on the box of the reference.

    Args:
        asked: (k, j, i) bool or weights on that box.
    """
    weight = seen.study.there(np.asarray(asked, np.float32))
    heat = explain(model.network, seen.images, seen.present, weight * (weight > 0.5), axis=seen.study.axes[0], progress=progress)
    return np.clip(seen.study.back(heat * seen.study.brain), 0, 1)


def network_input(seen: HybridView) -> NetworkInput:
    """What was looked at, for `finding_gradcam`."""
    images = {m: image for m, image, there in zip(CHANNELS, seen.images, seen.present, strict=True) if there}
    return NetworkInput(images, seen.study.affine, seen.study.axes[0])


def finding_gradcam(
    looked_at: NetworkInput, brain: Volume, asked: NDArray, model: Model, progress: Callable[[float], None] = lambda _: None
) -> NDArray[np.float32]:
    """Grad-CAM of one finding alone: the network is asked about its voxels and no others.

    Args:
        looked_at: from the detection.
        brain: (k, j, i) bool on the grid of the reference.
        asked: (k, j, i) bool on that grid, the finding.
        model: that of the detection.
        progress: told the fraction done; may raise to stop.

    Returns:
        (k, j, i) float32 on that grid, 0 to 1, 1 being the strongest place for this finding: maps of two findings cannot be compared.
    """
    shape = next(iter(looked_at.images.values())).shape
    images = np.stack([looked_at.images.get(m, np.zeros(shape, np.float32)) for m in CHANNELS])
    present = np.array([float(m in looked_at.images) for m in CHANNELS], np.float32)
    weight = resample(brain.with_array(np.asarray(asked, np.float32)), shape, looked_at.affine)
    weight *= weight > 0.5 * min(1.0, float(weight.max()))  # of what is smaller than a voxel of this grid, the most of it
    inside = resample(brain.with_array(brain.array.astype(np.float32)), shape, looked_at.affine) > 0.5
    heat = explain(model.network, images, present, weight, axis=looked_at.axis, progress=progress)
    whole = resample(Volume(heat * inside, looked_at.affine), brain.array.shape, brain.affine)
    return np.clip(whole, 0, 1) * (brain.array > 0)


def _undone(prepared: PreparedStudy, change: NDArray[np.float32]) -> NDArray[np.float32]:
    """The reference scan with the network's changes in its own units; receive field and head stay as they are."""
    scan, image = prepared.reference.array[prepared.box].astype(np.float32), prepared.images[prepared.study.reference.modality]
    inside = prepared.brain
    x, y = image[inside] - image[inside].mean(), scan[inside] - scan[inside].mean()
    slope = float((x * y).sum() / max(float((x * x).sum()), 1e-6))
    return np.where(inside, scan + slope * change, scan).astype(np.float32)


def _smooth(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return median_mm(array.astype(np.float32), (SPACING_MM,) * 3)
