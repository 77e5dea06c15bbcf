"""The memory that this process has used."""

from __future__ import annotations

import sys


def peak_memory_mb() -> float | None:
    """Return the most memory that this process has used so far, in MB; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
