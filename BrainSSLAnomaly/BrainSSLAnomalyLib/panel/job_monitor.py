"""Section "Detect anomalies": how to detect; progress, cancel and log of the worker."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..core.settings import AnatomySource, DetectionSettings, DetectorName, Device

EVERY_MS = 200


def python() -> str:
    """Slicer's interpreter without its windows; this one where there is none (tests)."""
    return shutil.which("PythonSlicer") or ""


def environment() -> dict[str, str] | None:
    """What Slicer itself was started with: its launcher adds the rest again."""
    return dict(slicer.util.startupEnvironment()) if python() else None


class Run:
    """Follows one job at a time.

    Args:
        ui: the panel's widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._job: Any = None
        self._done: Callable[[], None] | None = None
        self._ended: Callable[[], None] | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(EVERY_MS)
        self._timer.connect("timeout()", self._look)
        ui.cancelButton.connect("clicked()", self.cancel)
        ui.detectorSelector.connect("currentIndexChanged(int)", self._on_detector)

    @property
    def running(self) -> bool:
        """Whether a job is under way."""
        return self._job is not None

    def nameDetectors(self) -> None:
        """Words instead of the values that the parameter node has just filled in; it goes by their order and keeps the values."""
        words = {
            DetectorName.AUTO: _("Automatic"),
            DetectorName.HYBRID: _("Network (hybrid)"),
            DetectorName.STATISTICAL: _("Statistics"),
        }
        for index, detector in enumerate(DetectorName):
            self._ui.detectorSelector.setItemText(index, words[detector])

    def settings(self, parameters: Any) -> DetectionSettings:
        """What the parameter node says of how to detect."""
        return DetectionSettings(
            detector=DetectorName(parameters.detector),
            correct_bias=parameters.correctBias,
            anatomy=AnatomySource(parameters.anatomy),
            test_time=parameters.testTime,
            device=Device(parameters.device),
        )

    def follow(self, job: Any, done: Callable[[], None], ended: Callable[[], None]) -> None:
        """Show a job until it ends.

        Args:
            job: a started `Job`; closed here in the end.
            done: called when it has brought results.
            ended: called afterwards, and when it has not.
        """
        self._job, self._done, self._ended = job, done, ended
        self._show(True)
        self._timer.start()

    def cancel(self, now: bool = False) -> None:
        """Ask the worker to stop.

        Args:
            now: do not wait for it; nobody is told.
        """
        if self._job is None:
            return
        self._job.cancel()
        self._ui.cancelButton.enabled = False
        self._ui.statusMessage.text = _("Stopping ...")
        if now:
            self._finish(_("Cancelled."))

    def say(self, sentences: Sequence[str]) -> None:
        """Warnings of a detection, below the button."""
        self._ui.statusMessage.text = "\n".join(sentences) or _("Done.")

    def _on_detector(self, *_unused: object) -> None:
        """What only the network listens to is greyed where it does not look."""
        looks = self._ui.detectorSelector.currentIndex != list(DetectorName).index(
            DetectorName.STATISTICAL
        )
        self._ui.deviceSelector.enabled = looks
        self._ui.testTimeCheckBox.enabled = looks

    def _look(self) -> None:
        state = self._job.poll()
        if self._ui.logText.toPlainText() != self._job.log:
            self._ui.logText.setPlainText(self._job.log)
        if state.status.value == "running":
            self._ui.progressBar.value = int(100 * state.fraction)
            left = (
                ""
                if state.seconds_left is None
                else _(", {seconds} s left").format(seconds=round(state.seconds_left))
            )
            if self._ui.cancelButton.enabled:
                self._ui.statusMessage.text = state.stage + left
            return
        self._timer.stop()
        if state.status.value == "done" and self._done:
            self._ui.statusMessage.text = _("Done.")
            self._done()
            self._finish(None)
        else:
            self._finish(state.sentence or _("Cancelled. Nothing has changed."))

    def _finish(self, sentence: str | None) -> None:
        self._timer.stop()
        job, ended = self._job, self._ended
        self._job = self._done = self._ended = None
        job.close()
        self._show(False)
        if sentence is not None:
            self._ui.statusMessage.text = sentence
        if ended:
            ended()

    def _show(self, running: bool) -> None:
        self._ui.progressBar.value = 0
        self._ui.progressBar.visible = running
        self._ui.cancelButton.visible = running
        self._ui.cancelButton.enabled = running
