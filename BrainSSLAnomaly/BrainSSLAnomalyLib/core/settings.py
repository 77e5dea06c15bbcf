"""Every number that a user may change: written once, with label, unit, range, default and help.

The command line's options, the parameter node and the sliders of the Slicer panel are made from the
metadata of these fields.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields
from enum import Enum
from numbers import Real
from typing import Any

from .errors import BadSettings
from .study import Modality


@dataclass(frozen=True)
class Setting:
    """Describe one number, switch or choice to a user.

    Attributes:
        label: a word or two, e.g. ``Closing``.
        help: one or two whole sentences.
        unit: e.g. ``mm``; empty for pure numbers, switches and choices.
        bounds: lowest and highest value, for numbers.
        step: of a slider, for numbers.
        flag: of the command line; made from the field's name when empty.
    """

    label: str
    help: str
    unit: str = ""
    bounds: tuple[float, float] | None = None
    step: float | None = None
    flag: str = ""


def setting(
    default: Any,
    label: str,
    text: str,
    *,
    unit: str = "",
    bounds: tuple[float, float] | None = None,
    step: float | None = None,
    flag: str = "",
) -> Any:
    """Return a dataclass field with its `Setting`; arguments as there, ``text`` is the help."""
    described = Setting(label, text, unit, bounds, step, flag)
    return field(default=default, metadata={"setting": described})


def describe_settings(group: type) -> dict[str, Setting]:
    """Return the name of every field of a settings class with its `Setting`.

    Example:
        >>> describe_settings(MorphologySettings)["closing_mm"].unit
        'mm'
    """
    return {f.name: f.metadata["setting"] for f in fields(group) if "setting" in f.metadata}


def check_values(settings: Any) -> None:
    """Refuse a value of the wrong type or out of range; the name of a choice becomes the choice.

    Raises:
        BadSettings: with the name of the setting and what is possible.
    """
    described = describe_settings(type(settings))
    for field_ in fields(settings):
        if field_.name not in described:
            continue
        checked = _checked(getattr(settings, field_.name), field_.default, described[field_.name])
        object.__setattr__(settings, field_.name, checked)


def _checked(value: Any, default: Any, described: Setting) -> Any:
    label = described.label[0].lower() + described.label[1:]
    if isinstance(default, Enum):
        try:
            return type(default)(value)
        except ValueError:
            choices = ", ".join(str(choice.value) for choice in type(default))
            raise BadSettings(f"the {label} is {value!r}", f"choose one of {choices}") from None
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise BadSettings(f"{label} is {value!r}", "choose True or False")
        return value
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if isinstance(default, int) and is_number and value != int(value):
        raise BadSettings(f"the {label} is {value:g}", "choose a whole number")
    low, high = described.bounds or (float("-inf"), float("inf"))
    if not is_number or not low <= value <= high:
        unit = f" {described.unit}" if described.unit else ""
        shown = f"{value:g}" if is_number else repr(value)
        raise BadSettings(
            f"the {label} is {shown}", f"choose a value from {low:g} to {high:g}{unit}"
        )
    return value


class ThresholdMethod(str, Enum):
    """Name a way from the anomaly score to a mask."""

    FIXED = "fixed"
    PERCENTILE = "percentile"
    ROBUST_Z = "robust-z"
    OTSU = "otsu"
    HYSTERESIS = "hysteresis"


class DetectorName(str, Enum):
    """Name what computes the anomaly score."""

    AUTO = "auto"
    """The more accurate one by the benchmark: the hybrid network, for every set of contrasts."""
    STATISTICAL = "statistical"
    HYBRID = "hybrid"


class ScoreName(str, Enum):
    """Name one of the scores that can become the anomaly score."""

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
    """Statistical deviation of a place beyond that of its counterpart in the other hemisphere."""


class Device(str, Enum):
    """Name where networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class NetworkSize(str, Enum):
    """Name a version of the anomaly network."""

    FULL = "full"
    LIGHT = "light"
    """In whole numbers of 8 bits: quicker and smaller, slightly less exact."""


