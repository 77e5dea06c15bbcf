"""Code on Slicer's Python layer, in a process where nothing has been imported yet."""

from __future__ import annotations

import os
import subprocess
import sys

from support.project import PROJECT

PATIENCE_SECONDS = 1800
"""Tens of times what anything takes: a test that waits so long has failed."""


def run_fresh(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code that can import ``support`` and the module file."""
    path = os.pathsep.join(str(PROJECT / name) for name in ("Testing", "BrainSSLAnomaly"))
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
