"""Python packages that Slicer does not bring: which are missing, and how to get them. Nothing here is asked at start-up's expense."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import slicer

from ..resources import resource

REQUESTER = "BrainSSLAnomaly"


def needed() -> list[str]:
    """Requirements as written in ``Resources/requirements.txt``."""
    lines = [line.split("#")[0].strip() for line in resource("requirements.txt").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line]


def missing() -> list[str]:
    """Those that are not installed, or too old."""
    return [requirement for requirement in needed() if not _there(requirement)]


def install() -> None:
    """Through Slicer's package manager where it has one (5.12), else by pip; the caller has asked.

    Raises:
        RuntimeError, subprocess.CalledProcessError: it did not work.
    """
    try:
        from slicer import packaging
    except ImportError:
        slicer.util.pip_install(missing())
    else:
        packaging.pip_ensure(missing(), requester=REQUESTER, prompt_install=False)


def install_from(folder: Path) -> None:
    """From a folder of wheels, without internet.

    Raises:
        subprocess.CalledProcessError: a wheel is missing or does not fit.
    """
    slicer.util.pip_install(["--no-index", "--find-links", str(folder), *missing()])


def _there(requirement: str) -> bool:
    name, wanted = re.fullmatch(r"([A-Za-z0-9_.-]+?)(?:>=([\d.]+))?", requirement).groups()  # type: ignore[union-attr]
    try:
        return _numbers(metadata.version(name)) >= _numbers(wanted or "0")
    except metadata.PackageNotFoundError:
        return False


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])