class ExplanationStage(str, Enum):
    """Name the features of the network whose gradients explain a finding.

    At the last block of the decoder a map would be the anomaly logit itself, whatever it is asked
    about. The default was chosen among all blocks by deletion, insertion and randomised weights
    (``docs/models/anomaly.md``).
    """

    CONVOLUTION = "convolution"
    """Convolutions on a grid of 4 mm: where in the slice the finding gets its support from. Of the
    faithful ones it depends most on the weights."""
    TRANSFORMER = "transformer"
    """The transformer on its grid of 16 mm: which neighbourhood supports the finding."""
    DECODER = "decoder"
    """The decoder on a grid of 4 mm: the finding itself, hardly more than its outline."""


class ExplanationMethod(str, Enum):
    """Name how gradients become weights."""

    HIRESCAM = "hirescam"
    """One weight for each feature and voxel (Draelos and Carin, arXiv:2011.08891, 2020)."""
    GRADCAM = "grad-cam"
    """One weight for each feature (Selvaraju et al., ICCV 2017)."""

    @property
    def words(self) -> str:
        """Return the name as its authors write it."""
        return {"hirescam": "HiResCAM", "grad-cam": "Grad-CAM"}[self.value]


class AnatomySource(str, Enum):
    """Name what finds the brain and its parts."""

    NETWORK = "network"
    ATLAS = "atlas"


T1_THRESHOLD = 0.99
"""Default threshold where T1 is the only contrast: there healthy brains score high most often
(``docs/experiments/constants.md``)."""


@dataclass(frozen=True)
class ThresholdSettings:
    """Choose where the anomaly score is cut; each method uses the fields that its help names."""

    method: ThresholdMethod = setting(
        ThresholdMethod.HYSTERESIS, "Method", "How the anomaly score becomes a mask."
    )
    threshold: float = setting(
        0.7,
        "Threshold",
        "Cut on the anomaly score, for fixed and hysteresis. A score of 0.9 means that 0.11 ml of "
        f"a healthy brain score at least as high. Where T1 is the only contrast: {T1_THRESHOLD:g}.",
        bounds=(0.0, 1.0),
        step=0.01,
    )
    low: float = setting(
        0.2,
        "Lower threshold",
        "Lower cut of hysteresis: voxels above it belong to the mask where they touch a region "
        "that reaches the threshold.",
        bounds=(0.0, 1.0),
        step=0.01,
    )
    percentile: float = setting(
        99.0,
        "Percentile",
        "For percentile: of the scores inside the brain.",
        unit="%",
        bounds=(0.0, 100.0),
        step=0.1,
    )
    zscore: float = setting(
        5.0,
        "Robust z",
        "For robust-z: robust standard deviations (1.4826 times the median absolute deviation) "
        "above the median score of the brain.",
        unit="SD",
        bounds=(0.0, 100.0),
        step=0.1,
    )

    def __post_init__(self) -> None:
        check_values(self)
        if self.method is ThresholdMethod.HYSTERESIS and self.low > self.threshold:
            raise BadSettings(
                f"the lower threshold {self.low:g} is above the threshold {self.threshold:g}",
                "lower it or raise the other",
            )


