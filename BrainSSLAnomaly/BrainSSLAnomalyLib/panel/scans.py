"""Section "Scans": which volume is which contrast, and what is wrong with it before a start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.errors import BrainSSLAnomalyError
from ..core.study import Modality


class ScansSection:
    """The five selectors and the line below them.

    Args:
        ui: the panel's widgets by name.
        on_changed: called after every choice.
    """

    def __init__(self, ui: Any, on_changed: Callable[[], None]) -> None:
        self._ui = ui
        self._on_changed = on_changed
        self._selectors = {m: getattr(ui, f"{m.key}Selector") for m in Modality}
        self._checked: list[Any] = []
        self._problem = ""
        self._is_usable = self._is_setting = False
        for selector in self._selectors.values():
            selector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_choice)
        ui.guessButton.connect("clicked()", self.guess)

    def chosen(self) -> dict[Modality, Any]:
        """Return contrast → volume node."""
        found = {modality: selector.currentNode() for modality, selector in self._selectors.items()}
        return {modality: node for modality, node in found.items() if node is not None}

    def areUsable(self) -> bool:
        """Return whether there is a scan, and nothing wrong with any."""
        return self._is_usable

    def guess(self, start: Any = None) -> None:
        """Choose one patient's scans.

        Args:
            start: a volume of that patient; without it the study with the most contrasts, or that
                of the chosen scans.
        """
        from ..scene.guessing import guess_scans

        start = start or next(iter(self.chosen().values()), None)
        found = guess_scans(start)
        self._is_setting = True
        for modality, selector in self._selectors.items():
            selector.setCurrentNode(found.get(modality))
        self._is_setting = False
        self._on_choice()

    def _on_choice(self, *_unused: object) -> None:
        from ..scene.guessing import describe

        if self._is_setting:
            return
        scans = self.chosen()
        problem = self._find_problem(scans)
        self._is_usable = bool(scans) and not problem
        self._ui.scansMessage.text = problem or describe(scans)
        self._on_changed()

    def _find_problem(self, scans: dict[Modality, Any]) -> str:
        """Return the first problem; voxels are checked once for every choice."""
        from .. import scene

        if not scans:
            return ""
        choice = [
            (m.value, node.GetID(), node.GetMTime(), node.GetTransformNodeID())
            for m, node in scans.items()
        ]
        if self._checked != choice:
            self._checked, self._problem = choice, ""
            try:
                scene.study_from_nodes(scans)
            except BrainSSLAnomalyError as error:
                self._problem = str(error)
        return self._problem
