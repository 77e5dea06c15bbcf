"""What the panel says of missing packages, how it installs them, and when that fails: pip and the PyTorch extension alone are replaced."""

from __future__ import annotations

import os
import re
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest
from support.slicer.driving import click, picture
from support.slicer.optional import needed

needed("slicer")
needed("PySide6.QtWidgets")

NETWORK = ["torch", "monai", "einops", "safetensors"]


@pytest.fixture
def dependencies(module):
    from BrainSSLAnomalyLib.panel import dependencies

    return dependencies


@pytest.fixture
def installed(monkeypatch):
    """Name → version of what is said to be installed, over what is; empty: it is not."""
    said: dict[str, str] = {}
    real = metadata.version

    def version(name):
        if said.get(name) == "":
            raise metadata.PackageNotFoundError(name)
        return said.get(name) or real(name)

    monkeypatch.setattr(metadata, "version", version)
    return said


@pytest.fixture
def pip(monkeypatch, installed):
    """Every call of pip: (what is wanted, constraints). What it gets is installed from then on."""
    import slicer

    calls = []

    def install(arguments):
        at = arguments.index("-c")
        calls.append((arguments[:at], Path(arguments[at + 1]).read_text().split()))
        installed.update({a.split(">")[0]: "99.0" for a in arguments[:at] if ">=" in a})

    monkeypatch.setitem(sys.modules, "slicer.packaging", None)  # before 5.12
    monkeypatch.setattr(slicer.util, "pip_install", install)
    return calls


@pytest.fixture
def extension(monkeypatch, installed):
    """The module of the PyTorch extension; how it was asked."""
    asked = []

    class PyTorchUtilsLogic:
        def installTorch(
            self,
            askConfirmation=False,
            forceComputationBackend=None,
            torchVersionRequirement=None,
            torchvisionVersionRequirement=None,
        ):
            asked.append((askConfirmation, torchVersionRequirement))
            installed["torch"] = "2.5.1+cu121"
            return types.ModuleType("torch")

    fake = types.ModuleType("PyTorchUtils")
    fake.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", fake)
    return asked


@pytest.fixture
def answer(monkeypatch):
    """What the user is asked; answers with ``answer.yes``."""
    import slicer

    asked = types.SimpleNamespace(yes=True, questions=[])
    monkeypatch.setattr(
        slicer.util,
        "confirmOkCancelDisplay",
        lambda text, *a, **k: asked.questions.append(text) or asked.yes,
    )
    return asked


@pytest.fixture
def bare(panel, installed):
    """The panel of somebody who has the statistics and nothing of the network."""
    installed.update(dict.fromkeys(NETWORK, ""))
    panel.care.sayWhatIsMissing()
    return panel


def test_the_network_needs_torch_first_and_the_statistics_never(dependencies):
    names = [r.split(">")[0] for r in dependencies.needed_for_network()]
    assert names == NETWORK and not set(names) & {r.split(">")[0] for r in dependencies.needed()}


def test_the_detector_asks_for_the_same_packages(dependencies):
    from BrainSSLAnomalyLib.detection import detect as detector

    assert list(detector._NETWORK_PACKAGES) == NETWORK


def test_both_lists_are_those_of_the_pip_package(dependencies):
    from support.project import PROJECT

    text = (PROJECT / "pyproject.toml").read_text()
    (model,) = re.findall(r"^model = \[(.*)\]$", text, re.MULTILINE)
    assert re.findall(r'"(.+?)"', model) == dependencies.needed_for_network()
    assert all(f'"{requirement}"' in text for requirement in dependencies.needed())


def test_without_the_network_the_panel_says_what_looks_instead_and_detects_without_asking(
    bare, answer
):
    assert (
        not bare.ui.networkButton.isHidden()
        and not bare.ui.wheelsButton.isHidden()
        and bare.ui.installButton.isHidden()
    )
    assert (
        bare.ui.networkMessage.text
        == "Without PyTorch statistics and an atlas look instead of networks."
    )
    picture(bare, "9_no_network")
    assert bare.care.ready() and not answer.questions


def test_without_monai_alone_monai_is_named(panel, installed):
    installed["monai"] = ""
    panel.care.sayWhatIsMissing()
    assert "Without monai" in panel.ui.networkMessage.text


