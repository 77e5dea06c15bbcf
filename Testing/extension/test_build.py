"""The extension builds, installs and runs from its installed files alone.

CMake and Ninja are the real ones. The macros of 3D Slicer are stand-ins (``stand_in``) that treat
scripts and resources as Slicer and CTK do.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from BrainSSLAnomalyLib import Modality, synthetic_patient
from BrainSSLAnomalyLib.imageio.nifti import write_volume
from extension import module_files

PROJECT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).resolve().parent / "stand_in"
INSTALLED_MODULES = Path("lib", "Slicer-5.12", "qt-scripted-modules")
REPOSITORY = "SlicerBrainSSLAnomaly"

DRIVER = """
import json, runpy, sys

opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
record, sys.argv = sys.argv[1], ["brain-ssl-anomaly", *sys.argv[2:]]
try:
    runpy.run_module("BrainSSLAnomalyLib", run_name="__main__")
except SystemExit as exit:
    code = exit.code
files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
ours = {name: file for name, file in files.items() if name.startswith("BrainSSLAnomaly") and file}
with open(record, "w") as file:
    json.dump({"modules": ours, "opened": opened}, file)
sys.exit(code)
"""
"""Runs the command line, and records which files of ours were imported and opened."""


def find_program(name: str) -> str:
    """Return the path of a build tool, that of the Python environment first."""
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    program = shutil.which(name, path=folders)
    if program is None:
        pytest.skip(f"{name} is not installed: pip install '.[dev]' brings it")
    return program


def run(*command: str | Path, **keywords) -> subprocess.CompletedProcess[str]:
    """Run a program, and return its output as text, errors among it."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    texts = [str(part) for part in command]
    return subprocess.run(texts, text=True, encoding="utf-8", check=False, **output, **keywords)


def configure(source: Path, build: Path) -> subprocess.CompletedProcess[str]:
    """Configure the extension against the stand-ins of Slicer's macros."""
    ninja = find_program("ninja")
    options = {
        "Slicer_DIR": STAND_IN.as_posix(),
        "Python3_EXECUTABLE": Path(sys.executable).as_posix(),
        "CMAKE_MAKE_PROGRAM": Path(ninja).as_posix(),
        "BUILD_TESTING": "ON",
    }
    definitions = [f"-D{name}={value}" for name, value in options.items()]
    return run(find_program("cmake"), "-G", "Ninja", "-S", source, "-B", build, *definitions)


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build what has been configured in this folder."""
    return run(find_program("cmake"), "--build", folder)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Return the build folder of the project as it is."""
    folder = tmp_path_factory.mktemp("build")
    for step in (configure(PROJECT, folder), build(folder)):
        assert step.returncode == 0, step.stdout
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """Return the installed folder of scripted modules."""
    prefix = tmp_path_factory.mktemp("installed")
    step = run(find_program("cmake"), "--install", built, "--prefix", prefix)
    assert step.returncode == 0, step.stdout
    return prefix / INSTALLED_MODULES


def copy_extension(target: Path) -> Path:
    """Copy what a build reads, with complete lists, and return the folder of the module's copy."""
    module = target / "BrainSSLAnomaly"
    shutil.copy(PROJECT / "CMakeLists.txt", target)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(PROJECT / "BrainSSLAnomaly", module, ignore=ignored)
    module_files.write_lists(module)
    return module


def test_both_lists_hold_every_file_once():
    lines = module_files.differences()
    assert not lines, "\n" + "\n".join(lines)


def test_the_lists_are_separate():
    scripts, resources = module_files.listed_files().values()
    assert [name for name in scripts if not name.endswith(".py")] == []
    assert [name for name in resources if name.endswith(".py")] == []


