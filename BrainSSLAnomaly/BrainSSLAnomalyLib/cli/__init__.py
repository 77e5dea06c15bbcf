"""The command line ``brain-ssl-anomaly``."""

from .app import main

__all__ = ["main"]