@dataclass(frozen=True)
class MorphologySettings:
    """Choose how the mask is cleaned; steps are applied in this order, 0 switches one off."""

    opening_mm: float = setting(
        0.0,
        "Opening",
        "Radius of opening: removes what is thinner than twice the radius.",
        unit="mm",
        bounds=(0.0, 20.0),
        step=0.5,
    )
    closing_mm: float = setting(
        3.0,
        "Closing",
        "Radius of closing: fills gaps thinner than twice the radius.",
        unit="mm",
        bounds=(0.0, 20.0),
        step=0.5,
    )
    dilation_mm: float = setting(
        0.0,
        "Dilation",
        "Radius of dilation: grows the mask.",
        unit="mm",
        bounds=(0.0, 20.0),
        step=0.5,
    )
    erosion_mm: float = setting(
        0.0,
        "Erosion",
        "Radius of erosion: shrinks the mask.",
        unit="mm",
        bounds=(0.0, 20.0),
        step=0.5,
    )
    fill_holes: bool = setting(
        True,
        "Fill holes",
        "Fill enclosed holes, in three dimensions.",
        flag="--fill-holes/--keep-holes",
    )
    min_volume_ml: float = setting(
        0.03,
        "Smallest finding",
        "Smallest finding that is kept.",
        unit="ml",
        bounds=(0.0, 10.0),
        step=0.01,
    )

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class SegmentationSettings:
    """Hold what mask and findings are made with; they follow it at once."""

    threshold: ThresholdSettings = field(default_factory=ThresholdSettings)
    morphology: MorphologySettings = field(default_factory=MorphologySettings)


def default_segmentation(modalities: Collection[Modality]) -> SegmentationSettings:
    """Return the default segmentation for a set of modalities.

    Example:
        >>> default_segmentation([Modality.FLAIR]).threshold.threshold
        0.7
        >>> default_segmentation([Modality.T1]).threshold.threshold
        0.99
    """
    if modalities and set(modalities) <= {Modality.T1, Modality.T1C}:
        return SegmentationSettings(ThresholdSettings(threshold=T1_THRESHOLD))
    return SegmentationSettings()


@dataclass(frozen=True)
class DetectionSettings:
    """Hold what a detection is made with; a change needs a new detection.

    Example:
        >>> DetectionSettings("statistical").detector
        <DetectorName.STATISTICAL: 'statistical'>
    """

    detector: DetectorName = setting(
        DetectorName.AUTO,
        "Detector",
        "What computes the anomaly score. auto: the more accurate one by the benchmark, which is "
        "the network. hybrid: the network of convolutions and a transformer. statistical: how "
        "improbable a voxel is among the tissues of healthy people.",
    )
    correct_bias: bool = setting(
        True,
        "Bias field correction",
        "Correct slow changes of brightness (N4) before scoring.",
        flag="--bias-correction/--no-bias-correction",
    )
    anatomy: AnatomySource = setting(
        AnatomySource.NETWORK,
        "Anatomy",
        "What finds the brain and its parts. network: a network that segments this head, "
        "beside the bundled atlas. atlas: the bundled atlas alone.",
    )
    score: ScoreName = setting(
        ScoreName.FUSED, "Score", "Which score of the hybrid detector becomes the anomaly score."
    )
    network: NetworkSize = setting(
        NetworkSize.FULL,
        "Network",
        "Which version of the anomaly network runs. light: in whole numbers of 8 bits, on the "
        "processor, in less than half of the time, and slightly less exact.",
    )
    fast: bool = setting(
        False,
        "Axial slices only",
        "Predict axial slices only, in a third of the time, and less exactly.",
        flag="--fast/--all-orientations",
    )
    test_time: bool = setting(
        False,
        "Test-time augmentation",
        "Average predictions for mirrored and gamma-changed copies too; three times slower.",
        flag="--test-time/--no-test-time",
    )
    explain: bool = setting(
        True,
        "Grad-CAM",
        "Compute a Grad-CAM map (HiResCAM) of what the network marks.",
        flag="--explain/--no-explain",
    )
    device: Device = setting(
        Device.AUTO,
        "Device",
        "Where networks run. auto: on the GPU if there is one and PyTorch is installed, and on the "
        "CPU if that fails.",
    )
    threads: int = setting(
        0,
        "Number of threads",
        "Threads of the processor that are used at once. 0: OMP_NUM_THREADS if it is set, else all "
        "that there are.",
        bounds=(0, 1024),
        step=1,
    )

    def __post_init__(self) -> None:
        check_values(self)
