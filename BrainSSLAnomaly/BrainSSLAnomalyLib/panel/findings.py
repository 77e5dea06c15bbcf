"""Section "Findings": the table, jumping, accepting and rejecting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _


class Findings:
    """The table of one session.

    Args:
        ui: the panel's widgets by name.
        review: called with numbers of findings, and whether they are rejected.
        looked_at: called with the number of the finding that a reader has selected.
    """

    def __init__(
        self,
        ui: Any,
        review: Callable[[Sequence[int], bool], None],
        looked_at: Callable[[int], None],
    ) -> None:
        self._ui = ui
        self._review = review
        self._looked_at = looked_at
        self._session: Any = None
        self._busy = False
        ui.findingsTable.connect("itemSelectionChanged()", self._on_select)
        ui.acceptButton.connect("clicked()", self.accept)
        ui.rejectButton.connect("clicked()", self.reject)
        ui.copyButton.connect("clicked()", self._on_copy)
        ui.csvButton.connect("clicked()", self._on_csv)
        self._keys = [self._shortcut("A", self.accept), self._shortcut("R", self.reject)]

    def show(self, session: Any) -> None:
        """The findings of a session, or none; the selected one stays selected."""
        self._session = session
        table = self._ui.findingsTable
        chosen = self.selected()
        found = session.findings if session else ()
        gone = session.rejected if session else frozenset()
        self._busy = True
        table.setRowCount(len(found))
        for row, finding in enumerate(found):
            unusual = "; ".join(d.words for d in finding.deviations[:2])
            cells = (
                f"{finding.number}", finding.place, f"{finding.volume_ml:.2f}", f"{finding.peak_score:.3f}",
                _("rejected") if finding.number in gone else "", _(finding.certainty), unusual,
            )  # fmt: skip
            for column, text in enumerate(cells):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(text)
                if finding.number in gone:
                    font = item.font()
                    font.setStrikeOut(True)
                    item.setFont(font)
                table.setItem(row, column, item)
        if chosen and chosen[0] <= len(found):
            table.selectRow(chosen[0] - 1)
        table.resizeColumnsToContents()
        table.setColumnWidth(1, min(table.columnWidth(1), 150))
        self._busy = False
        self._ui.totalsLabel.text = self._totals(found, gone)
        for button in (self._ui.copyButton, self._ui.csvButton):
            button.enabled = bool(found)
        self._enable()

    def selected(self) -> list[int]:
        """Numbers of the selected findings."""
        rows = {index.row() for index in self._ui.findingsTable.selectionModel().selectedRows()}
        return [row + 1 for row in sorted(rows)]

    def accept(self) -> None:
        """Put the selected findings back into the mask."""
        self._mark(False)

    def reject(self) -> None:
        """Take the selected findings out of the mask."""
        self._mark(True)

    def text(self) -> str:
        """All findings as comma-separated values."""
        from ..report.tables import findings_csv

        return findings_csv(
            self._session.findings, list(self._session.detection.zscores), self._session.rejected
        )

    def _mark(self, rejected: bool) -> None:
        if self._session and self.selected():
            self._review(self.selected(), rejected)

    def _totals(self, found: Sequence[Any], gone: frozenset[int]) -> str:
        if self._session is None:
            return ""
        if not found:
            return _("Nothing reaches the threshold.")
        return _("Findings: {count}, of which {rejected} rejected. Accepted: {ml} ml.").format(
            count=len(found), rejected=len(gone), ml=f"{self._session.total_ml():.2f}"
        )

    def _on_select(self) -> None:
        from ..scene import jump

        self._enable()
        chosen = self.selected()
        if not self._busy and self._session and len(chosen) == 1:
            jump(self._session.findings[chosen[0] - 1].peak_ras)
            self._looked_at(chosen[0])

    def _enable(self) -> None:
        chosen = bool(self._session and self.selected())
        self._ui.acceptButton.enabled = chosen
        self._ui.rejectButton.enabled = chosen

    def _on_copy(self) -> None:
        qt.QApplication.clipboard().setText(self.text())

    def _on_csv(self) -> None:
        from ..imageio import write_text

        name = qt.QFileDialog.getSaveFileName(
            self._ui.csvButton.window(), _("Save findings"), "findings.csv", "CSV (*.csv)"
        )
        name = name[0] if isinstance(name, tuple) else name
        if name:
            try:
                write_text(Path(name), self.text())
            except OSError as error:
                slicer.util.errorDisplay(
                    _("The table cannot be written: {why}.").format(why=error.strerror or error)
                )

    def _shortcut(self, key: str, act: Callable[[], None]) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(key), self._ui.findingsTable)
        shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        shortcut.connect("activated()", act)
        return shortcut
