"""Section "Layers": the result, the maps over its scan, and their window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from ..core.results import MapName


class LayersSection:
    """The selectors and their effect on the slice views.

    Args:
        ui: the panel's widgets by name.
        on_chosen: receives the results to work on, or None.
    """

    def __init__(self, ui: Any, on_chosen: Callable[[Any], None]) -> None:
        self._ui = ui
        self._on_chosen = on_chosen
        self._listed: list[Any] = []
        self._nodes: list[Any] = []
        self._results: Any = None
        self._are_hidden = self._is_filling = False
        ui.flipButton.connect("toggled(bool)", self._update)
        ui.resultsSelector.connect("currentIndexChanged(int)", self._on_results)
        ui.layerSelector.connect("currentIndexChanged(int)", self._on_layer)
        ui.secondLayerSelector.connect("currentIndexChanged(int)", self._on_layer)
        ui.opacitySlider.connect("valueChanged(double)", self._update)
        ui.windowRange.connect("valuesChanged(double,double)", self._on_window)
        ui.legendCheckBox.connect("toggled(bool)", self._on_legend)
        ui.linkCheckBox.connect("toggled(bool)", self._update)
        ui.surfaceCheckBox.connect("toggled(bool)", self.showSurface)
        self._keys = [self._shortcut("H", self._on_hide), self._shortcut("F", self._on_flip)]

    def listResults(self, preferred: Any = None) -> None:
        """List the results in the scene, and choose one.

        Args:
            preferred: the ones to choose; by default those chosen before, else the last.
        """
        from ..scene import Results

        self._is_filling = True
        self._listed = Results.all_in_scene()
        keep = next(
            (r for r in (preferred, self._results) if r in self._listed),
            self._listed[-1] if self._listed else None,
        )
        selector = self._ui.resultsSelector
        selector.clear()
        for results in self._listed:
            selector.addItem(results.name)
        selector.enabled = bool(self._listed)
        if keep is not None:
            selector.currentIndex = self._listed.index(keep)
        self._is_filling = False
        if preferred is not None or keep != self._results:
            self._choose(keep)

    def show(self, results: Any) -> None:
        """Show the maps of some results over their scan, the main one first."""
        self._results = results
        self._ui.flipButton.checked = False
        self._fill("", "")

    def refresh(self, title: str = "") -> None:
        """List the maps again where one came or went; the chosen ones stay chosen.

        Args:
            title: of the map to be shown first from now on.
        """
        if self._results is not None and (title or self._nodes != self._maps()):
            self._fill(
                title or self._ui.layerSelector.currentText,
                self._ui.secondLayerSelector.currentText,
            )

    def _fill(self, first: str, second: str) -> None:
        self._is_filling = True
        self._nodes = self._maps()
        titles = [_("None"), *(node.GetAttribute("BrainSSLAnomaly.Layer") for node in self._nodes)]
        for selector, title, other in (
            (self._ui.layerSelector, first, 1),
            (self._ui.secondLayerSelector, second, 0),
        ):
            selector.clear()
            for name in titles:
                selector.addItem(name)
            selector.currentIndex = titles.index(title) if title in titles else other
        self._is_filling = False
        self._on_layer()

    def _maps(self) -> list[Any]:
        return list(self._results.layers.values()) if self._results else []

    def hideBelow(self, level: float) -> None:
        """Hide scores below a level at once."""
        from ..scene import show_threshold
        from ..scene.layers import MAIN

        node = self._results.layers.get(MAIN) if self._results else None
        if node is not None:
            show_threshold(node, level)

    def showSurface(self, *_unused: object) -> None:
        """Show the findings in the 3-D views, if that is switched on."""
        if self._results is not None and self._results.segmentation is not None:
            from ..scene.masks import show_surface

            show_surface(self._results.segmentation, self._ui.surfaceCheckBox.checked)

    def _choose(self, results: Any) -> None:
        self._results = results
        if results is None:
            self._ui.flipButton.enabled = self._ui.flipButton.checked = False
        self._on_chosen(results)

    def _on_results(self, index: int) -> None:
        if not self._is_filling and 0 <= index < len(self._listed):
            self._choose(self._listed[index])

    def _node(self, selector: Any) -> Any:
        nodes = [None, *self._nodes] if self._results else [None]
        node = nodes[selector.currentIndex] if 0 <= selector.currentIndex < len(nodes) else None
        return node if node is not None and node.GetScene() is not None else None

    def _on_layer(self, *_unused: object) -> None:
        from ..scene.maps import window_limits

        if self._is_filling:
            return
        node = self._node(self._ui.layerSelector)
        if node is not None and node.GetDisplayNode() is not None:
            display = node.GetDisplayNode()
            self._is_filling = True
            self._ui.windowRange.minimum, self._ui.windowRange.maximum = window_limits(node)
            self._ui.windowRange.setValues(display.GetWindowLevelMin(), display.GetWindowLevelMax())
            self._is_filling = False
        self._update()
        self._on_legend()

    def _update(self, *_unused: object) -> None:
        from ..scene import show_layers
        from ..scene.maps import copy_window

        if self._is_filling or self._results is None or self._results.reference is None:
            return
        selectors = (self._ui.layerSelector, self._ui.secondLayerSelector)
        maps = [] if self._are_hidden else [self._node(selector) for selector in selectors]
        shown = [node for node in dict.fromkeys(maps) if node is not None]
        background, healthy = self._results.reference, self._healthy()
        self._ui.flipButton.enabled = healthy is not None
        if healthy is not None and self._ui.flipButton.checked:
            copy_window(healthy, background)
            background = healthy
        show_layers(background, shown, self._ui.opacitySlider.value, self._ui.linkCheckBox.checked)

    def _on_window(self, low: float, high: float) -> None:
        node = self._node(self._ui.layerSelector)
        if not self._is_filling and node is not None and high > low:
            node.GetDisplayNode().SetWindowLevelMinMax(low, high)

    def _on_legend(self, *_unused: object) -> None:
        from ..scene.maps import show_legend

        chosen = self._node(self._ui.layerSelector)
        for node in self._results.layers.values() if self._results else ():
            show_legend(node, self._ui.legendCheckBox.checked and node is chosen)

    def _healthy(self) -> Any:
        """Return the reconstruction, if there is one."""
        return self._results.layers.get(MapName.RECONSTRUCTION.value) if self._results else None

    def _shortcut(self, key: str, act: Callable[[], None]) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(key), self._ui.layersButton.parentWidget())
        shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        shortcut.connect("activated()", act)
        return shortcut

    def _on_flip(self) -> None:
        self._ui.flipButton.click()  # does nothing where there is nothing to flip to

    def _on_hide(self) -> None:
        self._are_hidden = not self._are_hidden
        self._update()
