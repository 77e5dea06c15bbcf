"""Section "Hand over": to the Segment Editor, to files, to a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..core.errors import BrainSSLAnomalyError


class Handover:
    """The buttons that take results elsewhere.

    Args:
        ui: the panel's widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._session: Any = None
        ui.editButton.connect("clicked()", self.edit)
        ui.saveMaskButton.connect("clicked()", self._on_save)
        ui.reportButton.connect("clicked()", self._on_report)

    def offer(self, session: Any) -> None:
        """The session whose results are meant, or None."""
        self._session = session
        for button in (self._ui.editButton, self._ui.saveMaskButton, self._ui.reportButton):
            button.enabled = session is not None and session.results.segmentation is not None

    def edit(self) -> None:
        """The Segment Editor, with segmentation and scan set."""
        results = self._session.results
        slicer.util.selectModule("SegmentEditor")
        node = slicer.modules.segmenteditor.widgetRepresentation().self().parameterSetNode
        node.SetAndObserveSegmentationNode(results.segmentation)
        node.SetAndObserveSourceVolumeNode(results.reference)

    def _on_save(self) -> None:
        from ..scene.saving import save_mask

        kinds = _("Segmentation") + " (*.seg.nrrd);;NIfTI (*.nii.gz)"
        results = self._session.results
        name = _chosen(
            qt.QFileDialog.getSaveFileName(
                self._window(), _("Save mask"), f"{results.segmentation.GetName()}.seg.nrrd", kinds
            )
        )
        if name:
            if not name.endswith((".nii", ".nii.gz", ".nrrd")):
                name += ".seg.nrrd"
            self._try(lambda: save_mask(results.segmentation, results.reference, Path(name)))

    def _on_report(self) -> None:
        from ..scene.saving import save_report

        folder = qt.QFileDialog.getExistingDirectory(
            self._window(), _("Folder to put the report into")
        )
        if folder:
            target = Path(folder) / f"{self._session.results.name}_anomalies"
            self._try(lambda: self._open(save_report(self._session, target)))

    def _open(self, page: Path) -> None:
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(page)))

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except BrainSSLAnomalyError as error:
            slicer.util.errorDisplay(str(error))

    def _window(self) -> Any:
        return self._ui.editButton.window()


def _chosen(answer: Any) -> str:
    """A file dialog's answer: PythonQt gives the name, other bindings a pair."""
    return str(answer[0] if isinstance(answer, tuple) else answer)
