"""``python -m training.train anatomy --minutes 30``: train a network as its config file says.

Several devices: ``torchrun --nproc-per-node 8 -m training.train anatomy``.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from .anatomy_task import AnatomySettings, AnatomyTask
from .synthesis import heads
from .synthesis.archive import ARCHIVE, read
from .trainer import Task, TrainerSettings, train

CONFIGS = Path(__file__).parent / "configs"


def read_config(name: str) -> tuple[AnatomySettings, TrainerSettings]:
    """Of ``configs/<name>.json``, or of a file."""
    path = Path(name) if name.endswith(".json") else CONFIGS / f"{name}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    data: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content["data"].items()}
    return AnatomySettings(**data), TrainerSettings(**content["trainer"])


def main() -> None:
    """Train until the steps of the config are done or the minutes are over; run again to go on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="name of a file in training/configs, or a path")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--archive", type=Path, default=ARCHIVE, help="from python -m training.synthesis.archive")
    parser.add_argument("--heads", type=Path, default=heads.HEADS, help="from python -m training.synthesis.heads")
    parser.add_argument("--output", type=Path, help="default: results/<config>")
    arguments = parser.parse_args()
    data, trainer = read_config(arguments.config)
    task: Task = AnatomyTask(read(arguments.archive), data, heads.read(arguments.heads) if data.real_heads else None)
    folder = arguments.output or Path("results") / Path(arguments.config).stem
    done = train(task, trainer, folder, arguments.minutes)
    print(f"{done} of {trainer.steps} steps; weights in {folder}")


if __name__ == "__main__":
    main()
