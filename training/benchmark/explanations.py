"""Measure how faithful explanations are: ``python -m training.benchmark.explanations``.

Lesions are implanted in real healthy scans, so that the healthy slice behind each lesion is known.
For a finding, the voxels of its slice are ranked by a map. Deletion puts the healthy slice in the
place of the first ones, and measures how much of the finding's logit is left; insertion puts the
first ones into the healthy slice, and measures how much of it comes back (Petsiuk et al., BMVC
2018). The pointing game asks whether a map's peak and mass lie within 10 mm of the finding. The
rank correlation with the logit shows whether a map is more than the anomaly map, the correlation
with maps of networks of random weights whether it is more than the outline of the finding (Adebayo
et al., NeurIPS 2018).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.settings import ExplanationMethod, ExplanationStage
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.network.channels import CHANNELS
from BrainSSLAnomalyLib.network.engine import SliceEngine
from BrainSSLAnomalyLib.network.gradcam import weigh_features
from BrainSSLAnomalyLib.network.inference import pad_slices, upsample
from BrainSSLAnomalyLib.network.model import load_hybrid_network
from BrainSSLAnomalyLib.network.torch_engine import TorchEngine
from BrainSSLAnomalyLib.preparation import PreparedStudy
from BrainSSLAnomalyLib.preparation.network_grid import brain_on, network_input
from numpy.typing import NDArray
from scipy import ndimage, stats

from ..engine.processes import prepare_as_shipped, shipped_model
from ..synthesis.implanted import ImplantedPair, draw_implanted_pair
from .tables import format_markdown, format_number

Array = NDArray[np.float32]
Maps = dict[str, Array]

SHARES = (0.005, 0.02, 0.08)
"""Of the brain's voxels in a slice that are deleted or inserted."""

NEAR_MM = 10.0
"""The pointing game counts what lies this near to the finding."""

LARGEST = 3
"""Findings of a patient that are explained."""

MIN_VOXELS = 40
"""Of a finding, at 1 mm."""

MIN_OTHER = 12
"""Voxels of another lesion in the slice."""

RANDOM_NETWORKS = 5
"""Networks of random weights that a map is compared with."""

LOGIT, RANDOM = "the anomaly logit itself", "at random"

DEFAULT = (ExplanationMethod.HIRESCAM, ExplanationStage.CONVOLUTION)


class ExplainedSlice(NamedTuple):
    """Hold the middle slice of a finding, at 1 mm and padded for the network.

    Attributes:
        patient: (j, i) with the lesion.
        healthy: (j, i) without it, normalised alike.
        brain: (j, i) bool.
        target: (j, i) bool, the finding.
        other: (j, i) bool, the largest other lesion in the slice, if there is one.
        modality: the only contrast.
    """

    patient: Array
    healthy: Array
    brain: NDArray[np.bool_]
    target: NDArray[np.bool_]
    other: NDArray[np.bool_]
    modality: Modality


@dataclass(frozen=True)
class Faithfulness:
    """Hold the measures of one map.

    Attributes:
        deletion: mean share of the logit that is left; lower is better.
        insertion: mean share of the logit that comes back; higher is better.
        peak: whether the peak lies near the finding.
        mass: share of the map near the finding.
        like_logit: rank correlation with the logit inside the brain.
        like_other: correlation with the map of the other lesion in the slice; nan without one.
        like_chance: mean correlation with the maps of networks of random weights.
    """

    deletion: float
    insertion: float
    peak: float
    mass: float
    like_logit: float
    like_other: float
    like_chance: float


def main(
    patients: Annotated[int, typer.Option(min=1, help="Implanted patients.")] = 18,
    figure: Annotated[
        Path | None, typer.Option(help="Draw maps of two findings into this PNG.")
    ] = None,
) -> None:
    """Print a table of every method at every stage."""
    engine = shipped_model().engine
    random = [random_engine(seed) for seed in range(RANDOM_NETWORKS)]
    found: dict[str, list[Faithfulness]] = {}
    shown: list[tuple[ExplainedSlice, Maps, Maps]] = []
    for seed in range(patients):
        slices = list(explained_slices(draw_implanted_pair(seed)))
        for explained in slices:
            maps = slice_maps(engine, explained, explained.target)
            others = slice_maps(engine, explained, explained.other)
            by_chance = [slice_maps(one, explained, explained.target) for one in random]
            for name, heat in maps.items():
                measured = measure(
                    engine,
                    explained,
                    heat,
                    others[name],
                    logit=maps[LOGIT],
                    by_chance=[other[name] for other in by_chance],
                )
                found.setdefault(name, []).append(measured)
            if explained.other.any():
                shown.append((explained, maps, others))
        typer.echo(f"patient {seed}: {len(slices)} findings", err=True)
    typer.echo(format_table(found))
    if figure is not None:
        draw_figure(figure, *max(shown, key=lambda s: int(s[0].other.sum())))


