"""Section "Findings": the Grad-CAM of the selected finding, computed in the background."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..core.errors import BrainSSLAnomalyError
from ..core.results import MapName
from .job_monitor import JobMonitor, slicer_python, worker_environment


class ExplanationSection:
    """Explain one finding at a time; a newer request takes the place of an older one.

    Args:
        ui: the panel's widgets by name.
        layers: the section that shows maps.
    """

    def __init__(self, ui: Any, layers: Any) -> None:
        self._ui = ui
        self._layers = layers
        self._monitor = JobMonitor()
        self._session: Any = None
        self._segmentation: Any = None
        self._number = 0
        ui.explainCheckBox.connect("toggled(bool)", self._on_toggle)

    @property
    def is_running(self) -> bool:
        """Return whether an explanation is being computed."""
        return self._monitor.is_running

    def setSession(self, session: Any) -> None:
        """Set the session whose findings are explained, or None.

        A request about findings that are no longer there is stopped.
        """
        is_same = session is self._session
        if not is_same or (session is not None and session.segmentation is not self._segmentation):
            self.stop()
        self._session = session
        self._ui.explainCheckBox.enabled = session is not None and (
            session.results.has_network_input or self._map_of_all() is not None
        )

    def explain(self, number: int) -> None:
        """Explain a finding, if that is switched on and the network has run on this scan."""
        self.stop()
        box = self._ui.explainCheckBox
        if self._session is None or not box.checked or not box.enabled:
            return
        results = self._session.results
        if not results.has_network_input:
            self._layers.refresh(self._map_of_all().GetAttribute("BrainSSLAnomaly.Layer"))
            self._show(
                _(
                    "The network input of this detection was not kept: this is the Grad-CAM of all "
                    "findings, not of finding {number} alone."
                ),
                number,
            )
            return
        self._segmentation, self._number = self._session.segmentation, number
        try:
            self._monitor.follow(self._start(number), self._conclude)
        except BrainSSLAnomalyError as error:
            self._ui.explainMessage.text = str(error)
            return
        self._show(_("Computing the Grad-CAM of finding {number} ..."), number)

    def stop(self) -> None:
        """Stop the request that is being computed."""
        self._monitor.stop()
        self._segmentation, self._number = None, 0
        self._ui.explainMessage.text = ""

    def _start(self, number: int) -> Any:
        from ..core.settings import Device
        from ..jobs import ExplanationRequest, start_explanation

        detection = self._session.detection
        provenance = detection.provenance
        request = ExplanationRequest(
            network_input=self._session.results.network_input,
            brain=detection.reference.with_array(detection.brain_mask),
            target=self._session.segmentation.labels == number,
            device=provenance.settings.device if provenance is not None else Device.AUTO,
        )
        return start_explanation(request, slicer_python(), worker_environment())

    def _conclude(self, job: Any, _state: Any) -> None:
        session, segmentation, number = self._session, self._segmentation, self._number
        is_current = session is not None and session.results.is_complete
        if not is_current or session.segmentation is not segmentation:
            self.stop()
            return
        try:
            node = session.results.write_finding_map(number, job.result())
        except BrainSSLAnomalyError as error:
            self._ui.explainMessage.text = str(error)
            return
        self._layers.refresh(node.GetAttribute("BrainSSLAnomaly.Layer"))
        self._show(_("The map shows the Grad-CAM of finding {number} alone."), number)

    def _map_of_all(self) -> Any:
        if self._session is None:
            return None
        return self._session.results.layers.get(MapName.GRADCAM.value)

    def _on_toggle(self, is_on: bool) -> None:
        if not is_on:
            self.stop()

    def _show(self, text: str, number: int) -> None:
        self._ui.explainMessage.text = text.format(number=number)
