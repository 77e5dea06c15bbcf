"""Scans of phantoms, which are no brains."""

from __future__ import annotations

import numpy as np
from BrainSSLAnomalyLib.core.study import Volume


def phantom(kind: str) -> Volume:
    rng = np.random.default_rng(0)
    k, j, i = np.meshgrid(*(np.arange(n) - n / 2 for n in (75, 85, 75)), indexing="ij")
    noise = np.abs(rng.standard_normal(k.shape))
    ball, rod = i**2 + j**2 + k**2 < 33**2, (i**2 + j**2 < 32**2) & (abs(k) < 32)
    array = {
        "ball": ball * 500 + 5 * noise,
        "cylinder": rod * 500 + 20 * noise,
        "shaded ball": ball * (500 + 5 * i + 4 * k) + 10 * noise,
        "rods": rod * (500 - 400 * ((i % 16 < 6) & (j % 16 < 6))) + 5 * noise,
        "noise": 100 * noise,
        "shells": ball * 300 + (i**2 + j**2 + k**2 < 20**2) * 200 + 10 * noise,
    }[kind]
    affine = np.diag([2.4, 2.4, 2.4, 1])
    affine[:3, 3] = -90
    return Volume(array.astype(np.float32), affine)
