"""One trainer for every network: what is learned is a `Task`, how is a `TrainerSettings`.

AdamW, linear warm-up and cosine (MONAI's), gradient clipping, an exponential moving average of the
weights, mixed precision and several devices through Lightning Fabric. It stops cleanly when its
minutes are over, and goes on bit for bit where it stopped.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .checkpoint import RunState, load_initial_weights

PREFETCHED = 4
"""Batches that every drawing process keeps ready."""


class Task(Protocol):
    """What a network learns.

    A task that remembers something between draws also has ``state() -> dict[str, int]`` and
    ``restore(state, device)``.
    """

    def network(self) -> nn.Module:
        """Create a network, randomly initialised from torch's global generator."""

    def draw(self, batch: int, generator: torch.Generator) -> Any:
        """Draw a batch on the device of the generator, its only source of randomness."""

    def loss(self, network: Callable[[Tensor], Tensor], batch: Any) -> Mapping[str, Tensor]:
        """Return the parts of the loss by name; what is minimised is their sum."""

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Measure on what is never trained on; the same figures for the same weights."""


@dataclass(frozen=True)
class TrainerSettings:
    """How a network learns.

    Attributes:
        steps: after which the learning rate has come down to zero.
        batch: patients a step and device.
        learning_rate: the highest, after ``warmup`` steps.
        weight_decay: of AdamW.
        warmup: steps of rising learning rate.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights a step.
        precision: as Fabric names it, e.g. ``bf16-mixed`` or ``32-true``.
        seed: of weights and data.
        log_every: in steps.
        validate_every: in steps.
        save_every: in steps.
        workers: processes that draw ahead on the processor. With 0 the device of the network
            draws, and only then does a resumed run draw the batches of an uninterrupted one.
    """

    steps: int
    batch: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup: int = 100
    clip: float = 1.0
    ema: float = 0.995
    precision: str = "bf16-mixed"
    seed: int = 0
    log_every: int = 20
    validate_every: int = 500
    save_every: int = 200
    workers: int = 0


def train(
    task: Task,
    settings: TrainerSettings,
    folder: Path,
    minutes: float = math.inf,
    initial_weights: Path | None = None,
) -> int:
    """Train until the steps are done or the minutes are over.

    Training resumes from a checkpoint in ``folder`` if there is one. Under ``torchrun`` every
    process takes its share. The averaged weights and a checkpoint are left in ``folder``.

    Args:
        task: what is learned.
        settings: how it is learned.
        folder: for checkpoint, weights and TensorBoard logs; made if missing.
        minutes: of wall time.
        initial_weights: instead of random ones, where there is no checkpoint: the weights of
            another run, or those of a bundle.

    Returns:
        Steps done in all.

    Raises:
        ForeignWeights: ``initial_weights`` do not fit.
    """
    end = time.monotonic() + 60 * minutes
    fabric = _launch_fabric(settings, folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    network = task.network()
    if initial_weights is not None:
        load_initial_weights(network, initial_weights)
    average_weights = partial(_average_weights, settings.ema)
    average = AveragedModel(network, multi_avg_fn=average_weights, use_buffers=True)
    average = average.to(fabric.device)
    adamw = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    network, optimizer = fabric.setup(network, adamw)
    seed = settings.seed * 10_007 + fabric.global_rank
    generator = torch.Generator(fabric.device).manual_seed(seed)
    state = RunState(folder, fabric, network, average, optimizer, generator, task)
    step = state.load()
    schedule = _schedule(adamw, settings, step)
    batches = _prefetch(task, settings, fabric, step) if settings.workers else None
    while step < settings.steps and not _is_over(fabric, end):
        if batches is None:
            batch = task.draw(settings.batch, generator)
        else:
            batch = fabric.to_device(next(batches))
        parts = task.loss(network, batch)
        optimizer.zero_grad()
        fabric.backward(torch.stack(list(parts.values())).sum())
        norm = fabric.clip_gradients(
            network, optimizer, max_norm=settings.clip, error_if_nonfinite=False
        )
        if torch.isfinite(norm):  # half precision overflows now and then: such a step is skipped
            optimizer.step()
            average.update_parameters(network.module)
        schedule.step()
        step += 1
        if step % settings.log_every == 0:
            losses = {f"loss/{name}": float(value.detach()) for name, value in parts.items()}
            rate = schedule.get_last_lr()[0]
            fabric.log_dict({**losses, "rate": rate, "gradient": float(norm)}, step)
        if step % settings.validate_every == 0:
            state.validate(step)
        if step % settings.save_every == 0:
            state.save(step)
    state.save(step)
    return step


def _schedule(
    optimizer: torch.optim.Optimizer, settings: TrainerSettings, step: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Return the schedule of the learning rate as it is before a step."""
    from monai.optimizers import WarmupCosineSchedule

    for group in optimizer.param_groups:  # a resumed run may be given another rate
        group["initial_lr"] = settings.learning_rate
    first = 1 / max(1, settings.warmup)
    return WarmupCosineSchedule(
        optimizer,
        settings.warmup,
        settings.steps,
        last_epoch=step - 1,
        warmup_multiplier=first,
    )