def explained_slices(pair: ImplantedPair) -> Iterator[ExplainedSlice]:
    """Yield the middle slices of the largest lesions of a patient."""
    prepared = prepare_as_shipped(pair.patient)
    given = network_input(prepared)
    modality, axis = pair.patient.reference.modality, given.axes[0]
    lesions = pair.lesions.crop(prepared.box)
    images = {
        "patient": given.images[modality],
        "healthy": resample(prepared.box_volume(_healthy_image(prepared, pair)), given.grid),
    }
    brain = brain_on(given.grid, prepared.box_volume(prepared.brain))
    labels, count = ndimage.label((resample(lesions, given.grid) > 0.5) & brain)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    largest = [n + 1 for n in np.argsort(-sizes)[:LARGEST] if sizes[n] >= MIN_VOXELS]
    for number in largest:
        at = int(np.moveaxis(labels == number, axis, 0).sum((1, 2)).argmax())
        inside, numbers = (np.moveaxis(a, axis, 0)[at] for a in (brain, labels))
        patient, healthy = (np.moveaxis(image, axis, 0)[at] * inside for image in images.values())
        sizes_here = np.bincount(numbers.ravel(), minlength=count + 1)
        sizes_here[[0, number]] = 0
        is_other = (numbers == sizes_here.argmax()) & (sizes_here.max() >= MIN_OTHER)
        yield ExplainedSlice(
            patient=_pad(patient),
            healthy=_pad(healthy),
            brain=_pad(inside),
            target=_pad(numbers == number),
            other=_pad(is_other),
            modality=modality,
        )


def _healthy_image(prepared: PreparedStudy, pair: ImplantedPair) -> Array:
    """Return the healthy scan on the box of the brain, normalised as that with lesions."""
    box, modality = prepared.box, pair.patient.reference.modality
    with_lesions = prepared.reference.array[box].astype(np.float32)
    without = pair.healthy.reference.volume.array[box].astype(np.float32)
    image, brain = prepared.images[modality], prepared.brain
    slope = np.polyfit(with_lesions[brain], image[brain], 1)[0]
    healthy: Array = (image + slope * (without - with_lesions)).astype(np.float32)
    return healthy


def _pad(array: NDArray) -> NDArray:
    multiple = shipped_model().engine.multiple
    padded: NDArray = pad_slices(np.asarray(array)[None, None], multiple)[0, 0].astype(array.dtype)
    return padded


def random_engine(seed: int) -> SliceEngine:
    """Return the shipped network with weights that nobody has trained."""
    network = load_hybrid_network()
    torch.manual_seed(seed)  # afterwards: making the network draws numbers too
    for module in network.modules():
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    return TorchEngine(network)


def slice_maps(engine: SliceEngine, explained: ExplainedSlice, target: NDArray[np.bool_]) -> Maps:
    """Return every map of a target by name, (j, i), 0 to 1, with logit and chance."""
    images, present = _stack([explained.patient], explained.modality)
    weight = target[None, None].astype(np.float32)
    maps = {}
    for stage in ExplanationStage:
        features, gradient = engine.explain(images, present, weight, stage)
        for method in ExplanationMethod:
            coarse = weigh_features(features, gradient, method)
            factor = images.shape[-1] // coarse.shape[-1]
            heat = upsample(coarse, factor, images.shape[-2:])[0, 0] * explained.brain
            maps[f"{method.words}, {stage.value}"] = heat / max(float(heat.max()), 1e-12)
    logit = engine.predict(images, present).anomaly[0, 0]
    above = logit - logit[explained.brain].min()
    maps[LOGIT] = np.where(explained.brain, above / above.max(), 0).astype(np.float32)
    chance = np.random.default_rng(0).random(logit.shape).astype(np.float32)
    maps[RANDOM] = chance * explained.brain
    return maps


def _stack(slices: list[Array], modality: Modality) -> tuple[Array, Array]:
    images = np.zeros((len(slices), len(CHANNELS), *slices[0].shape), np.float32)
    images[:, CHANNELS.index(modality)] = slices
    present = np.zeros(len(CHANNELS), np.float32)
    present[CHANNELS.index(modality)] = 1
    return images, present


