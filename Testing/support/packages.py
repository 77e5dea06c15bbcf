"""What tests need beyond the package: PyTorch, or a process of their own."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from support.slicer.fresh_process import run_fresh

INSTALL = "pip install 'brain-ssl-anomaly[torch]'"


def need_network() -> Any:
    """Return torch, or skip the test module."""
    for name in ("monai", "einops"):
        pytest.importorskip(name, reason=f"{name} is missing: {INSTALL}")
    return pytest.importorskip("torch", reason=f"torch is missing: {INSTALL}")


def run_python(code: str) -> str:
    """Run indented code in a process of its own, and return what it prints."""
    done = run_fresh(textwrap.dedent(code))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
