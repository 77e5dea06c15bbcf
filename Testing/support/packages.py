"""Test modules that need the network's packages are skipped where those are missing."""

from __future__ import annotations

from typing import Any

import pytest

INSTALL = "pip install 'brain-ssl-anomaly[model]'"


def need_network() -> Any:
    """Return torch, or skip the test module."""
    for name in ("monai", "einops", "safetensors"):
        pytest.importorskip(name, reason=f"{name} is missing: {INSTALL}")
    return pytest.importorskip("torch", reason=f"torch is missing: {INSTALL}")
