"""Section "Findings": the Grad-CAM of the finding that is selected, worked out in the background by the network itself."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from ..core.errors import BrainSSLAnomalyError
from ..core.results import MapName
from .job_monitor import EVERY_MS, environment, python


class Explaining:
    """Follows one question at a time; a newer one takes its place.

    Args:
        ui: the panel's widgets by name.
        layers: the section that shows maps.
    """

    def __init__(self, ui: Any, layers: Any) -> None:
        self._ui = ui
        self._layers = layers
        self._job: Any = None
        self._session: Any = None
        self._asked: tuple[Any, int] = (None, 0)
        self._timer = qt.QTimer()
        self._timer.setInterval(EVERY_MS)
        self._timer.connect("timeout()", self._look)
        ui.explainCheckBox.connect("toggled(bool)", self._on_toggle)

    @property
    def running(self) -> bool:
        """Whether a question is being worked on."""
        return self._job is not None

    def offer(self, session: Any) -> None:
        """The session whose findings are meant, or None. A question about findings that are no longer there is given up."""
        if session is not self._session or (
            session is not None and session.segmentation is not self._asked[0]
        ):
            self.stop()
        self._session = session
        self._ui.explainCheckBox.enabled = session is not None and (
            session.results.explainable or self._of_all() is not None
        )

    def show(self, number: int) -> None:
        """Ask about a finding, if that is wanted and the network has looked at this scan."""
        self.stop()
        if (
            self._session is None
            or not self._ui.explainCheckBox.checked
            or not self._ui.explainCheckBox.enabled
        ):
            return
        results = self._session.results
        if not results.explainable:
            self._layers.refresh(self._of_all().GetAttribute("BrainSSLAnomaly.Layer"))
            self._say(
                _(
                    "What the network looked at was not kept: this is the Grad-CAM of all findings, not of finding {number} alone."
                ),
                number,
            )
            return
        self._asked = (self._session.segmentation, number)
        try:
            self._job = self._start(number)
        except BrainSSLAnomalyError as error:
            self._ui.explainMessage.text = str(error)
            return
        self._say(_("Working out the Grad-CAM of finding {number} ..."), number)
        self._timer.start()

    def stop(self) -> None:
        """Forget the question."""
        self._end()
        self._asked = (None, 0)
        self._ui.explainMessage.text = ""

    def _end(self) -> None:
        self._timer.stop()
        if self._job is not None:
            self._job.close()
            self._job = None

    def _start(self, number: int) -> Any:
        from ..core.settings import Device
        from ..jobs import start_explanation

        detection, results = self._session.detection, self._session.results
        device = Device(detection.facts.get("settings", {}).get("device", Device.AUTO.value))
        brain = detection.reference.with_array(detection.brain_mask)
        asked = self._session.segmentation.labels == number
        return start_explanation(results.looked_at, brain, asked, device, python(), environment())

    def _look(self) -> None:
        if self._job.poll().status.value == "running":
            return
        (segmentation, number), session = self._asked, self._session
        try:
            if (
                session is None
                or not session.results.complete
                or session.segmentation is not segmentation
            ):
                self.stop()
                return
            node = session.results.write_finding_map(number, self._job.finding_map())
            self._end()
        except BrainSSLAnomalyError as error:
            self._end()
            self._ui.explainMessage.text = str(error)
            return
        self._layers.refresh(node.GetAttribute("BrainSSLAnomaly.Layer"))
        self._say(_("The map shows the Grad-CAM of finding {number} alone."), number)

    def _of_all(self) -> Any:
        return self._session.results.layers.get(MapName.GRADCAM.value) if self._session else None

    def _on_toggle(self, on: bool) -> None:
        if not on:
            self.stop()

    def _say(self, words: str, number: int) -> None:
        self._ui.explainMessage.text = words.format(number=number)
