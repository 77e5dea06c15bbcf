"""Scans as the scanner left them → aligned, bias-free, normalised images with their anatomy, and the way back."""

from .parcellation import Look
from .prepare import prepare
from .prepared import PreparedStudy

__all__ = ["Look", "PreparedStudy", "prepare"]
