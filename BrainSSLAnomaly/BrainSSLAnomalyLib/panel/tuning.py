"""Sections "Threshold" and "Clean-up": sliders to settings and back, and when to act on them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from math import isclose
from typing import Any

import qt

from ..core.settings import (
    MorphologySettings,
    SegmentationSettings,
    ThresholdMethod,
    ThresholdSettings,
    default_segmentation,
)
from ..core.study import Modality

PAUSE_MS = 50
_SLIDERS = (
    "threshold",
    "low",
    "percentile",
    "zscore",
    "opening",
    "closing",
    "dilation",
    "erosion",
    "smallest",
)
_ROWS = {
    ThresholdMethod.FIXED: {"threshold"},
    ThresholdMethod.PERCENTILE: {"percentile"},
    ThresholdMethod.ROBUST_Z: {"zscore"},
    ThresholdMethod.OTSU: set(),
    ThresholdMethod.HYSTERESIS: {"threshold", "low"},
}
"""Sliders that a method listens to; the others are hidden."""


class Tuning:
    """Watches the sliders.

    Args:
        ui: the panel's widgets by name.
        moved: called at every step of a slider.
        settled: called when the sliders have rested for `PAUSE_MS`.
    """

    def __init__(self, ui: Any, moved: Callable[[], None], settled: Callable[[], None]) -> None:
        self._ui = ui
        self._moved = moved
        self._quiet = False
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.connect("timeout()", settled)
        for name in _SLIDERS:
            getattr(ui, f"{name}Slider").connect("valueChanged(double)", self._on_change)
        ui.fillHolesCheckBox.connect("toggled(bool)", self._on_change)
        ui.methodSelector.connect("currentIndexChanged(int)", self._on_method)

    def settings(self) -> SegmentationSettings:
        """What the sliders say. They are asked themselves: the parameter node hears of a move only after us."""
        fill = self._ui.fillHolesCheckBox.checked
        value = {name: getattr(self._ui, f"{name}Slider").value for name in _SLIDERS}
        method = ThresholdMethod(
            self._ui.methodSelector.currentText or ThresholdMethod.HYSTERESIS.value
        )
        low = min(value["low"], value["threshold"])
        return SegmentationSettings(
            ThresholdSettings(
                method, value["threshold"], low, value["percentile"], value["zscore"]
            ),
            MorphologySettings(
                value["opening"],
                value["closing"],
                value["dilation"],
                value["erosion"],
                fill,
                value["smallest"],
            ),
        )

    def put(self, settings: SegmentationSettings) -> None:
        """Set the sliders, without acting on it."""
        cut, clean = settings.threshold, settings.morphology
        values = (
            cut.threshold, cut.low, cut.percentile, cut.zscore,
            clean.opening_mm, clean.closing_mm, clean.dilation_mm, clean.erosion_mm, clean.min_volume_ml,
        )  # fmt: skip
        self._quiet = True
        try:
            for name, value in zip(_SLIDERS, values, strict=True):
                getattr(self._ui, f"{name}Slider").value = value
            self._ui.fillHolesCheckBox.checked = clean.fill_holes
            self._ui.methodSelector.setCurrentText(cut.method.value)
            self.showRows()
        finally:
            self._quiet = False

    def suit(self, modalities: Collection[Modality]) -> None:
        """Go to the default levels for these modalities, if the sliders stand at those for some others: what a user chose stays."""
        now = self.settings()
        if any(_same(now.threshold, default_segmentation([m]).threshold) for m in Modality):
            levels = default_segmentation(modalities).threshold
            self.put(
                replace(
                    now,
                    threshold=replace(now.threshold, threshold=levels.threshold, low=levels.low),
                )
            )

    def showRows(self) -> None:
        """Only the sliders that the method listens to."""
        wanted = _ROWS[self.settings().threshold.method]
        for name in ("threshold", "low", "percentile", "zscore"):
            for widget in (f"{name}Label", f"{name}Slider"):
                getattr(self._ui, widget).visible = name in wanted

    def stop(self) -> None:
        """Forget a pause that is under way."""
        self._timer.stop()

    def _on_method(self, *_: object) -> None:
        if self._ui.methodSelector.currentText:
            self.showRows()
            self._on_change()

    def _on_change(self, *_: object) -> None:
        if not self._quiet:
            self._moved()
            self._timer.start()


def _same(one: ThresholdSettings, other: ThresholdSettings) -> bool:
    """As far as a slider can say."""
    return (
        one.method is other.method
        and isclose(one.threshold, other.threshold)
        and isclose(one.low, other.low)
    )
