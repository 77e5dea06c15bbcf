"""One trainer for every network: what is learned is a `Task`, how it is learned is a `TrainerSettings`.

AdamW, warm-up and cosine, gradient clipping, an exponential moving average of the weights, mixed precision and several devices
through Lightning Fabric. It stops cleanly when its minutes are over, and goes on bit for bit where it stopped.
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

CHECKPOINT, WEIGHTS = "checkpoint.pt", "weights.safetensors"


class ForeignWeights(ValueError):
    """Weights to begin with that belong to another network, or are none."""


class Task(Protocol):
    """What a network learns.

    A task that remembers something between draws also has ``state() -> dict[str, int]`` and ``restore(state, device)``.
    """

    def network(self) -> nn.Module:
        """A new one, randomly initialised from torch's global generator."""

    def draw(self, batch: int, generator: torch.Generator) -> Any:
        """A batch on the device of the generator, its only source of randomness."""

    def loss(self, network: Callable[[Tensor], Tensor], batch: Any) -> Mapping[str, Tensor]:
        """Parts of the loss by name; what is minimised is their sum."""

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Figures on what is never trained on; the same every time for the same weights."""


@dataclass(frozen=True)
class TrainerSettings:
    """How a network learns.

    Attributes:
        steps: after which the learning rate has come down to zero.
        batch: patients a step and device.
        learning_rate: the highest, after ``warmup`` steps.
        weight_decay, clip: of AdamW, and the largest norm of the gradient.
        ema: decay of the averaged weights a step.
        precision: as Fabric names it, e.g. ``bf16-mixed`` or ``32-true``.
        seed: of weights and data.
        log_every, validate_every, save_every: in steps.
        workers: processes that draw ahead on the processor; with 0 the device of the network draws,
            and only then does a run that goes on see the batches that it would have seen.
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

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then half a cosine."""
        rising = min(1.0, (step + 1) / max(1, self.warmup))
        return (
            self.learning_rate
            * rising
            * 0.5
            * (1 + math.cos(math.pi * min(1.0, step / self.steps)))
        )


def train(
    task: Task,
    settings: TrainerSettings,
    folder: Path,
    minutes: float = math.inf,
    start: Path | None = None,
) -> int:
    """Learn until the steps are done or the minutes are over, going on from a checkpoint in ``folder`` if there is one.

    Under ``torchrun`` every process takes its share. Leaves ``weights.safetensors`` (the average) and ``checkpoint.pt``.

    Args:
        folder: for checkpoint, weights and TensorBoard logs; made if missing.
        minutes: of wall time.
        start: weights to begin with instead of random ones, where there is no checkpoint: `WEIGHTS` of another run, or those of a bundle.

    Returns:
        Steps done in all.

    Raises:
        ForeignWeights: ``start`` does not fit.
    """
    end = time.monotonic() + 60 * minutes
    fabric = _fabric(settings, folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    network = task.network()
    if start is not None:
        _begin_with(network, start)
    average = AveragedModel(
        network, multi_avg_fn=partial(_average, settings.ema), use_buffers=True
    ).to(fabric.device)
    optimizer = torch.optim.AdamW(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    network, optimizer = fabric.setup(network, optimizer)
    generator = torch.Generator(fabric.device).manual_seed(
        settings.seed * 10_007 + fabric.global_rank
    )
    state = _State(folder, fabric, network, average, optimizer, generator, task)
    step = state.load()
    batches = _drawn_ahead(task, settings, fabric, step) if settings.workers else None
    while step < settings.steps and not _over(fabric, end):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(step)
        batch = (
            task.draw(settings.batch, generator)
            if batches is None
            else fabric.to_device(next(batches))
        )
        parts = task.loss(network, batch)
        optimizer.zero_grad()
        fabric.backward(torch.stack(list(parts.values())).sum())
        norm = fabric.clip_gradients(
            network, optimizer, max_norm=settings.clip, error_if_nonfinite=False
        )
        if torch.isfinite(
            norm
        ):  # half precision overflows now and then: such a step teaches nothing
            optimizer.step()
            average.update_parameters(network.module)
        step += 1
        if step % settings.log_every == 0:
            fabric.log_dict(
                {
                    **{f"loss/{k}": float(v.detach()) for k, v in parts.items()},
                    "rate": settings.rate(step),
                    "gradient": float(norm),
                },
                step,
            )
        if step % settings.validate_every == 0:
            state.validate(task, step)
        if step % settings.save_every == 0:
            state.save(step)
    state.save(step)
    return step


class _Draws(IterableDataset[Any]):
    """Batches without end; every process that iterates draws others."""

    def __init__(self, task: Task, batch: int, seed: int) -> None:
        self._task, self._batch, self._seed = task, batch, seed

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        generator = torch.Generator().manual_seed(self._seed + (worker.id if worker else 0))
        while True:
            yield self._task.draw(self._batch, generator)


def _drawn_ahead(task: Task, settings: TrainerSettings, fabric: Any, step: int) -> Iterator[Any]:
    """Draw batches in processes of their own; the same ones for the same seed, rank and first step."""
    seed = ((settings.seed * 10_007 + fabric.global_rank) * 100_003 + step) * 257
    pinned = fabric.device.type == "cuda"
    return iter(
        DataLoader(
            _Draws(task, settings.batch, seed),
            batch_size=None,
            num_workers=settings.workers,
            pin_memory=pinned,
            prefetch_factor=4,
        )
    )


@dataclass(frozen=True)
class _State:
    """Everything that a run must know to go on."""

    folder: Path
    fabric: Any
    network: Any
    average: AveragedModel
    optimizer: Any
    generator: torch.Generator
    task: Task

    def load(self) -> int:
        """Steps already done."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return 0
        saved = torch.load(path, map_location=self.fabric.device, weights_only=True)
        self.network.module.load_state_dict(saved["network"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        own = self._random(self.fabric.global_rank)
        if own.is_file():
            random = torch.load(own, map_location="cpu", weights_only=True)
            self.generator.set_state(random["generator"])
            if hasattr(self.task, "restore"):
                self.task.restore(random["task"], self.fabric.device)
        return int(saved["step"])

    def save(self, step: int) -> None:
        """Checkpoint and averaged weights, under temporary names until they are whole."""
        random = {
            "generator": self.generator.get_state(),
            "task": self.task.state() if hasattr(self.task, "state") else {},
        }
        _replace(self._random(self.fabric.global_rank), lambda p: torch.save(random, p))
        if self.fabric.is_global_zero:
            from safetensors.torch import save_file

            parts = {
                "network": self.network.module,
                "average": self.average,
                "optimizer": self.optimizer,
            }
            content = {"step": step, **{name: part.state_dict() for name, part in parts.items()}}
            _replace(self.folder / CHECKPOINT, lambda p: torch.save(content, p))
            weights = {
                k: v.detach().cpu().contiguous()
                for k, v in self.average.module.state_dict().items()
            }
            _replace(self.folder / WEIGHTS, lambda p: save_file(weights, p, {"step": str(step)}))
        self.fabric.barrier()

    def validate(self, task: Task, step: int) -> None:
        """Figures of the averaged network, to the log and to the screen."""
        if self.fabric.is_global_zero:
            self.average.eval()
            with torch.no_grad(), self.fabric.autocast():
                figures = task.validate(self.average.module)
            self.average.train()
            self.fabric.log_dict({f"validation/{k}": v for k, v in figures.items()}, step)
            print(
                f"step {step}: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()), flush=True
            )
        self.fabric.barrier()

    def _random(self, rank: int) -> Path:
        return self.folder / f"random-{rank}.pt"


def _begin_with(network: nn.Module, start: Path) -> None:
    """Fill a learner with weights: all of them, or those of its ``network`` alone, as a bundle has them.

    Raises:
        ForeignWeights: no such file, no safetensors, or a network of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    known = network.state_dict()
    try:
        given = load_file(start)
    except (OSError, SafetensorError) as error:
        raise ForeignWeights(
            f"{start} cannot be read as weights: give {WEIGHTS} of a run, or the weights of a bundle"
        ) from error
    found = {name if name in known else f"network.{name}": values for name, values in given.items()}
    if not found or any(
        name not in known or known[name].shape != values.shape for name, values in found.items()
    ):
        raise ForeignWeights(
            f"{start} holds the weights of another network: give those of one with the same config"
        )
    network.load_state_dict({**known, **found})


def _average(decay: float, averages: list[Tensor], new: list[Tensor], count: Tensor | int) -> None:
    """Exponential moving average in place that forgets its first steps sooner; tensors of one kind, integers as they are now."""
    if averages[0].is_floating_point():
        done = float(count)
        rising = (1 + done) / (10 + done)
        torch._foreach_lerp_(
            averages, new, 1 - min(decay, rising)
        )  # as `torch.optim.swa_utils.get_ema_multi_avg_fn` does
    else:
        torch._foreach_copy_(averages, new)


def _fabric(settings: TrainerSettings, folder: Path) -> Any:
    """Of all processes that torchrun has started, or of one."""
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.loggers import CSVLogger, TensorBoardLogger
    except ImportError:  # the all-in-one package holds the same
        from lightning.fabric import Fabric  # type: ignore[no-redef]
        from lightning.fabric.loggers import CSVLogger, TensorBoardLogger  # type: ignore[no-redef]
    world, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    logger: Any
    try:
        logger = TensorBoardLogger(folder, name="logs", version="")
    except ModuleNotFoundError:
        logger = CSVLogger(folder, name="logs", version="")
    # MONAI's transformer brings weights for cross-attention that nothing uses, and a task may switch parts of a network off.
    strategy = "ddp_find_unused_parameters_true" if world > 1 else "auto"
    precision: Any = settings.precision
    fabric = Fabric(
        accelerator="auto",
        devices=local,
        num_nodes=world // local,
        strategy=strategy,
        precision=precision,
        loggers=logger,
    )
    fabric.launch()
    return fabric


def _over(fabric: Any, end: float) -> bool:
    """Whether time is over for any process: all stop at the same step."""
    late = torch.tensor(float(time.monotonic() >= end), device=fabric.device)
    return bool(fabric.all_reduce(late, reduce_op="sum") > 0)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    partial = path.with_name(f".partial-{path.name}")
    write(partial)
    os.replace(partial, path)
