"""Work on many scans at once: a process for each core, one thread and one shipped network in each."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache

import torch
from BrainSSLAnomalyLib.network.model import Model, load_model
from BrainSSLAnomalyLib.settings import Device


def processes(count: int) -> ProcessPoolExecutor:
    """So many processes, in each of which torch keeps to one thread: more would get into each other's way."""
    return ProcessPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))


@lru_cache(maxsize=1)
def shipped_model() -> Model:
    """On the CPU, loaded once a process."""
    return load_model(Device.CPU)
