"""Scans as the scanner left them → aligned, bias-free, normalised images with their anatomy, and the way back."""

from .prepare import prepare
from .prepared import PreparedStudy
from .seen import Look

__all__ = ["Look", "PreparedStudy", "prepare"]
