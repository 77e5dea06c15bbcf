"""``python -m training.train anatomy --minutes 30``: train a network as its config file says.

Several devices: ``torchrun --nproc-per-node 8 -m training.train anatomy``.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from .data import heads
from .data.elderly import ELDERLY
from .data.label_archive import ARCHIVE, read
from .engine.trainer import ForeignWeights, Task, TrainerSettings, train
from .tasks.anatomy import AnatomySettings, AnatomyTask
from .tasks.anomaly import AnomalySettings, AnomalyTask, settings_from

CONFIGS = Path(__file__).parent / "configs"


def read_config(name: str) -> tuple[AnatomySettings | AnomalySettings, TrainerSettings]:
    """Of ``configs/<name>.json``, or of a file: its ``task`` is ``anatomy``, or ``anomaly``; it may be ``like`` another one."""
    content = _content(name)
    trainer = TrainerSettings(**content["trainer"])
    if content.get("task") == "anomaly":
        return settings_from(content["data"]), trainer
    data: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in content["data"].items()
    }
    return AnatomySettings(**data), trainer


def _content(name: str) -> dict[str, Any]:
    """What a config says, and where it is ``like`` another one, what that says besides."""
    path = Path(name) if name.endswith(".json") else CONFIGS / f"{name}.json"
    own: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return _over(_content(own.pop("like")), own) if "like" in own else own


def _over(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """``base`` with everything that ``own`` says otherwise, at any depth."""
    return base | {
        k: _over(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v
        for k, v in own.items()
    }


def task_of(
    data: AnatomySettings | AnomalySettings, archive: Path, real_heads: Path, elderly: Path
) -> Task:
    """The task that some settings belong to, with the archives it needs."""
    maps = read(archive)
    if isinstance(data, AnomalySettings):
        slices = data.slices
        return AnomalyTask(
            maps,
            data,
            heads.read(real_heads) if slices.real else None,
            heads.read(elderly) if slices.elderly else None,
        )
    return AnatomyTask(maps, data, heads.read(real_heads) if data.real_heads else None)


def main() -> None:
    """Train until the steps of the config are done or the minutes are over; run again to go on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="name of a file in training/configs, or a path")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument(
        "--archive", type=Path, default=ARCHIVE, help="from python -m training.data.label_archive"
    )
    parser.add_argument(
        "--heads", type=Path, default=heads.HEADS, help="from python -m training.data.heads"
    )
    parser.add_argument(
        "--elderly", type=Path, default=ELDERLY, help="from python -m training.data.elderly"
    )
    parser.add_argument(
        "--weights", type=Path, help="weights to begin with, of another run or of a bundle"
    )
    parser.add_argument("--output", type=Path, help="default: results/<config>")
    arguments = parser.parse_args()
    data, trainer = read_config(arguments.config)
    task = task_of(data, arguments.archive, arguments.heads, arguments.elderly)
    folder = arguments.output or Path("results") / Path(arguments.config).stem
    try:
        done = train(task, trainer, folder, arguments.minutes, arguments.weights)
    except ForeignWeights as error:
        parser.error(str(error))
    print(f"{done} of {trainer.steps} steps; weights in {folder}")


if __name__ == "__main__":
    main()
