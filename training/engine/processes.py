"""Work on many scans at once, as `detect` does by default: a process for each core, one thread and one shipped network in each."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache

import torch
from BrainSSLAnomalyLib.core.errors import BadSettings
from BrainSSLAnomalyLib.core.settings import Device
from BrainSSLAnomalyLib.core.study import Study
from BrainSSLAnomalyLib.detection.detect import anatomy_eyes
from BrainSSLAnomalyLib.network.model import Model, load_model
from BrainSSLAnomalyLib.preparation import PreparedStudy, prepare


def process_pool(count: int) -> ProcessPoolExecutor:
    """So many processes, in each of which torch keeps to one thread: more would get into each other's way."""
    return ProcessPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))


@lru_cache(maxsize=1)
def shipped_model() -> Model:
    """On the CPU, loaded once a process."""
    return load_model(Device.CPU)


def prepare_as_shipped(study: Study) -> PreparedStudy:
    """With the anatomy network, as `detect` prepares by default; what is measured by the atlas alone would not hold for it.

    Raises:
        BadSettings: the network cannot run here.
    """
    look, _ = anatomy_eyes()
    if look is None:
        raise BadSettings(
            "the anatomy network cannot run without PyTorch and MONAI",
            "pip install 'brain-ssl-anomaly[model]'",
        )
    return prepare(study, look=look)