def test_with_everything_installed_there_is_nothing_to_press(panel, installed):
    installed.update(dict.fromkeys(NETWORK, "99.0"))
    panel.care.sayWhatIsMissing()
    for name in ("networkButton", "networkMessage", "wheelsButton", "installButton"):
        assert getattr(panel.ui, name).isHidden(), name


def test_the_network_is_installed_after_asking_and_keeps_the_torch_that_was_chosen(
    bare, answer, extension, pip
):
    click(bare.ui.networkButton)
    (question,) = answer.questions
    assert "GB" in question and "torch" in question and "monai" in question
    assert extension == [(False, ">=2.2")]  # the panel has asked
    ((wanted, constraints),) = pip
    assert wanted == ["monai>=1.3", "einops>=0.6", "safetensors>=0.4"]
    assert (
        "torch==2.5.1+cu121" in constraints and f"numpy=={metadata.version('numpy')}" in constraints
    )
    assert (
        bare.ui.networkButton.isHidden()
        and bare.ui.networkMessage.isHidden()
        and "Installed" in bare.ui.statusMessage.text
    )


def test_slicers_package_manager_is_told_the_same(bare, answer, extension, monkeypatch, installed):
    calls = []

    def pip_ensure(requirements, constraints=None, prompt_install=True, requester=None):
        calls.append((requirements, Path(constraints).read_text(), prompt_install, requester))

    packaging = types.ModuleType("slicer.packaging")
    packaging.pip_ensure = pip_ensure
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    click(bare.ui.networkButton)
    ((wanted, constraints, prompt, requester),) = calls
    assert (
        wanted[0] == "monai>=1.3"
        and "torch==2.5.1+cu121" in constraints
        and not prompt
        and requester == "BrainSSLAnomaly"
    )


def test_who_declines_gets_nothing(bare, answer, extension, pip):
    answer.yes = False
    click(bare.ui.networkButton)
    assert answer.questions and not extension and not pip and not bare.ui.networkButton.isHidden()