def _average_weights(
    decay: float, averages: list[Tensor], new: list[Tensor], count: Tensor | int
) -> None:
    """Update an exponential moving average in place.

    Torch's `get_ema_multi_avg_fn` has a constant decay; here it rises, so that the random weights
    of the first steps are forgotten sooner. Integers are copied.

    Args:
        decay: of the average after many steps.
        averages: tensors of one kind.
        new: what is averaged.
        count: updates before this one.
    """
    if averages[0].is_floating_point():
        done = float(count)
        rising = (1 + done) / (10 + done)
        torch._foreach_lerp_(averages, new, 1 - min(decay, rising))
    else:
        torch._foreach_copy_(averages, new)


class _Draws(IterableDataset[Any]):
    """Batches without end; every process that iterates draws others."""

    def __init__(self, task: Task, batch: int, seed: int) -> None:
        self._task = task
        self._batch = batch
        self._seed = seed

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        generator = torch.Generator().manual_seed(self._seed + (worker.id if worker else 0))
        while True:
            yield self._task.draw(self._batch, generator)


def _prefetch(task: Task, settings: TrainerSettings, fabric: Any, step: int) -> Iterator[Any]:
    """Draw batches in other processes; the same ones for the same seed, rank and first step."""
    seed = ((settings.seed * 10_007 + fabric.global_rank) * 100_003 + step) * 257
    return iter(
        DataLoader(
            _Draws(task, settings.batch, seed),
            batch_size=None,
            num_workers=settings.workers,
            pin_memory=fabric.device.type == "cuda",
            prefetch_factor=PREFETCHED,
        )
    )


def _launch_fabric(settings: TrainerSettings, folder: Path) -> Any:
    """Launch Fabric with all processes that torchrun has started, or with one."""
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.loggers.csv_logs import CSVLogger
        from lightning_fabric.loggers.tensorboard import TensorBoardLogger
    except ImportError:  # the all-in-one package holds the same
        from lightning.fabric import Fabric  # type: ignore[no-redef]
        from lightning.fabric.loggers.csv_logs import CSVLogger  # type: ignore[no-redef]
        from lightning.fabric.loggers.tensorboard import (  # type: ignore[no-redef]
            TensorBoardLogger,
        )
    world = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    logger: Any
    try:
        logger = TensorBoardLogger(folder, name="logs", version="")
    except ModuleNotFoundError:
        logger = CSVLogger(folder, name="logs", version="")
    precision: Any = settings.precision
    fabric = Fabric(
        accelerator="auto",
        devices=local,
        num_nodes=world // local,
        # MONAI's transformer has weights for cross-attention that are not used, and a task may
        # switch parts of a network off.
        strategy="ddp_find_unused_parameters_true" if world > 1 else "auto",
        precision=precision,
        loggers=logger,
    )
    fabric.launch()
    return fabric


def _is_over(fabric: Any, end: float) -> bool:
    """Return whether time is over for any process, so that all stop at the same step."""
    late = torch.tensor(float(time.monotonic() >= end), device=fabric.device)
    return bool(fabric.all_reduce(late, reduce_op="sum") > 0)
