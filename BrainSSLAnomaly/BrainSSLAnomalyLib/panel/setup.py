"""What keeps users going: missing packages, the self-check, errors in plain words, and questions before anything is lost."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .. import __version__
from ..core.errors import BrainSSLAnomalyError
from . import dependencies


class Care:
    """The buttons below the log, and every message box.

    Args:
        ui: the panel's widgets by name.
        run: follows the self-check's worker.
    """

    def __init__(self, ui: Any, run: Any) -> None:
        self._ui = ui
        self._run = run
        ui.installButton.connect("clicked()", self.install)
        ui.networkButton.connect("clicked()", self.installNetwork)
        ui.wheelsButton.connect("clicked()", self._on_wheels)
        ui.selfCheckButton.connect("clicked()", self.check)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """What goes wrong within is said in one sentence below the button; what should not happen is said in full."""
        try:
            yield
        except BrainSSLAnomalyError as error:
            self._ui.statusMessage.text = str(error)
        except ImportError as error:
            missing = error.name or str(error)
            self._ui.statusMessage.text = _(
                "The Python package {name} is missing: press Install."
            ).format(name=missing)

    def sayWhatIsMissing(self) -> None:
        """At start: which packages have to be installed before the first detection, and what works without those of the network."""
        missing = dependencies.missing()
        self._offer(missing, dependencies.missing_for_network())
        if missing:
            self._ui.statusMessage.text = _(
                "To be installed before the first detection: {names}."
            ).format(names=", ".join(missing))

    def ready(self) -> bool:
        """Whether everything is installed; asks and installs when not."""
        return not dependencies.missing() or self.install()

    def install(self) -> bool:
        """Ask, and install what is missing."""
        missing = dependencies.missing()
        question = _(
            "These Python packages will be downloaded and installed into Slicer:\n\n{names}"
        ).format(names="\n".join(missing))
        if missing and slicer.util.confirmOkCancelDisplay(question):
            self._try_install(dependencies.install)
        return not dependencies.missing()

    def installNetwork(self) -> None:
        """Ask, and install what the network needs on top of the statistics."""
        missing = dependencies.missing_for_network()
        big = any(requirement.startswith("torch") for requirement in missing)
        size = _("about 0.3 GB, with an NVIDIA graphics card about 3 GB") if big else _("a few MB")
        question = _(
            "For the network these Python packages will be downloaded ({size}) and installed into Slicer, which can take some minutes:"
            "\n\n{names}\n\nThe statistical detector works without them."
        ).format(size=size, names="\n".join(missing))
        with self.explained():
            dependencies.check_extension()
            if missing and slicer.util.confirmOkCancelDisplay(question):
                self._try_install(dependencies.install_network)

    def mayReplace(self, results: Any) -> bool:
        """A segmentation has been edited by hand: whether a new one may be started beside it."""
        question = _(
            "{name} has been edited by hand. Keep it as it is, and start a new segmentation? "
            "With No, the edited one stays, and does not follow the sliders."
        ).format(name=results.segmentation.GetName())
        if slicer.util.confirmYesNoDisplay(question):
            results.let_go_of_segmentation()
            return True
        self._ui.statusMessage.text = _(
            "The segmentation was edited by hand and does not follow the sliders."
        )
        return False

    def versions(self) -> str:
        """For a report of a problem: what runs here."""
        lines = [
            f"BrainSSLAnomaly {__version__}",
            f"Python {platform.python_version()} on {platform.platform()}",
        ]
        listed = (
            r.split(">")[0] for r in (*dependencies.needed(), *dependencies.needed_for_network())
        )
        for name in ("numpy", "SimpleITK", *listed):
            try:
                lines.append(f"{name} {metadata.version(name)}")
            except metadata.PackageNotFoundError:
                lines.append(f"{name} is not installed")
        return "\n".join(lines)

    def check(self) -> None:
        """Versions, and the detector on a small synthetic patient, in the worker."""
        self._ui.logBox.collapsed = False
        self._ui.logText.setPlainText(self.versions())
        with self.explained():
            if self._run.running or not self.ready():
                return
            from ..core.settings import DetectionSettings, SegmentationSettings
            from ..core.study import Study
            from ..jobs import start_detection
            from ..phantom.patient import synthetic_patient
            from .job_monitor import environment, python

            patient, truth = synthetic_patient(spacing=4.0)
            study = Study({patient.reference.modality: patient.reference})
            job = start_detection(
                study, DetectionSettings(), SegmentationSettings(), python(), environment()
            )
            self._ui.selfCheckButton.enabled = False
            self._run.follow(job, lambda: self._on_checked(job, truth), self._on_check_ended)

    def _on_checked(self, job: Any, truth: Any) -> None:
        from ..core.settings import SegmentationSettings
        from ..segmentation import segment

        with self.explained():
            found = segment(job.detection(), SegmentationSettings())
            hit = bool((found.mask & (truth.array > 0)).any())
            self._ui.statusMessage.text = (
                _("Self-check passed.")
                if hit
                else _("Self-check failed: the made lesions were not found.")
            )
            counted = _("{count} findings in a made patient with 5 lesions").format(
                count=len(found.findings)
            )
            self._ui.logText.setPlainText(f"{self.versions()}\n{counted}")

    def _on_check_ended(self) -> None:
        self._ui.selfCheckButton.enabled = True

    def _on_wheels(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            self._ui.wheelsButton.window(), _("Folder with the wheels")
        )
        if folder:
            self._try_install(lambda: dependencies.install_from(Path(folder)))

    def _try_install(self, act: Any) -> None:
        self._ui.statusMessage.text = _("Installing, which can take some minutes ...")
        self._ui.statusMessage.repaint()
        try:
            act()
        except BrainSSLAnomalyError as error:
            self._ui.statusMessage.text = str(error)
        except Exception as error:  # pip fails in many ways, none of which may stop the panel
            self._ui.statusMessage.text = _(
                "The packages could not be installed ({why}): check the internet connection, or install from a folder of wheels."
            ).format(why=error)
        else:
            self._ui.statusMessage.text = _("Installed. If a detection fails now, restart Slicer.")
            self.sayWhatIsMissing()
            return
        self._offer(dependencies.missing(), dependencies.missing_for_network())

    def _offer(self, missing: list[str], for_network: list[str]) -> None:
        """Show the buttons that there is a use for."""
        self._ui.installButton.visible = bool(missing)
        self._ui.wheelsButton.visible = bool(missing or for_network)
        self._ui.networkButton.visible = bool(for_network)
        self._ui.networkMessage.visible = bool(for_network)
        if for_network:
            name = for_network[0].split(">")[0].replace("torch", "PyTorch")
            self._ui.networkMessage.text = _(
                "Without {name} statistics and an atlas look instead of networks."
            ).format(name=name)
