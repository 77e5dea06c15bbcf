"""Explanations of a target in a saved input of the network: class activation map and attention."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.grid import Grid
from ..core.progress import FractionCallback, ignore_fraction
from ..core.resampling import resample
from ..core.results import NetworkInput
from ..core.settings import ExplanationMethod, ExplanationStage
from ..core.study import Volume
from ..network.channels import stack_channels
from ..network.gradcam import attention_map, class_activation_map
from ..network.model import Model
from ..preparation.network_grid import brain_on


def activation_map(
    given: NetworkInput,
    brain: NDArray[np.bool_],
    target: Volume,
    model: Model,
    *,
    stage: ExplanationStage = ExplanationStage.CONVOLUTION,
    method: ExplanationMethod = ExplanationMethod.HIRESCAM,
    every: int = 1,
    progress: FractionCallback = ignore_fraction,
) -> NDArray[np.float32]:
    """Return the class activation map of the anomaly logit of some voxels.

    Args:
        given: what the network predicted from.
        brain: (k, j, i) bool on the grid of the input.
        target: bool or weights, on a grid of the patient.
        model: that of the prediction.
        stage: of the network, whose features are used.
        method: how gradients become weights.
        every: one of so many slices is computed, the others are interpolated.
        progress: receives the fraction done; may raise to stop.

    Returns:
        (k, j, i) float32 on the grid of ``target``, 0 to 1, 1 being its strongest place: maps of
        two targets cannot be compared.
    """
    images, present = stack_channels(given)
    heat = class_activation_map(
        model.engine,
        images,
        present,
        to_network_grid(target, given),
        axis=given.axes[0],
        stage=stage,
        method=method,
        every=every,
        progress=progress,
    )
    return np.clip(from_network_grid(heat * brain, given, target.grid), 0, 1)


def activation_map_of_finding(
    given: NetworkInput,
    brain: Volume,
    target: NDArray,
    model: Model,
    progress: FractionCallback = ignore_fraction,
) -> NDArray[np.float32]:
    """Return the `activation_map` of a finding from a saved input, without the scans.

    Args:
        given: from the detection.
        brain: (k, j, i) bool on the grid of the reference.
        target: (k, j, i) bool on that grid, the finding.
        model: that of the detection.
        progress: receives the fraction done; may raise to stop.

    Returns:
        (k, j, i) float32 on the grid of the reference, 0 to 1.
    """
    inside = brain_on(given.grid, brain)
    volume = brain.with_array(np.asarray(target))
    heat = activation_map(given, inside, volume, model, progress=progress)
    masked: NDArray[np.float32] = heat * (brain.array > 0)
    return masked


def attention(
    given: NetworkInput,
    brain: NDArray[np.bool_],
    target: Volume,
    model: Model,
    progress: FractionCallback = ignore_fraction,
) -> NDArray[np.float32]:
    """Return what the transformer attends to from the patches of some voxels.

    Args:
        given: what the network predicted from.
        brain: (k, j, i) bool on the grid of the input.
        target: bool or weights, on a grid of the patient.
        model: that of the prediction.
        progress: receives the fraction done; may raise to stop.

    Returns:
        (k, j, i) float32 on the grid of ``target``: 1 is the attention to a patch if all patches of
        the slice were attended to alike; 0 on slices without the target.
    """
    axis = given.axes[0]
    images, present = stack_channels(given)
    weight = np.moveaxis(to_network_grid(target, given), axis, 0)
    slices = np.moveaxis(images, axis + 1, 0)
    shares: NDArray[np.float32] = np.zeros(weight.shape, np.float32)
    chosen = np.flatnonzero(weight.any((1, 2)))
    for n, at in enumerate(chosen):
        shares[at] = attention_map(model.engine, slices[at], present, weight[at])
        progress((n + 1) / len(chosen))
    return from_network_grid(np.moveaxis(shares, 0, axis) * brain, given, target.grid)


def to_network_grid(target: Volume, given: NetworkInput) -> NDArray[np.float32]:
    """Return a target on the grid of the input; however small, some of it stays."""
    volume = target.with_array(np.asarray(target.array, np.float32))
    weight = resample(volume, given.grid)
    kept: NDArray[np.float32] = weight * (weight > min(0.5, float(weight.max()) / 2))
    return kept


def from_network_grid(array: NDArray, given: NetworkInput, grid: Grid) -> NDArray[np.float32]:
    """Return an array of the network's grid on a grid of the patient."""
    return resample(Volume(np.asarray(array, np.float32), given.affine), grid)