def test_a_resource_among_the_scripts_is_named(tmp_path):
    module = copy_extension(tmp_path)
    move_to_scripts(module, "Resources/requirements.txt")
    assert module_files.differences(module) == [
        "too many in MODULE_PYTHON_SCRIPTS: Resources/requirements.txt",
        "missing in MODULE_PYTHON_RESOURCES: Resources/requirements.txt",
    ]
    module_files.write_lists(module)
    assert module_files.differences(module) == []


def test_a_resource_among_the_scripts_ends_the_build(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    move_to_scripts(copy_extension(source), "Resources/requirements.txt")
    step = configure(source, tmp_path / "build")
    assert step.returncode == 0, step.stdout
    step = build(tmp_path / "build")
    assert step.returncode != 0
    assert "Resources/requirements.txt.py" in step.stdout


def move_to_scripts(module: Path, resource: str) -> None:
    """Move one entry of the list of resources to that of scripts."""
    path = module / "CMakeLists.txt"
    text = path.read_text(encoding="utf-8")
    assert f"  {resource}\n" in text
    text = text.replace(f"  {resource}\n", "")
    start = "set(MODULE_PYTHON_SCRIPTS\n"
    path.write_text(text.replace(start, f"{start}  {resource}\n"), encoding="utf-8")


def test_the_installed_tree_holds_the_listed_files_and_no_others(installed):
    files = [path.relative_to(installed) for path in installed.rglob("*") if path.is_file()]
    names = {path.as_posix() for path in files if "__pycache__" not in path.parts}
    scripts, resources = module_files.listed_files().values()
    assert names == {*scripts, *resources}


def test_a_detection_runs_from_the_installed_tree_alone(installed, tmp_path):
    patient, _ = synthetic_patient(spacing=3.0)
    flair = patient.scans[Modality.FLAIR].volume
    write_volume(tmp_path / "flair.nii.gz", flair, flair.array.dtype)

    record = tmp_path / "record.json"
    program = (sys.executable, "-c", DRIVER, record)
    quick = ("--detector", "statistical", "--anatomy", "atlas")
    arguments = ("detect", "--flair", "flair.nii.gz", "--output", "results", *quick)
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    step = run(*program, *arguments, cwd=tmp_path, env=environment)
    assert step.returncode == 0, step.stdout
    assert (tmp_path / "results" / "report.html").is_file()
    assert json.loads((tmp_path / "results" / "result.json").read_text())["findings"]

    found = json.loads(record.read_text())
    assert "BrainSSLAnomalyLib" in found["modules"]
    outside = {n: f for n, f in found["modules"].items() if not Path(f).is_relative_to(installed)}
    assert outside == {}
    module = (PROJECT / "BrainSSLAnomaly").resolve()
    assert [path for path in found["opened"] if Path(path).is_relative_to(module)] == []


def test_one_name_leads_to_the_repository(built):
    lines = (built / "description.txt").read_text(encoding="utf-8").splitlines()
    described = dict(line.split(" ", 1) for line in lines)
    entry = json.loads((PROJECT / "BrainSSLAnomaly.json").read_text(encoding="utf-8"))
    pictures = [described["ICONURL"], *described["SCREENSHOTURLS"].split()]
    for url in (described["HOMEPAGE"], entry["scm_url"], *pictures):
        assert urlsplit(url).path.split("/")[2].removesuffix(".git") == REPOSITORY, url
    for url in pictures:
        path = urlsplit(url).path.split("/", 4)[4]
        assert (PROJECT / path).is_file(), path
    assert described["NAME"] == "BrainSSLAnomaly"
    assert described["DEPENDS"].split() == entry["build_dependencies"]


def test_no_other_repository_is_named():
    files = ["BrainSSLAnomaly/BrainSSLAnomaly.py", "README.md", "CITATION.cff", "mkdocs.yml"]
    for name in files:
        text = (PROJECT / name).read_text(encoding="utf-8")
        owned = re.findall(r"github\.com/BrainSSLAnomaly/(\w+)", text)
        assert set(owned) <= {REPOSITORY}, name
