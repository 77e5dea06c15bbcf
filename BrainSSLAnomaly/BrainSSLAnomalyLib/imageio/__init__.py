"""The door: scans in, results out. Everything is checked here, so that no other room meets a broken file."""

from .locate import scans_again
from .reading import read_scan, read_study
from .writing import (
    EXPLANATIONS,
    RESEARCH_USE,
    drop_explanations,
    read_results,
    staged_folder,
    write_results,
    write_segmentation,
    write_text,
    write_volume,
)

__all__ = [
    "EXPLANATIONS",
    "RESEARCH_USE",
    "drop_explanations",
    "read_results",
    "read_scan",
    "read_study",
    "scans_again",
    "staged_folder",
    "write_results",
    "write_segmentation",
    "write_text",
    "write_volume",
]
