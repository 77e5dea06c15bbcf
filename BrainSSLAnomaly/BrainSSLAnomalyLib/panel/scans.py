"""Section "Scans": which volume is which contrast, and what is wrong with it before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.errors import BrainSSLAnomalyError
from ..core.study import Modality


class Scans:
    """The five selectors and the line below them.

    Args:
        ui: the panel's widgets by name.
        changed: called after every choice.
    """

    def __init__(self, ui: Any, changed: Callable[[], None]) -> None:
        self._ui = ui
        self._changed = changed
        self._selectors = {m: getattr(ui, f"{m.key}Selector") for m in Modality}
        self._known: dict[str, Any] = {}
        self._usable = self._busy = False
        for selector in self._selectors.values():
            selector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_choice)
        ui.guessButton.connect("clicked()", self.guess)

    def chosen(self) -> dict[Modality, Any]:
        """Contrast → volume node."""
        found = {modality: selector.currentNode() for modality, selector in self._selectors.items()}
        return {modality: node for modality, node in found.items() if node is not None}

    def usable(self) -> bool:
        """Whether there is a scan, and nothing wrong with any."""
        return self._usable

    def guess(self, start: Any = None) -> None:
        """Fill in one patient's scans.

        Args:
            start: a volume of that patient; without it the study with the most contrasts, or that of the chosen scans.
        """
        from ..scene.guessing import guess_scans

        start = start or next(iter(self.chosen().values()), None)
        found = guess_scans(start)
        self._busy = True
        for modality, selector in self._selectors.items():
            selector.setCurrentNode(found.get(modality))
        self._busy = False
        self._on_choice()

    def _on_choice(self, *_: object) -> None:
        from ..scene.guessing import describe

        if self._busy:
            return
        scans = self.chosen()
        problem = self._problem(scans)
        self._usable = bool(scans) and not problem
        self._ui.scansMessage.text = problem or describe(scans)
        self._changed()

    def _problem(self, scans: dict[Modality, Any]) -> str:
        """The first thing that is wrong; looking at voxels takes a moment, so what is known is not looked at again."""
        from .. import scene

        key = [
            (m.value, node.GetID(), node.GetMTime(), node.GetTransformNodeID())
            for m, node in scans.items()
        ]
        if scans and self._known.get("key") != key:
            self._known = {"key": key, "problem": ""}
            try:
                scene.study_from_nodes(scans)
            except BrainSSLAnomalyError as error:
                self._known["problem"] = str(error)
        return str(self._known.get("problem", "")) if scans else ""
