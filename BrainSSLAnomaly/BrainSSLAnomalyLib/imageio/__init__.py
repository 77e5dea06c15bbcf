"""Scans in, results out: every file is checked here, so that no other room meets a broken one."""

from .locate import locate_scans
from .nifti import read_volume, write_volume
from .reading import read_scan, read_study
from .results import (
    EXPLANATIONS,
    RESEARCH_USE,
    SavedResults,
    read_detection,
    read_results,
    remove_explanations,
    results_folder,
    write_detection,
    write_results,
    write_segmentation,
    write_times,
)

__all__ = [
    "EXPLANATIONS",
    "RESEARCH_USE",
    "SavedResults",
    "locate_scans",
    "read_detection",
    "read_results",
    "read_scan",
    "read_study",
    "read_volume",
    "remove_explanations",
    "results_folder",
    "write_detection",
    "write_results",
    "write_segmentation",
    "write_times",
    "write_volume",
]
