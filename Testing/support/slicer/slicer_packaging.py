"""A stand-in for ``slicer.packaging`` of Slicer 5.12, as strict about its arguments.

It takes what the real one takes and refuses what the real one refuses. What the real one shows (the
progress of pip, the advice to restart) is left out. Pip itself is started by
``slicer.util.executePythonModule``, as there; tests replace that function alone.
"""

from __future__ import annotations

import logging
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement


def load_requirements(path: str | Path) -> list[Requirement]:
    """Return the requirements of a file; comments and options of pip are left out."""
    lines = [line.strip() for line in Path(path).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def pip_check(req: Any) -> bool:
    """Return whether all requirements that apply to this computer are installed."""
    return all(map(_is_satisfied, _as_list(req)))


def pip_ensure(
    requirements: Any,
    constraints: str | Path | None = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    """Install what is missing of some requirements; in testing mode nothing is installed.

    Raises:
        RuntimeError: the user declined.
    """
    import slicer

    wanted = [str(r) for r in _as_list(requirements) if not pip_check(r)]
    if not wanted:
        return None
    if skip_in_testing and slicer.app.testingEnabled():
        logging.info("Testing mode: %s are not installed", wanted)
        return None
    if prompt_install and not slicer.util.confirmOkCancelDisplay(
        f"{len(wanted)} Python packages need to be installed.",
        f"{requester} - Install Python Packages",
        detailedText="\n".join(wanted),
    ):
        raise RuntimeError("User declined package installation")
    return pip_install(wanted, constraints, skip_packages=skip_packages, requester=requester)


def pip_install(
    requirements: str | list[str],
    constraints: str | Path | None = None,
    no_deps_requirements: Any = None,
    skip_packages: list[str] | None = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    logCallback: Any = None,
    completedCallback: Any = None,
) -> None:
    """Run ``pip install``.

    Raises:
        ValueError: the requirements are neither a text nor a list.
        TypeError: one of the list is no text.
        CalledProcessError: pip failed.
    """
    import slicer

    if no_deps_requirements or skip_packages or not blocking:
        raise NotImplementedError("the panel does not use this")
    if isinstance(requirements, str):
        arguments = ["install", *shlex.split(requirements)]
    elif isinstance(requirements, list):
        arguments = ["install", *requirements]
    else:
        raise ValueError("pip_install requirement input must be string or list")
    if constraints is not None:
        arguments += ["-c", str(constraints)]
    if not all(isinstance(argument, str) for argument in arguments):
        raise TypeError("expected str, as subprocess does")
    slicer.util.executePythonModule("pip", arguments, blocking=True)


def _as_list(given: Any) -> list[Requirement]:
    """Return requirements from a text, a requirement, or a list of both; refuse other types."""
    if isinstance(given, str):
        try:
            return [Requirement(given)]
        except InvalidRequirement:
            return [Requirement(word) for word in given.split()]
    if isinstance(given, Requirement):
        return [given]
    if isinstance(given, list):
        return [Requirement(item) if isinstance(item, str) else item for item in given]
    raise TypeError(f"Expected str, Requirement, or list, got {type(given).__name__}")


def _is_satisfied(requirement: Requirement) -> bool:
    if requirement.extras:
        raise NotImplementedError("the panel asks for no extras")
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        return metadata.version(requirement.name) in requirement.specifier
    except metadata.PackageNotFoundError:
        return False
