"""Compare the two file lists of the module's CMakeLists.txt with its folder.

Slicer installs the listed files only. The list of scripts may hold Python files only, since CTK
appends ``.py`` to every other name in it.

    python Testing/extension/module_files.py            # name what is missing and too many
    python Testing/extension/module_files.py --write    # write both lists again, sorted
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2] / "BrainSSLAnomaly"
LISTS = ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES")
_NOT_INSTALLED = {"CMakeLists.txt", "Testing", "__pycache__"}


def listed_files(module: Path = MODULE) -> dict[str, list[str]]:
    """Return the entries of both lists, in their order.

    Raises:
        ValueError: a list is absent from the CMakeLists.txt.
    """
    text = (module / "CMakeLists.txt").read_text(encoding="utf-8")
    entries = {}
    for name in LISTS:
        found = re.search(_pattern(name), text)
        if found is None:
            raise ValueError(f"{name} is not set in {module / 'CMakeLists.txt'}")
        entries[name] = found[1].split()
    return entries


def installable_files(module: Path = MODULE) -> dict[str, list[str]]:
    """Return the files of the module's folder as both lists should hold them, sorted."""
    paths = [path.relative_to(module) for path in module.rglob("*") if path.is_file()]
    names = sorted(path.as_posix() for path in paths if _is_installed(path))
    scripts = [name for name in names if name.endswith(".py")]
    resources = [name for name in names if not name.endswith(".py")]
    return dict(zip(LISTS, (scripts, resources), strict=True))


def differences(module: Path = MODULE) -> list[str]:
    """Return one line for each entry that is missing, too many or doubled."""
    lines = []
    present = installable_files(module)
    for name, entries in listed_files(module).items():
        lines += [f"missing in {name}: {e}" for e in sorted(set(present[name]) - set(entries))]
        lines += [f"too many in {name}: {e}" for e in sorted(set(entries) - set(present[name]))]
        lines += [f"twice in {name}: {e}" for e in sorted(set(entries)) if entries.count(e) > 1]
    return lines


def write_lists(module: Path = MODULE) -> None:
    """Replace both lists of the CMakeLists.txt by the files of the folder."""
    path = module / "CMakeLists.txt"
    text = path.read_text(encoding="utf-8")
    for name, entries in installable_files(module).items():
        block = "".join(f"  {entry}\n" for entry in entries)
        text = re.sub(_pattern(name), f"set({name}\n{block}  )", text)
    path.write_text(text, encoding="utf-8")


def _pattern(name: str) -> str:
    return rf"set\({name}\s([^)]*)\)"


def _is_installed(path: Path) -> bool:
    return not any(
        part in _NOT_INSTALLED or part.startswith(".") or part.endswith(".egg-info")
        for part in path.parts
    )


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        write_lists()
    problems = differences()
    print("\n".join(problems) or "Both lists are complete.")
    sys.exit(bool(problems))
