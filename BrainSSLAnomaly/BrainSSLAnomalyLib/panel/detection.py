"""Section "Detect anomalies": settings; progress, cancel and log of the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from ..core.settings import DetectionSettings, DetectorName
from .job_monitor import JobMonitor
from .parameters import detection_settings, fill_widgets

WITHOUT_WIDGET = ("score", "explain", "network", "fast", "threads")
"""Settings of a detection that the panel does not offer."""


class DetectionSection:
    """Show settings and the job that is running.

    Args:
        ui: the panel's widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._on_done: Callable[[], None] | None = None
        self._on_ended: Callable[[], None] | None = None
        self.monitor = JobMonitor(self._show_state)
        fill_widgets(ui, DetectionSettings, without=WITHOUT_WIDGET)
        ui.cancelButton.connect("clicked()", self.cancel)
        ui.detectorSelector.connect("currentIndexChanged(int)", self._on_detector)

    @property
    def is_running(self) -> bool:
        """Return whether a job is running."""
        return self.monitor.is_running

    def nameDetectors(self) -> None:
        """Name the detectors in words; the parameter node goes by their order."""
        names = {
            DetectorName.AUTO: _("Automatic"),
            DetectorName.HYBRID: _("Network (hybrid)"),
            DetectorName.STATISTICAL: _("Statistics"),
        }
        for index, detector in enumerate(DetectorName):
            self._ui.detectorSelector.setItemText(index, names[detector])

    def settings(self, parameters: Any) -> DetectionSettings:
        """Return the settings of a parameter node."""
        return detection_settings(parameters)

    def follow(self, job: Any, on_done: Callable[[], None], on_ended: Callable[[], None]) -> None:
        """Show a job until it ends.

        Args:
            job: a started `Job`.
            on_done: called when it has brought a result, which can be read then.
            on_ended: called afterwards, and when it has brought none.
        """
        self._on_done, self._on_ended = on_done, on_ended
        self._show_running(True)
        self.monitor.follow(job, self._conclude)

    def cancel(self, *, now: bool = False) -> None:
        """Ask the worker to stop.

        Args:
            now: do not wait for it.
        """
        if not self.is_running:
            return
        self.monitor.job.cancel()
        self._ui.cancelButton.enabled = False
        self._ui.statusMessage.text = _("Stopping ...")
        if now:
            self.monitor.stop()
            self._ui.statusMessage.text = _("Cancelled.")
            self._show_end()

    def showMessages(self, sentences: Sequence[str]) -> None:
        """Show the warnings of a detection below the button."""
        self._ui.statusMessage.text = "\n".join(sentences) or _("Done.")

    def _on_detector(self, *_unused: object) -> None:
        """Enable what only the network uses."""
        index = list(DetectorName).index(DetectorName.STATISTICAL)
        uses_network = self._ui.detectorSelector.currentIndex != index
        self._ui.deviceSelector.enabled = uses_network
        self._ui.testTimeCheckBox.enabled = uses_network

    def _show_state(self, job: Any, state: Any) -> None:
        if self._ui.logText.toPlainText() != job.log:
            self._ui.logText.setPlainText(job.log)
        if state.status.value == "running":
            self._ui.progressBar.value = int(100 * state.fraction)
            left = ""
            if state.seconds_left is not None:
                left = _(", {seconds} s left").format(seconds=round(state.seconds_left))
            if self._ui.cancelButton.enabled:
                self._ui.statusMessage.text = state.stage + left

    def _conclude(self, job: Any, state: Any) -> None:
        try:
            if state.status.value == "done" and self._on_done is not None:
                self._ui.statusMessage.text = _("Done.")
                self._on_done()
            else:
                cancelled = _("Cancelled. Nothing has changed.")
                self._ui.statusMessage.text = state.sentence or cancelled
        finally:
            self.monitor.stop()
            self._show_end()

    def _show_end(self) -> None:
        on_ended, self._on_done, self._on_ended = self._on_ended, None, None
        self._show_running(False)
        if on_ended is not None:
            on_ended()

    def _show_running(self, is_running: bool) -> None:
        self._ui.progressBar.value = 0
        self._ui.progressBar.visible = is_running
        self._ui.cancelButton.visible = is_running
        self._ui.cancelButton.enabled = is_running
