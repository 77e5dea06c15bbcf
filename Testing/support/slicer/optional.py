"""Test modules that need what not every machine has are skipped with the reason."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
_WHERE = {
    "slicer": "the wheel slicer-core is not installed or lacks a system library; make test "
    "installs it where there is one",
    "PySide6.QtWidgets": "PySide6-Essentials is not installed or lacks a library (Debian: libegl1 "
    "libxkbcommon0 libdbus-1-3)",
}


def needed(name: str) -> Any:
    """Return the module, or skip the whole test module."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"{_WHERE[name]} ({error})", allow_module_level=True)
