"""Work on many scans at once, as `detect` does by default.

There is a process for each core, with one thread and one shipped network in each.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache

import torch
from BrainSSLAnomalyLib.core.settings import DetectionSettings, Device
from BrainSSLAnomalyLib.core.study import Study
from BrainSSLAnomalyLib.detection.detect import anatomy_predictor
from BrainSSLAnomalyLib.network.model import Model, load_model
from BrainSSLAnomalyLib.preparation import PreparedStudy, prepare

ONE_THREAD = DetectionSettings(device=Device.CPU, threads=1)


def process_pool(count: int) -> ProcessPoolExecutor:
    """Start processes, in each of which torch keeps to one thread.

    More threads would get into each other's way.
    """
    return ProcessPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))


@lru_cache(maxsize=1)
def shipped_model() -> Model:
    """Load the shipped model on the CPU, once a process."""
    return load_model(Device.CPU, threads=1)


def prepare_as_shipped(study: Study) -> PreparedStudy:
    """Prepare a study with the anatomy network, as `detect` does by default.

    What is measured with the atlas alone would not hold for it.

    """
    return prepare(study, predictor=anatomy_predictor(ONE_THREAD))
