"""Train a network as its config says: ``python -m training.train anatomy --minutes 30``.

Several devices: ``torchrun --nproc-per-node 8 -m training.train anatomy``.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from .data import heads
from .data.elderly import ELDERLY
from .data.label_archive import ARCHIVE, read
from .engine.checkpoint import ForeignWeights
from .engine.config import read_config
from .engine.trainer import Task, train
from .tasks.anatomy import AnatomySettings, AnatomyTask
from .tasks.anomaly import AnomalySettings, AnomalyTask


def task_of(
    data: AnatomySettings | AnomalySettings, archive: Path, real_heads: Path, elderly: Path
) -> Task:
    """Create the task that some settings belong to, with the archives that it needs.

    Args:
        data: settings of the task.
        archive: of label maps.
        real_heads: archive of healthy heads, read if the settings want some.
        elderly: archive of old people's heads, read if the settings want some.
    """
    maps = read(archive)
    if isinstance(data, AnatomySettings):
        return AnatomyTask(maps, data, heads.read(real_heads) if data.real_heads else None)
    return AnomalyTask(
        maps,
        data,
        heads=heads.read(real_heads) if data.slices.real else None,
        elderly=heads.read(elderly) if data.slices.elderly else None,
    )


def main() -> None:
    """Train until the steps of the config are done or the minutes are over; run again to go on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("config", help="name of a file in training/configs, or a path")
    add("--minutes", type=float, default=math.inf)
    add("--archive", type=Path, default=ARCHIVE, help="of python -m training.data.label_archive")
    add("--heads", type=Path, default=heads.HEADS, help="of python -m training.data.heads")
    add("--elderly", type=Path, default=ELDERLY, help="of python -m training.data.elderly")
    add("--weights", type=Path, help="to begin with, of another run or of a bundle")
    add("--output", type=Path, help="default: results/<config>")
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
