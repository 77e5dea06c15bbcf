"""Section "Export": to the Segment Editor, to files, to a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..core.errors import BrainSSLAnomalyError


class ExportSection:
    """Take results elsewhere.

    Args:
        ui: the panel's widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._session: Any = None
        ui.editButton.connect("clicked()", self.edit)
        ui.saveMaskButton.connect("clicked()", self._on_save_mask)
        ui.reportButton.connect("clicked()", self._on_save_report)

    def setSession(self, session: Any) -> None:
        """Set the session whose results are exported, or None."""
        self._session = session
        is_there = session is not None and session.results.segmentation is not None
        for button in (self._ui.editButton, self._ui.saveMaskButton, self._ui.reportButton):
            button.enabled = is_there

    def edit(self) -> None:
        """Open the Segment Editor with segmentation and scan set."""
        results = self._session.results
        slicer.util.selectModule("SegmentEditor")
        node = slicer.modules.segmenteditor.widgetRepresentation().self().parameterSetNode
        node.SetAndObserveSegmentationNode(results.segmentation)
        node.SetAndObserveSourceVolumeNode(results.reference)

    def _on_save_mask(self) -> None:
        from ..scene.saving import save_mask

        kinds = _("Segmentation") + " (*.seg.nrrd);;NIfTI (*.nii.gz)"
        results = self._session.results
        default = f"{results.segmentation.GetName()}.seg.nrrd"
        name = ask_file_name(self._window(), _("Save mask"), default, kinds)
        if name:
            if not name.endswith((".nii", ".nii.gz", ".nrrd")):
                name += ".seg.nrrd"
            path = Path(name)
            self._try(lambda: save_mask(results.segmentation, results.reference, path))

    def _on_save_report(self) -> None:
        from ..scene.saving import save_report

        title = _("Folder to put the report into")
        folder = qt.QFileDialog.getExistingDirectory(self._window(), title)
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


def ask_file_name(parent: Any, title: str, default: str, kinds: str) -> str:
    """Return the file that the user chooses to save to, or an empty text.

    PythonQt returns the name alone, other bindings a pair.
    """
    answer = qt.QFileDialog.getSaveFileName(parent, title, default, kinds)
    return str(answer[0] if isinstance(answer, tuple) else answer)
