"""The design's rules on who may lean on whom, read from the imports themselves."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from support.project import PROJECT

PACKAGE = PROJECT / "BrainSSLAnomaly" / "BrainSSLAnomalyLib"
MAY_LEAN_ON = {
    "core": set(),
    "imageio": {"core"},
    "preparation": {"core"},
    "network": {"core"},
    "scoring": {"core"},
    "segmentation": {"core"},
    "phantom": {"core"},
    "report": {"core"},
    "detection": {"core", "preparation", "scoring", "network"},
    "explanation": {
        "core",
        "imageio",
        "preparation",
        "network",
        "detection",
        "segmentation",
        "report",
    },
    "jobs": {"core", "imageio", "network", "detection"},
    "scene": {"core", "imageio", "segmentation", "report"},
    "panel": {"core", "scene", "jobs", "segmentation", "report", "phantom"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Full dotted names of everything a file imports."""
    here = ["BrainSSLAnomalyLib", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: len(here) - node.level + 1]) if node.level else ""
            stem = ".".join(p for p in (base, node.module) if p)
            found |= (
                {f"{stem}.{alias.name}" for alias in node.names} if node.module is None else {stem}
            )
    return found


def room(path: Path) -> str:
    """The room a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_each_room_leans_only_on_rooms_it_may_lean_on(path):
    if room(path) not in MAY_LEAN_ON:
        assert room(path) in {"__init__", "__main__", "cli"}
        return
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("BrainSSLAnomalyLib.")}
    assert ours <= MAY_LEAN_ON[room(path)] | {room(path)}


def test_no_room_may_lean_on_more_than_it_does():
    for name, allowed in MAY_LEAN_ON.items():
        own = [path for path in MODULES if room(path) == name]
        assert allowed <= {n.split(".")[1] for path in own for n in imports(path) if "." in n}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_slicer_qt_trame_torch_and_training_are_imported_only_where_they_belong(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert "training" not in roots
    for banned, allowed in (
        ({"slicer", "vtk"}, {"scene", "panel"}),
        ({"qt", "ctk"}, {"panel"}),
        ({"trame", "trame_slicer"}, {"reviewer"}),
        ({"torch", "monai", "onnxruntime"}, {"network"}),
    ):
        assert room(path) in allowed or not roots & banned


def test_importing_every_light_room_brings_neither_torch_nor_slicer_nor_pillow():
    code = (
        "import sys, BrainSSLAnomalyLib.cli.app, BrainSSLAnomalyLib.detection.detect; "
        "import BrainSSLAnomalyLib.report, BrainSSLAnomalyLib.imageio; "
        "import BrainSSLAnomalyLib.segmentation; "
        "print(sorted({'torch', 'monai', 'slicer', 'matplotlib', 'PIL'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_project_names_no_path_of_the_machine_it_was_written_on():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.split()
    roots = ["/" + "work/", "/" + "root/"]
    for name in tracked:
        path = PROJECT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".json", ".yml", ""} and path.is_file():
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not any(root in text for root in roots), name
