"""Sections "Threshold" and "Clean-up": sliders to settings and back, and when to act on them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields, replace
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
from .parameters import camel_case, fill_widgets

PAUSE_MS = 50
"""Sliders that have rested this long have settled."""

_ROWS = {
    ThresholdMethod.FIXED: {"threshold"},
    ThresholdMethod.PERCENTILE: {"percentile"},
    ThresholdMethod.ROBUST_Z: {"zscore"},
    ThresholdMethod.OTSU: set(),
    ThresholdMethod.HYSTERESIS: {"threshold", "low"},
}
"""Sliders that a method uses; the others are hidden."""

_LEVELS = ("threshold", "low", "percentile", "zscore")


class TuningSection:
    """Watch the sliders.

    Args:
        ui: the panel's widgets by name.
        on_moved: called at every step of a slider.
        on_settled: called when the sliders have rested for `PAUSE_MS`.
    """

    def __init__(
        self, ui: Any, on_moved: Callable[[], None], on_settled: Callable[[], None]
    ) -> None:
        self._ui = ui
        self._on_moved = on_moved
        self._is_setting = False
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.connect("timeout()", on_settled)
        for group in (ThresholdSettings, MorphologySettings):
            fill_widgets(ui, group)
            for name in _slider_fields(group):
                self._slider(name).connect("valueChanged(double)", self._on_change)
        ui.fillHolesCheckBox.connect("toggled(bool)", self._on_change)
        ui.methodSelector.connect("currentIndexChanged(int)", self._on_method)

    def settings(self) -> SegmentationSettings:
        """Return the settings of the sliders: the parameter node learns of a move only after us."""
        levels = {name: self._slider(name).value for name in _slider_fields(ThresholdSettings)}
        levels["low"] = min(levels["low"], levels["threshold"])
        method = self._ui.methodSelector.currentText or ThresholdMethod.HYSTERESIS.value
        radii = {name: self._slider(name).value for name in _slider_fields(MorphologySettings)}
        fill_holes = self._ui.fillHolesCheckBox.checked
        return SegmentationSettings(
            ThresholdSettings(method=ThresholdMethod(method), **levels),
            MorphologySettings(fill_holes=fill_holes, **radii),
        )

    def setSettings(self, settings: SegmentationSettings) -> None:
        """Move the sliders, without acting on it."""
        self._is_setting = True
        try:
            for group in (settings.threshold, settings.morphology):
                for name in _slider_fields(type(group)):
                    self._slider(name).value = getattr(group, name)
            self._ui.fillHolesCheckBox.checked = settings.morphology.fill_holes
            self._ui.methodSelector.setCurrentText(settings.threshold.method.value)
            self.showRows()
        finally:
            self._is_setting = False

    def useDefaultsFor(self, modalities: Collection[Modality]) -> None:
        """Move to the default levels of some modalities, unless the user has chosen others."""
        now = self.settings()
        defaults = [default_segmentation([m]).threshold for m in Modality]
        if any(_are_same(now.threshold, default) for default in defaults):
            levels = default_segmentation(modalities).threshold
            threshold = replace(now.threshold, threshold=levels.threshold, low=levels.low)
            self.setSettings(replace(now, threshold=threshold))

    def showRows(self) -> None:
        """Show only the sliders that the method uses."""
        used = _ROWS[self.settings().threshold.method]
        for name in _LEVELS:
            for widget in (f"{name}Label", f"{name}Slider"):
                getattr(self._ui, widget).visible = name in used

    def stop(self) -> None:
        """Forget a pause that is under way."""
        self._timer.stop()

    def _slider(self, name: str) -> Any:
        return getattr(self._ui, f"{camel_case(name)}Slider")

    def _on_method(self, *_unused: object) -> None:
        if self._ui.methodSelector.currentText:
            self.showRows()
            self._on_change()

    def _on_change(self, *_unused: object) -> None:
        if not self._is_setting:
            self._on_moved()
            self._timer.start()


def _slider_fields(group: type) -> list[str]:
    """Return the fields of a settings class that have a slider: its numbers."""
    return [f.name for f in fields(group) if isinstance(f.default, float)]


def _are_same(one: ThresholdSettings, other: ThresholdSettings) -> bool:
    """Return whether two settings are the same, as exactly as a slider is."""
    are_close = isclose(one.threshold, other.threshold) and isclose(one.low, other.low)
    return one.method is other.method and are_close
