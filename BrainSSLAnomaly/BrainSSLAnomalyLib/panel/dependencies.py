"""Python packages that Slicer does not bring: which are missing, and how to install them.

Slicer's own ``slicer.packaging`` (5.12) reads, checks and installs requirements.
"""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from ..core.errors import BrainSSLAnomalyError
from ..core.resources import resource

if TYPE_CHECKING:
    from packaging.requirements import Requirement

REQUESTER = "BrainSSLAnomaly"
TORCH_VERSION = ">=2.2"
PINNED = ("numpy", "SimpleITK", "torch")
"""Never replaced while something else is installed: they are Slicer's own, or fit this computer."""


class NoPyTorchExtension(BrainSSLAnomalyError):
    """Report that Slicer's extension PyTorch, through which PyTorch comes, is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "PyTorch comes through Slicer's extension PyTorch",
            "install that extension in the Extensions Manager, restart Slicer and press the button "
            "again",
        )

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), ()


def requirements() -> list[Requirement]:
    """Return what a detection needs, from ``Resources/requirements.txt``."""
    from slicer import packaging

    return list(packaging.load_requirements(resource("requirements.txt")))


def gpu_requirements() -> list[Requirement]:
    """Return what networks need on a GPU beside that, PyTorch first."""
    from packaging.requirements import Requirement
    from slicer import packaging

    torch = Requirement(f"torch{TORCH_VERSION}")
    return [torch, *packaging.load_requirements(resource("requirements-gpu.txt"))]


def missing() -> list[Requirement]:
    """Return those of `requirements` that are not installed, or too old."""
    return _missing(requirements())


def missing_for_gpu() -> list[Requirement]:
    """Return those of `gpu_requirements` that are not installed, or too old."""
    return _missing(gpu_requirements())


def _missing(wanted: Sequence[Requirement]) -> list[Requirement]:
    from slicer import packaging

    return [requirement for requirement in wanted if not packaging.pip_check(requirement)]


def install() -> None:
    """Install what a detection needs; the user has agreed.

    Raises:
        RuntimeError, subprocess.CalledProcessError: it failed.
    """
    _install(missing())


def install_gpu_support() -> None:
    """Install PyTorch through its extension, then the rest; the user has agreed.

    Raises:
        NoPyTorchExtension: the extension is not installed.
        RuntimeError, subprocess.CalledProcessError: it failed.
    """
    if _torch_is_missing():
        check_extension()
        from PyTorchUtils import PyTorchUtilsLogic

        torch = PyTorchUtilsLogic().installTorch(
            askConfirmation=False, torchVersionRequirement=TORCH_VERSION
        )
        if torch is None:
            raise RuntimeError("PyTorch was not installed")
        importlib.invalidate_caches()
    _install([requirement for requirement in missing_for_gpu() if not _is_torch(requirement)])


def check_extension() -> None:
    """Check that PyTorch can be installed, where it is missing.

    Raises:
        NoPyTorchExtension: the extension is not installed.
    """
    if _torch_is_missing():
        try:
            importlib.import_module("PyTorchUtils")
        except ImportError:
            raise NoPyTorchExtension from None


def install_from(folder: Path) -> None:
    """Install from a folder of wheels, without internet.

    What a detection needs, and what networks need on a GPU where the folder has it.

    Raises:
        subprocess.CalledProcessError: a wheel is missing or does not fit.
    """
    basic, gpu = missing(), missing_for_gpu()
    for wanted in (basic, gpu if not basic or _has_any(folder, gpu) else []):
        if wanted:
            names = [str(requirement) for requirement in wanted]
            with _constraints(wanted) as constraints:
                # slicer.packaging has no way to name a folder of wheels.
                slicer.util.pip_install(
                    ["--no-index", "--find-links", str(folder), *names, "-c", constraints]
                )
    importlib.invalidate_caches()


def _install(wanted: Sequence[Requirement]) -> None:
    from slicer import packaging

    if not wanted:
        return
    with _constraints(wanted) as constraints:
        packaging.pip_ensure(
            list(wanted), constraints=constraints, requester=REQUESTER, prompt_install=False
        )
    importlib.invalidate_caches()


@contextmanager
def _constraints(wanted: Sequence[Requirement]) -> Iterator[str]:
    """Yield a file of constraints for pip: the installed versions of `PINNED`."""
    names = {requirement.name for requirement in wanted}
    lines = []
    for name in PINNED:
        version = _installed_version(name)
        if re.fullmatch(r"[\w.!+]+", version) and name not in names:
            lines.append(f"{name}=={version}\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "constraints.txt"
        path.write_text("".join(lines), encoding="utf-8")
        yield str(path)


def _is_torch(requirement: Requirement) -> bool:
    return requirement.name == "torch"


def _torch_is_missing() -> bool:
    return any(map(_is_torch, missing_for_gpu()))


def _has_any(folder: Path, wanted: Sequence[Requirement]) -> bool:
    """Return whether the folder has a wheel of any of them."""
    wheels = {path.name.split("-")[0].lower() for path in folder.glob("*.whl")}
    return any(requirement.name in wheels for requirement in wanted)


def _installed_version(name: str) -> str:
    """Return the installed version of a package, or an empty text."""
    try:
        return metadata.version(name) or ""
    except metadata.PackageNotFoundError:
        return ""
