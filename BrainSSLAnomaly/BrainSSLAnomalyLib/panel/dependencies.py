"""Python packages that Slicer does not bring: which are missing, and how to get them. Nothing here is asked at start-up's expense."""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import slicer

from ..core.errors import BrainSSLAnomalyError
from ..core.resources import resource

REQUESTER = "BrainSSLAnomaly"
TORCH_VERSION = ">=2.2"
KEPT = ("numpy", "SimpleITK", "torch")
"""Never replaced while something else is installed: they are Slicer's own, or chosen for this computer."""


class NoPyTorchExtension(BrainSSLAnomalyError):
    """PyTorch comes through an extension of Slicer, which is not there."""

    def __init__(self) -> None:
        super().__init__(
            "PyTorch comes through Slicer's extension PyTorch",
            "install that extension in the Extensions Manager, restart Slicer and press the button again",
        )


def needed() -> list[str]:
    """Requirements of the statistical detector, as written in ``Resources/requirements.txt``."""
    return _read("requirements.txt")


def needed_for_network() -> list[str]:
    """What the hybrid network needs on top, PyTorch first."""
    return [f"torch{TORCH_VERSION}", *_read("requirements-network.txt")]


def missing() -> list[str]:
    """Those of `needed` that are not installed, or too old."""
    return [requirement for requirement in needed() if not _there(requirement)]


def missing_for_network() -> list[str]:
    """Those of `needed_for_network` that are not installed, or too old."""
    return [requirement for requirement in needed_for_network() if not _there(requirement)]


def install() -> None:
    """What is missing for the statistical detector; the caller has asked.

    Raises:
        RuntimeError, subprocess.CalledProcessError: it did not work.
    """
    _install(missing())


def install_network() -> None:
    """PyTorch through its extension, in the build for this computer, then the rest; the caller has asked.

    Raises:
        NoPyTorchExtension: the extension is not installed.
        RuntimeError, subprocess.CalledProcessError: it did not work.
    """
    if _torch_missing():
        check_extension()
        from PyTorchUtils import PyTorchUtilsLogic

        if (
            PyTorchUtilsLogic().installTorch(
                askConfirmation=False, torchVersionRequirement=TORCH_VERSION
            )
            is None
        ):
            raise RuntimeError("PyTorch was not installed")
        importlib.invalidate_caches()
    _install([requirement for requirement in missing_for_network() if not _is_torch(requirement)])


def check_extension() -> None:
    """Whether PyTorch can be had, where it is missing.

    Raises:
        NoPyTorchExtension: the extension is not installed.
    """
    if _torch_missing():
        try:
            importlib.import_module("PyTorchUtils")
        except ImportError:
            raise NoPyTorchExtension from None


def install_from(folder: Path) -> None:
    """From a folder of wheels, without internet: what the statistics miss, and the network's packages where the folder has them.

    Raises:
        subprocess.CalledProcessError: a wheel is missing or does not fit.
    """
    basic, network = missing(), missing_for_network()
    for wanted in (basic, network if not basic or _any_in(folder, network) else []):
        if wanted:
            with _kept(wanted) as constraints:
                slicer.util.pip_install(
                    ["--no-index", "--find-links", str(folder), *wanted, "-c", constraints]
                )
    importlib.invalidate_caches()


def _install(wanted: Sequence[str]) -> None:
    """Through Slicer's package manager where it has one (5.12), else by pip."""
    if not wanted:
        return
    with _kept(wanted) as constraints:
        try:
            from slicer import packaging
        except ImportError:
            slicer.util.pip_install([*wanted, "-c", constraints])
        else:
            packaging.pip_ensure(
                list(wanted), constraints=constraints, requester=REQUESTER, prompt_install=False
            )
    importlib.invalidate_caches()


@contextmanager
def _kept(wanted: Sequence[str]) -> Iterator[str]:
    """A file of constraints for pip: the versions of `KEPT` that are here, but for what is to be replaced."""
    lines = []
    for name in KEPT:
        version = _version(name)
        if re.fullmatch(r"[\w.!+]+", version) and name not in map(_name, wanted):
            lines.append(f"{name}=={version}\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "constraints.txt"
        path.write_text("".join(lines), encoding="utf-8")
        yield str(path)


def _read(name: str) -> list[str]:
    lines = [
        line.split("#")[0].strip()
        for line in resource(name).read_text(encoding="utf-8").splitlines()
    ]
    return [line for line in lines if line]


def _name(requirement: str) -> str:
    return requirement.split(">")[0]


def _is_torch(requirement: str) -> bool:
    return _name(requirement) == "torch"


def _torch_missing() -> bool:
    return any(map(_is_torch, missing_for_network()))


def _any_in(folder: Path, wanted: Sequence[str]) -> bool:
    """Whether the folder has a wheel of any of them."""
    there = {path.name.split("-")[0].lower() for path in folder.glob("*.whl")}
    return any(_name(requirement) in there for requirement in wanted)


def _there(requirement: str) -> bool:
    name, wanted = re.fullmatch(r"([A-Za-z0-9_.-]+?)(?:>=([\d.]+))?", requirement).groups()  # type: ignore[union-attr]
    version = _version(name)
    return bool(version) and _numbers(version) >= _numbers(wanted or "0")


def _version(name: str) -> str:
    """Empty where it is not installed."""
    try:
        return metadata.version(name) or ""
    except metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])
