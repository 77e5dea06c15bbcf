"""Section "Findings": the table, jumping to a finding, accepting and rejecting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .export import ask_file_name

PLACE_COLUMN, PLACE_WIDTH = 1, 120
"""Column of the place, and its largest width in pixels."""


class FindingsSection:
    """Show the findings of one session in a table.

    Args:
        ui: the panel's widgets by name.
        on_review: receives numbers of findings, and whether they are rejected.
        on_select: receives the number of the finding that the reader has selected.
    """

    def __init__(
        self,
        ui: Any,
        on_review: Callable[[Sequence[int], bool], None],
        on_select: Callable[[int], None],
    ) -> None:
        self._ui = ui
        self._on_review = on_review
        self._on_finding = on_select
        self._session: Any = None
        self._is_filling = False
        ui.findingsTable.connect("itemSelectionChanged()", self._on_selection)
        ui.acceptButton.connect("clicked()", self.accept)
        ui.rejectButton.connect("clicked()", self.reject)
        ui.copyButton.connect("clicked()", self._on_copy)
        ui.csvButton.connect("clicked()", self._on_csv)
        self._keys = [self._shortcut("A", self.accept), self._shortcut("R", self.reject)]

    def show(self, session: Any) -> None:
        """Show the findings of a session, or none; the selected one stays selected."""
        self._session = session
        table = self._ui.findingsTable
        selected = self.selected()
        findings = session.findings if session else ()
        rejected = session.rejected if session else frozenset()
        self._is_filling = True
        table.setRowCount(len(findings))
        for row, finding in enumerate(findings):
            self._fill_row(row, finding, finding.number in rejected)
        if selected and selected[0] <= len(findings):
            table.selectRow(selected[0] - 1)
        table.resizeColumnsToContents()
        table.setColumnWidth(PLACE_COLUMN, min(table.columnWidth(PLACE_COLUMN), PLACE_WIDTH))
        table.resizeRowsToContents()
        self._is_filling = False
        self._ui.totalsLabel.text = self._totals(findings, rejected)
        for button in (self._ui.copyButton, self._ui.csvButton):
            button.enabled = bool(findings)
        self._enable_review()

    def selected(self) -> list[int]:
        """Return the numbers of the selected findings."""
        rows = {index.row() for index in self._ui.findingsTable.selectionModel().selectedRows()}
        return [row + 1 for row in sorted(rows)]

    def accept(self) -> None:
        """Put the selected findings back into the mask."""
        self._review_selected(is_rejected=False)

    def reject(self) -> None:
        """Take the selected findings out of the mask."""
        self._review_selected(is_rejected=True)

    def text(self) -> str:
        """Return all findings as comma-separated values."""
        from ..report.tables import findings_csv

        session = self._session
        return findings_csv(session.findings, list(session.detection.zscores), session.rejected)

    def _fill_row(self, row: int, finding: Any, is_rejected: bool) -> None:
        cells = (
            f"{finding.number}",
            finding.place,
            f"{finding.volume_ml:.2f}",
            f"{finding.peak_score:.3f}",
            _("rejected") if is_rejected else "",
            _(finding.confidence),
            "; ".join(d.words for d in finding.deviations[:2]),
        )
        for column, text in enumerate(cells):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            if is_rejected:
                font = item.font()
                font.setStrikeOut(True)
                item.setFont(font)
            self._ui.findingsTable.setItem(row, column, item)

    def _review_selected(self, *, is_rejected: bool) -> None:
        if self._session and self.selected():
            self._on_review(self.selected(), is_rejected)

    def _totals(self, findings: Sequence[Any], rejected: frozenset[int]) -> str:
        if self._session is None:
            return ""
        if not findings:
            return str(_("Nothing reaches the threshold."))
        text = _("Findings: {count}, of which {rejected} rejected. Accepted: {ml} ml.")
        ml = f"{self._session.accepted_ml:.2f}"
        return str(text.format(count=len(findings), rejected=len(rejected), ml=ml))

    def _on_selection(self) -> None:
        from ..scene import jump_to

        self._enable_review()
        selected = self.selected()
        if not self._is_filling and self._session and len(selected) == 1:
            jump_to(self._session.findings[selected[0] - 1].peak_ras)
            self._on_finding(selected[0])

    def _enable_review(self) -> None:
        is_possible = bool(self._session and self.selected())
        self._ui.acceptButton.enabled = is_possible
        self._ui.rejectButton.enabled = is_possible

    def _on_copy(self) -> None:
        qt.QApplication.clipboard().setText(self.text())

    def _on_csv(self) -> None:
        from ..core.files import write_text

        window = self._ui.csvButton.window()
        name = ask_file_name(window, _("Save findings"), "findings.csv", "CSV (*.csv)")
        if name:
            try:
                write_text(Path(name), self.text())
            except OSError as error:
                reason = error.strerror or error
                message = _("The table cannot be written: {why}.").format(why=reason)
                slicer.util.errorDisplay(message)

    def _shortcut(self, key: str, act: Callable[[], None]) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(key), self._ui.findingsTable)
        shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
        shortcut.connect("activated()", act)
        return shortcut