def measure(
    engine: SliceEngine,
    explained: ExplainedSlice,
    heat: Array,
    other: Array,
    *,
    logit: Array,
    by_chance: Sequence[Array],
) -> Faithfulness:
    """Measure one map of a finding.

    Args:
        engine: runs the network.
        explained: slice and finding.
        heat: (j, i), the map of the finding.
        other: (j, i), the map of the other lesion in the slice.
        logit: (j, i), the anomaly logit.
        by_chance: maps of the finding by networks of random weights.
    """
    brain, target = explained.brain, explained.target
    order = np.argsort(-heat[brain], kind="stable")
    changed = [explained.patient, explained.healthy]
    for share in SHARES:
        first = np.zeros(len(order), bool)
        first[order[: round(share * len(order))]] = True
        chosen = np.zeros(brain.shape, bool)
        chosen[brain] = first
        changed.append(np.where(chosen, explained.healthy, explained.patient))
        changed.append(np.where(chosen, explained.patient, explained.healthy))
    images, present = _stack(changed, explained.modality)
    logits = engine.predict(images, present).anomaly[:, 0][:, target].mean(1)
    ill, healthy = logits[:2]
    shares = (
        (logits[2:] - healthy) / (ill - healthy) if ill - healthy > 0.5 else logits[2:] * np.nan
    )
    near = ndimage.distance_transform_edt(~target) <= NEAR_MM
    return Faithfulness(
        deletion=float(shares[0::2].mean()),
        insertion=float(shares[1::2].mean()),
        peak=float(near.ravel()[heat.argmax()]) if heat.any() else 0.0,
        mass=float(heat[near].sum() / max(heat.sum(), 1e-12)),
        like_logit=_rank_correlation(heat[brain], logit[brain]),
        like_other=_correlation(heat[brain], other[brain]) if explained.other.any() else np.nan,
        like_chance=float(np.mean([_correlation(heat[brain], one[brain]) for one in by_chance])),
    )


def _correlation(one: Array, other: Array) -> float:
    """Return the correlation of two maps; 0 where one is empty."""
    return float(np.corrcoef(one, other)[0, 1]) if one.std() > 0 and other.std() > 0 else 0.0


def _rank_correlation(one: Array, other: Array) -> float:
    return float(stats.spearmanr(one, other)[0]) if one.any() else np.nan


def format_table(found: Mapping[str, list[Faithfulness]]) -> str:
    """Format a line for every map: means over all findings."""
    head = ["map", "deletion", "insertion", "peak; mass near the finding", "like the logit"]
    head += ["like the map of another lesion", "like maps of random weights"]
    lines = []
    for name, rows in found.items():
        table = np.array([list(vars(row).values()) for row in rows])
        deleted, inserted, peak, mass, *others = map(format_number, np.nanmean(table, axis=0))
        lines.append([name, deleted, inserted, f"{peak}; {mass}", *others])
    rows = next(iter(found.values()))
    pairs = sum(not np.isnan(row.like_other) for row in rows)
    return f"n = {len(rows)} findings, {pairs} of them beside another\n\n" + format_markdown(
        head, lines
    )


def draw_figure(path: Path, explained: ExplainedSlice, maps: Maps, others: Maps) -> None:
    """Draw the default maps of two lesions of one slice, and the logit."""
    from matplotlib import pyplot as plt

    method, stage = DEFAULT
    name = f"{method.words}, {stage.value}"
    panels = (
        ("scan with two lesions", None, explained.target | explained.other),
        (f"{name}: of the outlined one", maps[name], explained.target),
        (f"{name}: of the other one", others[name], explained.other),
        ("anomaly logit", maps[LOGIT], explained.target | explained.other),
    )
    figure, axes = plt.subplots(1, 4, figsize=(13, 4), facecolor="black")
    for axis, (title, heat, outline) in zip(axes, panels, strict=True):
        axis.imshow(explained.patient, cmap="gray", vmin=-4, vmax=5, origin="lower")
        if heat is not None:
            axis.imshow(heat, cmap="inferno", alpha=np.clip(heat * 2, 0, 0.8), origin="lower")
        axis.contour(outline, [0.5], colors="cyan", linewidths=0.8)
        axis.set_title(title, color="white", fontsize=9)
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=80, facecolor="black")
    plt.close(figure)


if __name__ == "__main__":
    typer.run(main)
