"""Driving the panel as a user would: real clicks, waiting for it, and screenshots where ``PANEL_PICTURES`` names a folder for them."""

from __future__ import annotations

import os
import time
from pathlib import Path


def settle(seconds: float = 0.0) -> None:
    import slicer

    end = time.monotonic() + seconds
    slicer.app.processEvents()
    while time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.01)


def until(true, seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        settle(0.05)


def picture(panel, name: str) -> None:
    folder = os.environ.get("PANEL_PICTURES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        settle(0.1)
        panel.parent.grab().save(str(Path(folder) / f"{name}.png"))


def click(button) -> None:
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    QTest.mouseClick(button, QtCore.Qt.MouseButton.LeftButton)
    settle()
