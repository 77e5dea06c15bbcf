"""Driving the panel as a user would: real clicks, waiting for events, and pictures.

Pictures are made where ``PANEL_PICTURES`` names a folder for them.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

LIMIT_SECONDS = 600.0
"""Longest wait for an event, far beyond the usual: only a fault makes a test wait for so long."""


def settle() -> None:
    """Handle the events that are waiting."""
    import slicer

    slicer.app.processEvents()


def until(condition, seconds: float = LIMIT_SECONDS) -> None:
    """Handle events until a condition holds."""
    end = time.monotonic() + seconds
    settle()
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
        settle()


def rest(panel) -> None:
    """Wait until the sliders have rested and mask and findings have followed."""
    until(lambda: not panel.tuning._timer.isActive())


def picture(panel, name: str) -> None:
    folder = os.environ.get("PANEL_PICTURES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        settle()
        panel.parent.grab().save(str(Path(folder) / f"{name}.png"))


def click(button) -> None:
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    QTest.mouseClick(button, QtCore.Qt.MouseButton.LeftButton)
    settle()
