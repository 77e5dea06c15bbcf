"""Work on many scans at once, as `detect` does by default.

There is a process for each core, with one thread and one shipped network in each.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache

import torch
from BrainSSLAnomalyLib.core.errors import BadSettings
from BrainSSLAnomalyLib.core.settings import Device
from BrainSSLAnomalyLib.core.study import Study
from BrainSSLAnomalyLib.detection.detect import anatomy_predictor
from BrainSSLAnomalyLib.network.model import Model, load_model
from BrainSSLAnomalyLib.preparation import PreparedStudy, prepare


def process_pool(count: int) -> ProcessPoolExecutor:
    """Start processes, in each of which torch keeps to one thread.

    More threads would get into each other's way.
    """
    return ProcessPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))


@lru_cache(maxsize=1)
def shipped_model() -> Model:
    """Load the shipped model on the CPU, once a process."""
    return load_model(Device.CPU)


def prepare_as_shipped(study: Study) -> PreparedStudy:
    """Prepare a study with the anatomy network, as `detect` does by default.

    What is measured with the atlas alone would not hold for it.

    Raises:
        BadSettings: the network cannot run here.
    """
    predictor = anatomy_predictor()
    if predictor is None:
        raise BadSettings(
            "the anatomy network cannot run without PyTorch and MONAI",
            "pip install 'brain-ssl-anomaly[model]'",
        )
    return prepare(study, predictor=predictor)