def test_without_the_extension_it_says_how_to_get_it_before_asking(bare, answer, pip, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    click(bare.ui.networkButton)
    said = bare.ui.statusMessage.text
    assert "Extensions Manager" in said and "restart" in said and "press the button again" in said
    assert not answer.questions and not pip


def test_the_extension_is_not_needed_where_torch_is_there(
    bare, answer, pip, installed, monkeypatch
):
    installed["torch"] = "2.2.0"
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    click(bare.ui.networkButton)
    assert "a few MB" in answer.questions[0] and "torch" not in answer.questions[0]
    assert "torch==2.2.0" in pip[0][1] and bare.ui.networkButton.isHidden()


def test_a_torch_that_did_not_come_is_said_and_nothing_else_is_installed(
    bare, answer, extension, pip, monkeypatch
):
    monkeypatch.setattr(
        sys.modules["PyTorchUtils"].PyTorchUtilsLogic, "installTorch", lambda self, **_: None
    )
    click(bare.ui.networkButton)
    assert "PyTorch was not installed" in bare.ui.statusMessage.text and not pip


def test_a_pip_that_fails_after_torch_is_said_and_the_rest_can_be_tried_again(
    bare, answer, extension, pip, monkeypatch
):
    import slicer

    monkeypatch.setattr(slicer.util, "pip_install", lambda arguments: 1 / 0)
    click(bare.ui.networkButton)
    assert "could not be installed" in bare.ui.statusMessage.text
    assert not bare.ui.networkButton.isHidden() and "Without monai" in bare.ui.networkMessage.text


def folder_chosen(monkeypatch, folder):
    import qt

    monkeypatch.setattr(
        qt.QFileDialog, "getExistingDirectory", staticmethod(lambda *a: str(folder))
    )


def test_a_folder_of_wheels_brings_torch_too_and_no_internet_is_asked(
    bare, pip, tmp_path, monkeypatch
):
    folder_chosen(monkeypatch, tmp_path)
    click(bare.ui.wheelsButton)
    ((arguments, constraints),) = pip
    assert arguments[:3] == ["--no-index", "--find-links", str(tmp_path)]
    assert [a.split(">")[0] for a in arguments[3:]] == NETWORK
    assert (
        not any(line.startswith("torch") for line in constraints)
        and bare.ui.networkButton.isHidden()
    )


@pytest.mark.parametrize(
    ("wheel", "calls"),
    [("nibabel-5.3-py3-none-any.whl", 1), ("torch-2.5.1-cp312-cp312-win_amd64.whl", 2)],
)
def test_a_folder_for_the_statistics_alone_is_not_asked_for_the_network(
    bare, pip, installed, tmp_path, monkeypatch, wheel, calls
):
    installed["nibabel"] = ""
    (tmp_path / wheel).touch()
    folder_chosen(monkeypatch, tmp_path)
    click(bare.ui.wheelsButton)
    assert len(pip) == calls and pip[0][0][3:] == ["nibabel>=5.1"]


def test_slicers_own_packages_are_kept_but_what_is_to_be_replaced_is_not(dependencies, installed):
    installed.update(
        numpy="2.4.6", SimpleITK="2.5.0rc1-dev7-g1", torch="1.13"
    )  # the second is no version that pip would read
    with dependencies._kept(["torch>=2.2"]) as path:
        assert Path(path).read_text() == "numpy==2.4.6\n"
    assert not Path(path).exists()


def test_the_self_check_names_what_the_network_needs(panel):
    for name in NETWORK:
        assert re.search(rf"^{name} ", panel.care.versions(), re.MULTILINE), name


def test_missing_packages_are_named_and_installed_only_after_asking(panel, monkeypatch):
    import slicer
    from BrainSSLAnomalyLib.panel import dependencies

    gone, asked, got = ["nibabel>=5.1"], [], []
    monkeypatch.setattr(dependencies, "missing", lambda: list(gone))
    monkeypatch.setattr(dependencies, "install", lambda: (got.append(1), gone.clear()))
    panel.care.sayWhatIsMissing()
    assert "nibabel" in panel.ui.statusMessage.text and not panel.ui.installButton.isHidden()
    picture(panel, "7_missing")
    monkeypatch.setattr(
        slicer.util,
        "confirmOkCancelDisplay",
        lambda text, *a, **k: asked.append(text) or len(asked) > 1,
    )
    assert not panel.care.ready() and not got
    assert panel.care.ready() and got and "nibabel" in asked[0]
    assert panel.ui.installButton.isHidden()


def test_an_installation_that_fails_is_explained(panel, monkeypatch):
    import slicer
    from BrainSSLAnomalyLib.panel import dependencies

    monkeypatch.setattr(dependencies, "missing", lambda: ["nibabel>=5.1"])
    monkeypatch.setattr(dependencies, "install", lambda: 1 / 0)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *a, **k: True)
    panel.care.install()
    assert "could not be installed" in panel.ui.statusMessage.text


def test_requirements_are_read_and_compared():
    from BrainSSLAnomalyLib.panel import dependencies

    assert "nibabel>=5.1" in dependencies.needed() and dependencies.missing() == []
    assert not dependencies._there("nibabel>=99") and not dependencies._there(
        "no-such-package-at-all"
    )


def test_the_panel_opens_and_says_what_is_missing_where_nothing_is_installed():
    import subprocess

    code = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"cc3d", "nibabel", "skimage", "jinja2", "matplotlib", "torch", "monai", "typer", "rich"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from support.slicer import slicer_python
slicer = slicer_python.start()
import BrainSSLAnomaly
from BrainSSLAnomalyLib.panel import dependencies
dependencies._there = lambda requirement: not requirement.startswith(("nibabel", "connected"))
import numpy as np
slicer.util.addVolumeFromArray(np.random.default_rng(0).random((60, 60, 60)) * 100, ijkToRAS=np.diag([3.0, 3, 3, 1]), name="FLAIR")
panel = BrainSSLAnomaly.BrainSSLAnomalyWidget()
assert panel.ui.detectButton.enabled, panel.ui.scansMessage.text
said = panel.ui.statusMessage.text
assert "nibabel" in said and "connected-components-3d" in said, said
slicer.util.confirmOkCancelDisplay = lambda text: False
panel.onDetect()
assert not panel.run.running
panel.onSample()
assert "nibabel is missing" in panel.ui.statusMessage.text, panel.ui.statusMessage.text
print("opened")
import os
sys.stdout.flush()
os._exit(0)
"""
    here = Path(__file__).parent
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (here, here.parents[1] / "BrainSSLAnomaly"))),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip().endswith("opened"), done.stderr[-1500:]
