"""The anatomy network as a function of arrays: brain and structures in one scan of any contrast."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..core.settings import Device
from .bundle import load_arrays, load_graph
from .device import runs_on_gpu

BUNDLE = "AnatomyModel"
GRAPH = "predict"

Array = NDArray[np.float32]
WindowPredictor = Callable[[Array], Array]
"""Maps a window (k, j, i) of 2 mm voxels, with the median of the head near 1, to (18, k, j, i)
probabilities of every `Structure`."""


@lru_cache(maxsize=2)
def load_anatomy_predictor(
    device: Device = Device.AUTO, threads: int = 0, bundle: str = BUNDLE
) -> WindowPredictor:
    """Return the shipped network as `preparation` needs it, loaded once for the same arguments.

    On the processor its window has the size of training, 96 × 96 × 80 voxels; on a GPU any multiple
    of 16 from 64 on.

    Args:
        device: where it runs.
        threads: of the processor; all that there are if 0.
        bundle: name of the folder in ``Resources``.

    Raises:
        DamagedModel: the installation is incomplete, or a file is not that of the bundle.
        BadSettings: no such device.
    """
    if runs_on_gpu(device):
        from .anatomy_network import load_anatomy_network, torch_predictor

        return torch_predictor(load_anatomy_network(bundle).to("cuda"))
    from .onnx_engine import open_session

    session = open_session(load_graph(bundle, GRAPH), load_arrays(bundle), threads=threads)

    def predict(window: Array) -> Array:
        scan = np.ascontiguousarray(window, np.float32)[None, None]
        probability: Array = session.run(None, {"scan": scan})[0][0]
        return probability

    return predict
