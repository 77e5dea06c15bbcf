"""Scans as the scanner left them → aligned, bias-free, normalised images with their anatomy."""

from .parcellation import AnatomyPredictor
from .prepare import prepare
from .prepared import PreparedStudy

__all__ = ["AnatomyPredictor", "PreparedStudy", "prepare"]
