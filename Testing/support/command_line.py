"""The command line in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

QUICK = ("--detector", "statistical", "--anatomy", "atlas")
"""Options without a network, where something else is tested."""

PATIENCE_SECONDS = 900
"""Tens of times what a command takes: a test that waits so long has failed."""


def run(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``brain-ssl-anomaly`` with some arguments, from a folder."""
    return subprocess.run(
        [sys.executable, "-m", "BrainSSLAnomalyLib", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=PATIENCE_SECONDS,
    )
