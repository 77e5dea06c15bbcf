"""Section "Layers": which result, which maps over the scan, in which window. Knows no map by name: results say what they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from ..core.results import MapName


class Layers:
    """The selectors and their effect on the slice views.

    Args:
        ui: the panel's widgets by name.
        chosen: called with the results to work on, or None.
    """

    def __init__(self, ui: Any, chosen: Callable[[Any], None]) -> None:
        self._ui = ui
        self._chosen = chosen
        self._listed: list[Any] = []
        self._nodes: list[Any] = []
        self._results: Any = None
        self._hidden = self._busy = False
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

    def listResults(self, wanted: Any = None) -> None:
        """Look what results the scene holds, and choose.

        Args:
            wanted: those to choose; the ones chosen before, else the last, when not given.
        """
        from ..scene import Results

        self._busy = True
        self._listed = Results.everything()
        keep = next(
            (r for r in (wanted, self._results) if r in self._listed),
            self._listed[-1] if self._listed else None,
        )
        selector = self._ui.resultsSelector
        selector.clear()
        for results in self._listed:
            selector.addItem(results.name)
        selector.enabled = bool(self._listed)
        if keep is not None:
            selector.currentIndex = self._listed.index(keep)
        self._busy = False
        if wanted is not None or keep != self._results:
            self._choose(keep)

    def show(self, results: Any) -> None:
        """These results' maps over their scan, the main one first."""
        self._results = results
        self._ui.flipButton.checked = False
        self._fill("", "")

    def refresh(self, title: str = "") -> None:
        """List the maps anew where one came or went; what was chosen stays chosen.

        Args:
            title: of the map to be shown first from now on.
        """
        if self._results is not None and (title or self._nodes != self._maps()):
            self._fill(
                title or self._ui.layerSelector.currentText,
                self._ui.secondLayerSelector.currentText,
            )

    def _fill(self, first: str, second: str) -> None:
        self._busy = True
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
        self._busy = False
        self._on_layer()

    def _maps(self) -> list[Any]:
        return list(self._results.layers.values()) if self._results else []

    def hideBelow(self, level: float) -> None:
        """The display of the score follows a threshold at once."""
        from ..scene import show_threshold
        from ..scene.layers import MAIN

        node = self._results.layers.get(MAIN) if self._results else None
        if node is not None:
            show_threshold(node, level)

    def showSurface(self, *_unused: object) -> None:
        """The findings in the 3-D views, if they are wanted there."""
        if self._results is not None and self._results.segmentation is not None:
            from ..scene.masks import show_surface

            show_surface(self._results.segmentation, self._ui.surfaceCheckBox.checked)

    def _choose(self, results: Any) -> None:
        self._results = results
        if results is None:
            self._ui.flipButton.enabled = self._ui.flipButton.checked = False
        self._chosen(results)

    def _on_results(self, index: int) -> None:
        if not self._busy and 0 <= index < len(self._listed):
            self._choose(self._listed[index])

    def _node(self, selector: Any) -> Any:
        nodes = [None, *self._nodes] if self._results else [None]
        node = nodes[selector.currentIndex] if 0 <= selector.currentIndex < len(nodes) else None
        return node if node is not None and node.GetScene() is not None else None

    def _on_layer(self, *_unused: object) -> None:
        from ..scene.maps import limits

        if self._busy:
            return
        node = self._node(self._ui.layerSelector)
        if node is not None and node.GetDisplayNode() is not None:
            display = node.GetDisplayNode()
            self._busy = True
            self._ui.windowRange.minimum, self._ui.windowRange.maximum = limits(node)
            self._ui.windowRange.setValues(display.GetWindowLevelMin(), display.GetWindowLevelMax())
            self._busy = False
        self._update()
        self._on_legend()

    def _update(self, *_unused: object) -> None:
        from ..scene import show_layers
        from ..scene.maps import same_window

        if self._busy or self._results is None or self._results.reference is None:
            return
        maps = (
            []
            if self._hidden
            else [self._node(s) for s in (self._ui.layerSelector, self._ui.secondLayerSelector)]
        )
        shown = [node for node in dict.fromkeys(maps) if node is not None]
        background, healthy = self._results.reference, self._healthy()
        self._ui.flipButton.enabled = healthy is not None
        if healthy is not None and self._ui.flipButton.checked:
            same_window(healthy, background)
            background = healthy
        show_layers(background, shown, self._ui.opacitySlider.value, self._ui.linkCheckBox.checked)

    def _on_window(self, low: float, high: float) -> None:
        node = self._node(self._ui.layerSelector)
        if not self._busy and node is not None and high > low:
            node.GetDisplayNode().SetWindowLevelMinMax(low, high)

    def _on_legend(self, *_unused: object) -> None:
        from ..scene.maps import show_legend

        chosen = self._node(self._ui.layerSelector)
        for node in self._results.layers.values() if self._results else ():
            show_legend(node, self._ui.legendCheckBox.checked and node is chosen)

    def _healthy(self) -> Any:
        """The reconstruction, where the network made one and nobody has deleted it."""
        return self._results.layers.get(MapName.RECONSTRUCTION.value) if self._results else None

    def _shortcut(self, key: str, act: Callable[[], None]) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(key), self._ui.layersButton.parentWidget())
        shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        shortcut.connect("activated()", act)
        return shortcut

    def _on_flip(self) -> None:
        self._ui.flipButton.click()  # does nothing where there is nothing to flip to

    def _on_hide(self) -> None:
        self._hidden = not self._hidden
        self._update()
