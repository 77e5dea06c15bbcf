"""What a run must remember to go on, and the weights that it may begin with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from BrainSSLAnomalyLib.core.files import replacing_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.safetensors"


class ForeignWeights(ValueError):
    """Initial weights that belong to another network, or are none."""


@dataclass(frozen=True)
class RunState:
    """Everything that a run must remember to go on.

    Attributes:
        folder: where it is kept.
        fabric: Lightning Fabric.
        network: set up by Fabric.
        average: of its weights.
        optimizer: set up by Fabric.
        generator: that batches are drawn with.
        task: a `Task`.
    """

    folder: Path
    fabric: Any
    network: Any
    average: AveragedModel
    optimizer: Any
    generator: torch.Generator
    task: Any

    def load(self) -> int:
        """Load the checkpoint, if there is one, and return the steps already done."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return 0
        saved = torch.load(path, map_location=self.fabric.device, weights_only=True)
        self.network.module.load_state_dict(saved["network"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        random = self._random_state_path()
        if random.is_file():
            states = torch.load(random, map_location="cpu", weights_only=True)
            self.generator.set_state(states["generator"])
            if hasattr(self.task, "restore"):
                self.task.restore(states["task"], self.fabric.device)
        return int(saved["step"])

    def save(self, step: int) -> None:
        """Save the checkpoint and the averaged weights, each whole or not at all."""
        task_state = self.task.state() if hasattr(self.task, "state") else {}
        with replacing_file(self._random_state_path()) as partial:
            torch.save({"generator": self.generator.get_state(), "task": task_state}, partial)
        if self.fabric.is_global_zero:
            from safetensors.torch import save_file

            content = {
                "step": step,
                "network": self.network.module.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
            with replacing_file(self.folder / CHECKPOINT) as partial:
                torch.save(content, partial)
            averaged = self.average.module.state_dict()
            weights = {name: v.detach().cpu().contiguous() for name, v in averaged.items()}
            with replacing_file(self.folder / WEIGHTS) as partial:
                save_file(weights, partial, {"step": str(step)})
        self.fabric.barrier()

    def validate(self, step: int) -> None:
        """Validate the averaged network, and log and print its figures."""
        if self.fabric.is_global_zero:
            self.average.eval()
            with torch.no_grad(), self.fabric.autocast():
                figures = self.task.validate(self.average.module)
            self.average.train()
            self.fabric.log_dict({f"validation/{k}": v for k, v in figures.items()}, step)
            line = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
            print(f"step {step}: {line}", flush=True)
        self.fabric.barrier()

    def _random_state_path(self) -> Path:
        return self.folder / f"random-{self.fabric.global_rank}.pt"


def load_initial_weights(network: nn.Module, path: Path) -> None:
    """Fill a learner with weights: with all of them, or with those of its ``network`` alone.

    Args:
        network: the learner.
        path: weights of another run, or of a bundle, which holds the ``network`` alone.

    Raises:
        ForeignWeights: no such file, no safetensors, or a network of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    known = network.state_dict()
    try:
        given = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ForeignWeights(
            f"{path} cannot be read as weights: give {WEIGHTS} of a run, or the weights of a bundle"
        ) from error
    found = {name if name in known else f"network.{name}": value for name, value in given.items()}
    if not found or any(
        name not in known or known[name].shape != value.shape for name, value in found.items()
    ):
        raise ForeignWeights(
            f"{path} holds the weights of another network: give those of one with the same config"
        )
    network.load_state_dict({**known, **found})
