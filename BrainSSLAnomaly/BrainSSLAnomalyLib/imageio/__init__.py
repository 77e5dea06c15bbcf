"""The door: scans in, results out. Everything is checked here, so that no other room meets a broken file."""

from .reading import read_scan, read_study
from .writing import read_results, staged_folder, write_results, write_segmentation, write_text, write_volume

__all__ = ["read_results", "read_scan", "read_study", "staged_folder", "write_results", "write_segmentation", "write_text", "write_volume"]
