"""Every number that a user may turn, with unit, range and default."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any, get_type_hints

from .errors import BadSettings
from .study import Modality


class ThresholdMethod(str, Enum):
    """How the anomaly score becomes a mask."""

    FIXED = "fixed"
    PERCENTILE = "percentile"
    ROBUST_Z = "robust-z"
    OTSU = "otsu"
    HYSTERESIS = "hysteresis"


class DetectorName(str, Enum):
    """What computes the anomaly score."""

    AUTO = "auto"
    """Whichever has been measured to be better (see the README's table): now the hybrid network, for every set of contrasts."""
    STATISTICAL = "statistical"
    HYBRID = "hybrid"


class ScoreName(str, Enum):
    """Which of the hybrid's scores becomes the anomaly score."""

    FUSED = "fused"
    LOGIT = "logit"
    L1 = "l1"
    L2 = "l2"
    SSIM = "ssim"
    EUCLIDEAN = "euclidean"
    COSINE = "cosine"
    MAHALANOBIS = "mahalanobis"
    KDE = "kde"
    STATISTICAL = "statistical"
    ASYMMETRY = "asymmetry"
    """How much more unusual by the statistics a place is than its counterpart on the other side of the brain."""


class Device(str, Enum):
    """Where networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class ExplanationStage(str, Enum):
    """Whose features of the network are asked what a finding rests on.

    By default the decoder: what marks a lesion reaches it past the deepest grid, so that maps of that grid often show nothing there.
    """

    CONVOLUTION = "convolution"
    """The last convolutional stage, before the transformer."""
    TRANSFORMER = "transformer"
    """The same grid after the transformer."""
    DECODER = "decoder"
    """The last stage of the decoder, at full resolution."""


class ExplanationMethod(str, Enum):
    """How gradients become weights."""

    GRADCAM = "grad-cam"
    """One weight for each feature (Selvaraju et al., ICCV 2017)."""
    HIRESCAM = "hirescam"
    """A weight for each feature and place (Draelos and Carin, arXiv:2011.08891, 2020)."""


class AnatomySource(str, Enum):
    """What finds the brain and its parts."""

    NETWORK = "network"
    ATLAS = "atlas"


def _check(name: str, value: float, low: float, high: float, unit: str) -> None:
    if not low <= value <= high:
        raise BadSettings(
            f"{name} is {value:g}",
            f"choose a value from {low:g} to {high:g}{' ' + unit if unit else ''}",
        )


@dataclass(frozen=True)
class ThresholdSettings:
    """Where the anomaly score is cut.

    Attributes:
        method: see `ThresholdMethod`.
        threshold: cut on the anomaly score, 0–1. Used by fixed; the seed level of hysteresis.
        low: lower level of hysteresis, 0–1, not above ``threshold``: voxels above it that touch a seed belong.
        percentile: for percentile, of the scores inside the brain, 0–100.
        zscore: for robust-z, number of robust SDs (1.4826 · MAD) above the brain's median score, 0–100.
    """

    method: ThresholdMethod = ThresholdMethod.HYSTERESIS
    threshold: float = 0.7
    low: float = 0.2
    percentile: float = 99.0
    zscore: float = 5.0

    def __post_init__(self) -> None:
        _check("the threshold", self.threshold, 0, 1, "")
        _check("the lower threshold", self.low, 0, 1, "")
        _check("the percentile", self.percentile, 0, 100, "%")
        _check("the robust z", self.zscore, 0, 100, "SD")
        if self.method is ThresholdMethod.HYSTERESIS and self.low > self.threshold:
            raise BadSettings(
                f"the lower threshold {self.low:g} is above the threshold {self.threshold:g}",
                "lower it or raise the other",
            )


@dataclass(frozen=True)
class MorphologySettings:
    """How the mask is cleaned, in millimetres and millilitres; 0 switches a step off. Applied in this order.

    Attributes:
        opening_mm, closing_mm, dilation_mm, erosion_mm: radius, 0–20 mm. Closing joins what is one lesion: its parts are not alike.
        fill_holes: fill holes that no path leads out of, in three dimensions.
        min_volume_ml: drop findings smaller than this, 0–100 ml.
    """

    opening_mm: float = 0.0
    closing_mm: float = 3.0
    dilation_mm: float = 0.0
    erosion_mm: float = 0.0
    fill_holes: bool = True
    min_volume_ml: float = 0.03

    def __post_init__(self) -> None:
        for name in ("opening", "closing", "dilation", "erosion"):
            _check(f"the {name} radius", getattr(self, f"{name}_mm"), 0, 20, "mm")
        _check("the smallest finding", self.min_volume_ml, 0, 100, "ml")


@dataclass(frozen=True)
class SegmentationSettings:
    """Everything of the live half."""

    threshold: ThresholdSettings = field(default_factory=ThresholdSettings)
    morphology: MorphologySettings = field(default_factory=MorphologySettings)


SEED_ON_T1 = 0.99
"""Seed level of hysteresis where there is nothing but T1: what begins a region must be rarer in healthy brains, and may then reach as
far as elsewhere. Chosen on synthetic patients, and on real healthy scans with lesions put in and without (``training/README.md``)."""


def default_segmentation(modalities: Collection[Modality]) -> SegmentationSettings:
    """The defaults of the live half for a set of modalities."""
    if modalities and set(modalities) <= {Modality.T1, Modality.T1C}:
        return SegmentationSettings(ThresholdSettings(threshold=SEED_ON_T1))
    return SegmentationSettings()


@dataclass(frozen=True)
class DetectionSettings:
    """Everything of the slow half.

    Attributes:
        detector: what computes the score.
        correct_bias: correct the receive field by N4.
        anatomy: what finds the brain and its parts: a network that looks at the patient, beside the atlas; or the atlas alone.
        score: of the hybrid, which of its scores is shown.
        test_time: of the hybrid, look at mirrored and gamma-changed copies too: a better mean and uncertainty map for three times the time.
        explain: of the hybrid, a Grad-CAM map of what its findings rest on.
        device: where networks run; by default on a GPU where there is one.
    """

    detector: DetectorName = DetectorName.AUTO
    correct_bias: bool = True
    anatomy: AnatomySource = AnatomySource.NETWORK
    score: ScoreName = ScoreName.FUSED
    test_time: bool = False
    explain: bool = True
    device: Device = Device.AUTO


def to_dict(settings: Any) -> dict[str, Any]:
    """Plain dictionary of any settings dataclass, enums as their values: ready for JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return value.value if isinstance(value, Enum) else value

    return plain(asdict(settings))


def segmentation_from_dict(values: dict[str, Any]) -> SegmentationSettings:
    """The inverse of `to_dict` for `SegmentationSettings`.

    Raises:
        BadSettings: an unknown name, a wrong type or a value out of range.
    """
    try:
        threshold = dict(values.get("threshold", {}))
        if "method" in threshold:
            threshold["method"] = ThresholdMethod(threshold["method"])
        known = {f.name for f in fields(ThresholdSettings)}
        if unknown := set(threshold) - known:
            raise BadSettings(
                f"unknown threshold settings {', '.join(sorted(unknown))}",
                f"known are {', '.join(sorted(known))}",
            )
        return SegmentationSettings(
            ThresholdSettings(**threshold), MorphologySettings(**values.get("morphology", {}))
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise BadSettings(
            f"settings cannot be read ({error})", "use those written in result.json"
        ) from error


def detection_from_dict(values: dict[str, Any]) -> DetectionSettings:
    """The inverse of `to_dict` for `DetectionSettings`.

    Raises:
        BadSettings: an unknown name or value.
    """
    kinds = get_type_hints(DetectionSettings)
    if unknown := set(values) - set(kinds):
        raise BadSettings(
            f"unknown detection settings {', '.join(sorted(unknown))}",
            f"known are {', '.join(sorted(kinds))}",
        )
    try:
        if wrong := [
            name
            for name, value in values.items()
            if kinds[name] is bool and not isinstance(value, bool)
        ]:
            raise ValueError(f"{', '.join(wrong)} is neither true nor false")
        return DetectionSettings(**{name: kinds[name](value) for name, value in values.items()})
    except (TypeError, ValueError) as error:
        raise BadSettings(
            f"detection settings cannot be read ({error})", "use those written in result.json"
        ) from error
