"""Setup: missing packages, the setup check, errors in plain words, questions before a loss."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..core.errors import BrainSSLAnomalyError
from ..core.version import __version__
from . import dependencies

CHECK_SPACING_MM = 4.0
"""Voxels of the synthetic patient of the setup check."""


class SetupSection:
    """The buttons below the log, and every message box.

    Args:
        ui: the panel's widgets by name.
        detection: the section that follows the worker of the setup check.
    """

    def __init__(self, ui: Any, detection: Any) -> None:
        self._ui = ui
        self._detection = detection
        ui.installButton.connect("clicked()", self.install)
        ui.gpuButton.connect("clicked()", self.installGpuSupport)
        ui.wheelsButton.connect("clicked()", self._on_wheels)
        ui.setupCheckButton.connect("clicked()", self.check)

    @contextmanager
    def showingErrors(self) -> Iterator[None]:
        """Show an expected error in one sentence below the button; other errors pass."""
        try:
            yield
        except BrainSSLAnomalyError as error:
            self._ui.statusMessage.text = str(error)
        except ImportError as error:
            name = error.name or str(error)
            message = _("The Python package {name} is missing: press Install.")
            self._ui.statusMessage.text = message.format(name=name)

    def showMissing(self) -> None:
        """Show which packages have to be installed before the first detection."""
        missing = dependencies.missing()
        self._offer(missing, dependencies.missing_for_gpu())
        if missing:
            message = _("To be installed before the first detection: {names}.")
            self._ui.statusMessage.text = message.format(names=", ".join(map(str, missing)))

    def isReady(self) -> bool:
        """Return whether everything is installed; asks and installs when not."""
        return not dependencies.missing() or self.install()

    def install(self) -> bool:
        """Ask, install what is missing, and return whether nothing is missing any more."""
        missing = dependencies.missing()
        question = _(
            "These Python packages will be downloaded and installed into Slicer:\n\n{names}"
        ).format(names="\n".join(map(str, missing)))
        if missing and slicer.util.confirmOkCancelDisplay(question):
            self._try_install(dependencies.install)
        return not dependencies.missing()

    def installGpuSupport(self) -> None:
        """Ask, and install what networks need on a GPU."""
        missing = dependencies.missing_for_gpu()
        is_large = any(requirement.name == "torch" for requirement in missing)
        large = _("about 0.3 GB, with an NVIDIA graphics card about 3 GB")
        question = _(
            "For networks on a GPU these Python packages will be downloaded ({size}) and installed "
            "into Slicer, which can take some minutes:\n\n{names}\n\nWithout them networks run on "
            "the processor, with nearly the same results."
        ).format(size=large if is_large else _("a few MB"), names="\n".join(map(str, missing)))
        with self.showingErrors():
            dependencies.check_extension()
            if missing and slicer.util.confirmOkCancelDisplay(question):
                self._try_install(dependencies.install_gpu_support)

    def mayReplace(self, results: Any) -> bool:
        """Ask about a segmentation that was edited by hand; return whether a new one may start."""
        question = _(
            "{name} has been edited by hand. Keep it as it is, and start a new segmentation? "
            "With No, the edited one stays, and does not follow the sliders."
        ).format(name=results.segmentation.GetName())
        if slicer.util.confirmYesNoDisplay(question):
            results.release_segmentation()
            return True
        self._ui.statusMessage.text = _(
            "The segmentation was edited by hand and does not follow the sliders."
        )
        return False

    def versions(self) -> str:
        """Return the versions of everything that runs here, for a problem report."""
        lines = [
            f"BrainSSLAnomaly {__version__}",
            f"Python {platform.python_version()} on {platform.platform()}",
        ]
        listed = [*dependencies.requirements(), *dependencies.gpu_requirements()]
        for name in ("numpy", "SimpleITK", *(requirement.name for requirement in listed)):
            try:
                lines.append(f"{name} {metadata.version(name)}")
            except metadata.PackageNotFoundError:
                lines.append(f"{name} is not installed")
        return "\n".join(lines)

    def check(self) -> None:
        """Show versions, and run the detector on a small synthetic patient in the worker."""
        self._ui.logBox.collapsed = False
        self._ui.logText.setPlainText(self.versions())
        with self.showingErrors():
            if self._detection.is_running or not self.isReady():
                return
            from ..core.settings import DetectionSettings
            from ..core.study import Study
            from ..jobs import start_detection
            from ..phantom import synthetic_patient
            from .job_monitor import slicer_python, worker_environment

            patient, truth = synthetic_patient(spacing=CHECK_SPACING_MM)
            study = Study({patient.reference.modality: patient.reference})
            python, environment = slicer_python(), worker_environment()
            job = start_detection(study, DetectionSettings(), python, environment)
            self._ui.setupCheckButton.enabled = False
            self._detection.follow(job, lambda: self._on_checked(job, truth), self._on_check_ended)

    def _on_checked(self, job: Any, truth: Any) -> None:
        from ..phantom import LESIONS
        from ..segmentation import segment

        with self.showingErrors():
            segmentation = segment(job.result())
            is_found = bool((segmentation.mask & (truth.array > 0)).any())
            passed = _("Setup check passed.")
            failed = _("Setup check failed: the lesions of the synthetic patient were not found.")
            self._ui.statusMessage.text = passed if is_found else failed
            message = _("{count} findings in a synthetic patient with {lesions} lesions")
            count = len(segmentation.findings)
            counted = message.format(count=count, lesions=len(LESIONS))
            self._ui.logText.setPlainText(f"{self.versions()}\n{counted}")

    def _on_check_ended(self) -> None:
        self._ui.setupCheckButton.enabled = True

    def _on_wheels(self) -> None:
        window, title = self._ui.wheelsButton.window(), _("Folder with the wheels")
        folder = qt.QFileDialog.getExistingDirectory(window, title)
        if folder:
            self._try_install(lambda: dependencies.install_from(Path(folder)))

    def _try_install(self, act: Callable[[], None]) -> None:
        self._ui.statusMessage.text = _("Installing, which can take some minutes ...")
        self._ui.statusMessage.repaint()
        try:
            act()
        except BrainSSLAnomalyError as error:
            self._ui.statusMessage.text = str(error)
        except Exception as error:  # pip fails in many ways, none of which may stop the panel
            self._ui.statusMessage.text = _(
                "The packages could not be installed ({why}): check the internet connection, or "
                "install from a folder of wheels."
            ).format(why=error)
        else:
            self._ui.statusMessage.text = _("Installed. If a detection fails now, restart Slicer.")
            self.showMissing()
            return
        self._offer(dependencies.missing(), dependencies.missing_for_gpu())

    def _offer(self, missing: Sequence[Any], for_network: Sequence[Any]) -> None:
        """Show the buttons that are of use."""
        self._ui.installButton.visible = bool(missing)
        self._ui.wheelsButton.visible = bool(missing or for_network)
        self._ui.gpuButton.visible = bool(for_network)
        self._ui.gpuMessage.visible = bool(for_network)
        if for_network:
            name = for_network[0].name.replace("torch", "PyTorch")
            message = _("Networks run on the processor; a GPU needs {name}.")
            self._ui.gpuMessage.text = message.format(name=name)
