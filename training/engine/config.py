"""The configs of training: one JSON file a model, which may be like another one.

A config names its ``task``, and has a part for its ``data`` and one for its ``trainer``. With
``"like": "anomaly_cpu"`` it begins as that config and overrides single values by MONAI's ids, such
as ``"data::slices::patients": 16``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..tasks.anatomy import AnatomySettings
from ..tasks.anomaly import AnomalySettings, parse_settings
from .trainer import TrainerSettings

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def read_config(name: str) -> tuple[AnatomySettings | AnomalySettings, TrainerSettings]:
    """Read a config.

    Args:
        name: of a file in ``training/configs``, without suffix, or a path that ends with ``.json``.

    Returns:
        Settings of the task, ``anatomy`` or ``anomaly``, and of the trainer.
    """
    from monai.bundle import ConfigParser

    content: dict[str, Any] = ConfigParser.load_config_files(_files_of(name))
    trainer = TrainerSettings(**content["trainer"])
    if content.get("task") == "anomaly":
        return parse_settings(content["data"]), trainer
    data: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in content["data"].items()
    }
    return AnatomySettings(**data), trainer


def _files_of(name: str) -> list[str]:
    """Return the files that make a config, the most basic one first."""
    path = Path(name) if name.endswith(".json") else CONFIGS / f"{name}.json"
    base = json.loads(path.read_text(encoding="utf-8")).get("like")
    return [*(_files_of(base) if base else ()), str(path)]
