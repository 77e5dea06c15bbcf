"""What the hybrid network makes of a prepared study: joins `network` and `scoring`, as `detector` joins the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.resampling import resample
from ..core.results import LookedAt, MapName
from ..core.settings import ExplanationMethod, ExplanationStage, ScoreName
from ..core.study import Modality, Volume
from ..network.feature_density import HealthyPatches
from ..network.gradcam import attention, explain
from ..network.hybrid import BRIGHTEST, CHANNELS, DARKEST
from ..network.inference import AS_IT_IS, TEST_TIME, Seen, look
from ..network.model import Model
from ..preparation import PreparedStudy
from ..preparation.network_grid import SPACING_MM, UprightStudy, upright
from ..scoring import reconstruction_error as errors
from ..scoring.fusion import fusion
from ..scoring.normative_z import median_mm

SHOWN = (ScoreName.L1, ScoreName.COSINE)
"""Scores that `maps` shows beside the one that counts."""

LATENT = (ScoreName.EUCLIDEAN, ScoreName.COSINE, ScoreName.MAHALANOBIS, ScoreName.KDE)


@dataclass(frozen=True)
class NetworkInput:
    """What is shown to the network.

    Attributes:
        study: on the grid that the network works on.
        images: (m, k, j, i) with all `CHANNELS`, on that grid.
        present: (m,) float32, 1 for what is there.
    """

    study: UprightStudy
    images: NDArray[np.float32]
    present: NDArray[np.float32]

    @property
    def shown(self) -> NDArray[np.float32]:
        """(present modalities, k, j, i)."""
        return self.images[self.present > 0]


@dataclass(frozen=True)
class HybridView(NetworkInput):
    """What was seen.

    Attributes:
        seen: raw, on the grid that the network works on.
    """

    seen: Seen


def network_input(
    prepared: PreparedStudy, modalities: tuple[Modality, ...] | None = None
) -> NetworkInput:
    """A study as the network is shown it: the given modalities, all by default."""
    study = upright(prepared, modalities)
    images = np.zeros((len(CHANNELS), *study.brain.shape), np.float32)
    for modality, image in study.images.items():
        images[CHANNELS.index(modality)] = np.clip(image, DARKEST, BRIGHTEST)
    return NetworkInput(
        study, images, np.array([float(m in study.images) for m in CHANNELS], np.float32)
    )


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
    given = network_input(prepared, modalities)
    healthy = HealthyPatches(**model.patches)
    seen = look(
        model.network,
        given.images,
        given.present,
        given.study.axes,
        variants=TEST_TIME if test_time else (AS_IT_IS,),
        distances={name.value: healthy.distance(name) for name in latent},
        progress=progress,
    )
    return HybridView(given.study, given.images, given.present, seen)


def scores(
    seen: HybridView,
    statistics: Mapping[ScoreName, NDArray[np.float32]],
    wanted: Iterable[ScoreName],
) -> dict[ScoreName, NDArray[np.float32]]:
    """Every score that was asked for, (k, j, i) float32 on the box of the reference, larger being more unusual; not calibrated.

    Args:
        seen: by the network.
        statistics: scores that need no network, on that box: those of them that are wanted.
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
    return {
        name: seen.study.back(made[name]()) if name in made else statistics[name] for name in wanted
    }


def needed(score: ScoreName, modalities: tuple[Modality, ...]) -> tuple[ScoreName, ...]:
    """What has to be asked of `scores` for this one and for `maps`."""
    parts = fusion(modalities).weights if score is ScoreName.FUSED else (score,)
    return tuple(dict.fromkeys([*parts, *SHOWN]))


def fused(
    all_scores: Mapping[ScoreName, NDArray[np.float32]], modalities: tuple[Modality, ...]
) -> NDArray[np.float32]:
    """The fusion of those that count for these modalities."""
    return fusion(modalities)(all_scores)


def maps(
    seen: HybridView, prepared: PreparedStudy, all_scores: Mapping[ScoreName, NDArray[np.float32]]
) -> dict[MapName, NDArray[np.float32]]:
    """Everything that explains a score, on the box of the reference, 0 outside the brain but for the reconstruction."""
    inside, reference = prepared.brain, prepared.study.reference.modality
    number = [m for m, p in zip(CHANNELS, seen.present, strict=True) if p].index(reference)
    change = seen.study.back(
        (seen.seen.reconstruction[number] - seen.shown[number]) * seen.study.brain
    )
    return {
        MapName.RECONSTRUCTION: _undone(prepared, change),
        MapName.ERROR: all_scores[ScoreName.L1] * inside,
        MapName.LATENT: all_scores[ScoreName.COSINE] * inside,
        MapName.UNCERTAINTY: seen.study.back(seen.seen.spread) * inside,
    }


