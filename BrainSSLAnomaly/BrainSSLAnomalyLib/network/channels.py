"""The channels of the anomaly network: which contrast is where, and within which range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.results import NetworkInput
from ..core.study import Modality

CHANNELS = tuple(Modality)
"""Order of the modalities in every tensor."""

MIN_INTENSITY = -8.0
MAX_INTENSITY = 12.0
"""Normalised images are clipped to this range for the network, in SD of the parenchyma."""


def stack_channels(given: NetworkInput) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the images as channels of the network.

    Returns:
        Images (m, k, j, i) with all `CHANNELS`, clipped to the range of the network; and (m,) 1
        for the modalities that are there, else 0.
    """
    images = np.zeros((len(CHANNELS), *given.grid.shape), np.float32)
    for modality, image in given.images.items():
        images[CHANNELS.index(modality)] = np.clip(image, MIN_INTENSITY, MAX_INTENSITY)
    present = np.array([float(m in given.images) for m in CHANNELS], np.float32)
    return images, present