def whole_maps(
    prepared: PreparedStudy, maps: Mapping[MapName, NDArray[np.float32]]
) -> dict[MapName, NDArray[np.float32]]:
    """Maps on the box of the reference, on its whole grid; the reconstruction shows the scan outside the box."""
    whole = {name: prepared.whole(array.astype(np.float32)) for name, array in maps.items()}
    healthy = prepared.reference.array.astype(np.float32)
    healthy[prepared.box] = maps[MapName.RECONSTRUCTION]
    return {**whole, MapName.RECONSTRUCTION: healthy}


def gradcam(
    given: NetworkInput,
    model: Model,
    asked: NDArray,
    progress: Callable[[float], None] = lambda _: None,
    *,
    stage: ExplanationStage = ExplanationStage.DECODER,
    method: ExplanationMethod = ExplanationMethod.GRADCAM,
) -> NDArray[np.float32]:
    """Grad-CAM of what was marked, 0 to 1, on the box of the reference.

    Args:
        asked: (k, j, i) bool or weights on that box.
        progress: told the fraction done; may raise to stop.
    """
    axis, weight = given.study.axes[0], _asked(given, asked)
    heat = explain(
        model.network,
        given.images,
        given.present,
        weight,
        axis=axis,
        stage=stage,
        method=method,
        progress=progress,
    )
    return np.clip(given.study.back(heat * given.study.brain), 0, 1)


def attended(
    given: NetworkInput,
    model: Model,
    asked: NDArray,
    progress: Callable[[float], None] = lambda _: None,
) -> NDArray[np.float32]:
    """What the transformer attends to from the patches of what was marked, on the box of the reference; 0 on slices without it.

    Args:
        asked: (k, j, i) bool or weights on that box.
        progress: told the fraction done; may raise to stop.

    Returns:
        (k, j, i) float32: 1 is as much as if every patch of the slice were attended to alike, 2 twice as much.
    """
    axis, side = given.study.axes[0], model.network.multiple
    weight, slices = (
        np.moveaxis(a, a.ndim - 3 + axis, 0) for a in (_asked(given, asked), given.images)
    )
    shares: NDArray[np.float32] = np.zeros(weight.shape, np.float32)
    chosen = np.flatnonzero(weight.any((1, 2)))
    for n, at in enumerate(chosen):
        shares[at] = attention(model.network, slices[at], given.present, weight[at])
        progress((n + 1) / len(chosen))
    height, width = shares.shape[1], shares.shape[2]
    shares *= -(-height // side) * -(-width // side)  # patches of a slice
    return given.study.back(np.moveaxis(shares, 0, axis) * given.study.brain)


def _asked(given: NetworkInput, asked: NDArray) -> NDArray[np.float32]:
    """What is asked about, on the grid of the network; however small, some of it stays."""
    weight = given.study.there(np.asarray(asked, np.float32))
    return weight * (weight > min(0.5, float(weight.max()) / 2))


def kept(given: NetworkInput) -> LookedAt:
    """What `finding_gradcam` needs of what was shown to the network."""
    images = {
        m: image
        for m, image, there in zip(CHANNELS, given.images, given.present, strict=True)
        if there
    }
    return LookedAt(images, given.study.affine, given.study.axes[0])


def finding_gradcam(
    looked_at: LookedAt,
    brain: Volume,
    asked: NDArray,
    model: Model,
    progress: Callable[[float], None] = lambda _: None,
) -> NDArray[np.float32]:
    """`gradcam` of one finding alone, without preparing the scans again: the network is asked about its voxels and no others.

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
    whole = brain.with_array(brain.array.astype(np.float32))
    inside = resample(whole, shape, looked_at.affine) > 0.5
    study = UprightStudy(looked_at.images, inside, looked_at.affine, (looked_at.axis,), whole)
    images = np.stack([looked_at.images.get(m, np.zeros(shape, np.float32)) for m in CHANNELS])
    present = np.array([float(m in looked_at.images) for m in CHANNELS], np.float32)
    return gradcam(NetworkInput(study, images, present), model, asked, progress) * (brain.array > 0)


def _undone(prepared: PreparedStudy, change: NDArray[np.float32]) -> NDArray[np.float32]:
    """The reference scan with the network's changes in its own units; receive field and head stay as they are."""
    scan, image = (
        prepared.reference.array[prepared.box].astype(np.float32),
        prepared.images[prepared.study.reference.modality],
    )
    inside = prepared.brain
    x, y = image[inside] - image[inside].mean(), scan[inside] - scan[inside].mean()
    slope = float((x * y).sum() / max(float((x * x).sum()), 1e-6))
    return np.where(inside, scan + slope * change, scan).astype(np.float32)


def _smooth(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return median_mm(array.astype(np.float32), (SPACING_MM,) * 3)
