"""The panel names missing packages, installs them after asking, and explains a failure.

Pip's process and the PyTorch extension alone are replaced.
"""

from __future__ import annotations

import re
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest
from support.project import PROJECT
from support.slicer.driving import click, picture
from support.slicer.fresh_process import run_fresh
from support.slicer.optional import needed

needed("slicer")
needed("PySide6.QtWidgets")

GPU = ["torch", "monai", "einops"]


@pytest.fixture
def dependencies(module):
    from BrainSSLAnomalyLib.panel import dependencies

    return dependencies


@pytest.fixture
def installed(monkeypatch):
    """Name → version of packages, in place of what is installed; empty: it is not installed."""
    pretended: dict[str, str] = {}
    real = metadata.version

    def version(name):
        if pretended.get(name) == "":
            raise metadata.PackageNotFoundError(name)
        return pretended.get(name) or real(name)

    monkeypatch.setattr(metadata, "version", version)
    return pretended


class Pip:
    """Stands in for the process of pip; what it installs is installed from then on.

    Attributes:
        calls: arguments of every call without the constraints, and the lines of the constraints.
        error: raised by the next calls.
    """

    def __init__(self, installed) -> None:
        self.calls: list[tuple[list[str], list[str]]] = []
        self.error: Exception | None = None
        self._installed = installed

    def __call__(self, module, args, blocking):
        assert module == "pip" and args[0] == "install" and blocking
        at = args.index("-c")
        assert args[at + 2 :] == []
        if self.error is not None:
            raise self.error
        self.calls.append((args[1:at], Path(args[at + 1]).read_text().split()))
        self._installed.update({a.split(">")[0]: "99.0" for a in args[1:at] if ">=" in a})


@pytest.fixture
def pip(module, monkeypatch, installed):
    """Pip, in a Slicer that is not in testing mode, where nothing would be installed."""
    import slicer
    from slicer import packaging

    def install_without_window(requirements, constraints, *_):
        packaging._pip_install_simple(requirements, constraints)

    started = Pip(installed)
    monkeypatch.setattr(slicer.util, "executePythonModule", started)
    # Of Slicer's own layer; the stand-in has no window.
    monkeypatch.setattr(
        packaging, "_pip_install_with_dialog", install_without_window, raising=False
    )
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: False)
    return started


@pytest.fixture
def extension(monkeypatch, installed):
    """The module of the PyTorch extension; the arguments of its calls."""
    calls = []

    class PyTorchUtilsLogic:
        def installTorch(
            self,
            askConfirmation=False,
            forceComputationBackend=None,
            torchVersionRequirement=None,
            torchvisionVersionRequirement=None,
        ):
            calls.append((askConfirmation, torchVersionRequirement))
            installed["torch"] = "2.5.1+cu121"
            return types.ModuleType("torch")

    fake = types.ModuleType("PyTorchUtils")
    fake.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", fake)
    return calls


@pytest.fixture
def answer(monkeypatch):
    """The questions to the user, who answers with ``answer.yes``."""
    import slicer

    user = types.SimpleNamespace(yes=True, questions=[])
    monkeypatch.setattr(
        slicer.util,
        "confirmOkCancelDisplay",
        lambda text, *a, **k: user.questions.append(text) or user.yes,
    )
    return user


@pytest.fixture
def bare(panel, installed):
    """The panel where everything but the packages for a GPU is installed."""
    installed.update(dict.fromkeys(GPU, ""))
    panel.setupSection.showMissing()
    return panel


def test_a_gpu_needs_torch_first_and_the_processor_never(dependencies):
    names = [r.name for r in dependencies.gpu_requirements()]
    assert names == GPU
    assert not set(names) & {r.name for r in dependencies.requirements()}


def test_the_network_asks_for_the_same_packages_on_a_gpu(dependencies):
    from BrainSSLAnomalyLib.network import device

    assert list(device.TORCH_PACKAGES) == GPU


def test_both_lists_are_those_of_the_pip_package(dependencies):
    text = (PROJECT / "pyproject.toml").read_text()
    (gpu,) = re.findall(r"^torch = \[(.*)\]$", text, re.MULTILINE)
    assert re.findall(r'"(.+?)"', gpu) == [str(r) for r in dependencies.gpu_requirements()]
    assert all(f'"{requirement}"' in text for requirement in dependencies.requirements())


def test_without_pytorch_the_panel_says_where_networks_run_and_detects_without_asking(bare, answer):
    assert not bare.ui.gpuButton.isHidden() and not bare.ui.wheelsButton.isHidden()
    assert bare.ui.installButton.isHidden()
    assert bare.ui.gpuMessage.text == "Networks run on the processor; a GPU needs PyTorch."
    picture(bare, "9_no_gpu")
    assert bare.setupSection.isReady() and not answer.questions


def test_without_monai_alone_monai_is_named(panel, installed):
    installed["monai"] = ""
    panel.setupSection.showMissing()
    assert "needs monai" in panel.ui.gpuMessage.text


def test_with_everything_installed_there_is_nothing_to_press(panel, installed):
    installed.update(dict.fromkeys(GPU, "99.0"))
    panel.setupSection.showMissing()
    for name in ("gpuButton", "gpuMessage", "wheelsButton", "installButton"):
        assert getattr(panel.ui, name).isHidden(), name


def test_gpu_support_is_installed_after_asking_and_keeps_the_torch_that_was_chosen(
    bare, answer, extension, pip
):
    click(bare.ui.gpuButton)
    (question,) = answer.questions
    assert "GB" in question and "torch" in question and "monai" in question
    assert extension == [(False, ">=2.2")]  # the panel has asked before
    ((wanted, constraints),) = pip.calls
    assert wanted == ["monai>=1.3", "einops>=0.6"]
    assert (
        "torch==2.5.1+cu121" in constraints and f"numpy=={metadata.version('numpy')}" in constraints
    )
    assert (
        bare.ui.gpuButton.isHidden()
        and bare.ui.gpuMessage.isHidden()
        and "Installed" in bare.ui.statusMessage.text
    )


def test_slicers_package_manager_installs_without_asking_again(
    bare, answer, extension, pip, monkeypatch
):
    from slicer import packaging

    calls, real = [], packaging.pip_ensure

    def pip_ensure(requirements, **options):
        calls.append((requirements, options))
        return real(requirements, **options)

    monkeypatch.setattr(packaging, "pip_ensure", pip_ensure)
    click(bare.ui.gpuButton)
    ((requirements, options),) = calls
    assert [r.name for r in requirements] == GPU[1:]
    assert options["prompt_install"] is False and options["requester"] == "BrainSSLAnomaly"
    assert len(answer.questions) == 1 and len(pip.calls) == 1


@pytest.mark.parametrize("name", ["pip_check", "pip_ensure"])
def test_the_stand_in_refuses_what_slicers_package_manager_refuses(module, pip, name):
    from packaging.requirements import InvalidRequirement, Requirement
    from slicer import packaging

    function = getattr(packaging, name)
    assert function([Requirement("numpy>=1"), "numpy>=1"]) in (True, None)
    for wrong in ((Requirement("numpy>=1"),), {"numpy"}, None, Path("requirements.txt")):
        with pytest.raises(TypeError):
            function(wrong)
    for wrong in (["--no-index"], ["numpy>=1", "-c", "file"], "numpy => 1"):
        with pytest.raises(InvalidRequirement):
            function(wrong)
    with pytest.raises((AttributeError, TypeError)):
        function([7])
    with pytest.raises(ValueError):
        packaging.pip_install(Requirement("numpy>=1"))
    assert not pip.calls


def test_slicers_package_manager_installs_nothing_in_testing_mode(
    bare, dependencies, pip, monkeypatch
):
    import slicer
    from slicer import packaging

    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: True)
    packaging.pip_ensure(dependencies.missing_for_gpu(), prompt_install=False)
    assert not pip.calls


def test_nothing_is_installed_after_no(bare, answer, extension, pip):
    answer.yes = False
    click(bare.ui.gpuButton)
    assert answer.questions and not extension and not pip.calls and not bare.ui.gpuButton.isHidden()


def test_without_the_extension_the_message_names_it_before_asking(bare, answer, pip, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    click(bare.ui.gpuButton)
    message = bare.ui.statusMessage.text
    assert "Extensions Manager" in message and "restart" in message
    assert "press the button again" in message
    assert not answer.questions and not pip.calls


def test_the_extension_is_not_needed_where_torch_is_installed(
    bare, answer, pip, installed, monkeypatch
):
    installed["torch"] = "2.2.0"
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    click(bare.ui.gpuButton)
    assert "a few MB" in answer.questions[0] and "torch" not in answer.questions[0]
    assert "torch==2.2.0" in pip.calls[0][1] and bare.ui.gpuButton.isHidden()


def test_where_torch_was_not_installed_nothing_else_is(bare, answer, extension, pip, monkeypatch):
    monkeypatch.setattr(
        sys.modules["PyTorchUtils"].PyTorchUtilsLogic, "installTorch", lambda self, **_: None
    )
    click(bare.ui.gpuButton)
    assert "PyTorch was not installed" in bare.ui.statusMessage.text and not pip.calls


def test_a_failure_of_pip_after_torch_is_explained_and_can_be_tried_again(
    bare, answer, extension, pip
):
    pip.error = subprocess.CalledProcessError(1, "pip install")
    click(bare.ui.gpuButton)
    assert "could not be installed" in bare.ui.statusMessage.text
    assert not bare.ui.gpuButton.isHidden() and "needs monai" in bare.ui.gpuMessage.text
    pip.error = None
    click(bare.ui.gpuButton)
    assert len(pip.calls) == 1 and bare.ui.gpuButton.isHidden()


def choose_folder(monkeypatch, folder):
    import qt

    monkeypatch.setattr(
        qt.QFileDialog, "getExistingDirectory", staticmethod(lambda *a: str(folder))
    )


def test_a_folder_of_wheels_installs_torch_too_without_internet(bare, pip, tmp_path, monkeypatch):
    choose_folder(monkeypatch, tmp_path)
    click(bare.ui.wheelsButton)
    ((arguments, constraints),) = pip.calls
    assert arguments[:3] == ["--no-index", "--find-links", str(tmp_path)]
    assert [a.split(">")[0] for a in arguments[3:]] == GPU
    assert (
        not any(line.startswith("torch") for line in constraints) and bare.ui.gpuButton.isHidden()
    )


@pytest.mark.parametrize(
    ("wheel", "calls"),
    [("nibabel-5.3-py3-none-any.whl", 1), ("torch-2.5.1-cp312-cp312-win_amd64.whl", 2)],
)
def test_a_folder_without_pytorch_is_enough_for_the_processor(
    bare, pip, installed, tmp_path, monkeypatch, wheel, calls
):
    installed["nibabel"] = ""
    (tmp_path / wheel).touch()
    choose_folder(monkeypatch, tmp_path)
    click(bare.ui.wheelsButton)
    assert len(pip.calls) == calls and pip.calls[0][0][3:] == ["nibabel>=5.1"]


def test_slicers_own_packages_are_pinned_but_not_those_to_be_replaced(dependencies, installed):
    from packaging.requirements import Requirement

    # The second is no version that pip would read.
    installed.update(numpy="2.4.6", SimpleITK="2.5.0rc1-dev7-g1", torch="1.13")
    with dependencies._constraints([Requirement("torch>=2.2")]) as path:
        assert Path(path).read_text() == "numpy==2.4.6\n"
    assert not Path(path).exists()


def test_the_setup_check_names_what_the_network_needs(panel):
    for name in GPU:
        assert re.search(rf"^{name} ", panel.setupSection.versions(), re.MULTILINE), name


def test_missing_packages_are_named_and_installed_only_after_asking(panel, installed, pip, answer):
    installed["nibabel"] = ""
    panel.setupSection.showMissing()
    assert "nibabel" in panel.ui.statusMessage.text and not panel.ui.installButton.isHidden()
    picture(panel, "7_missing")
    answer.yes = False
    assert not panel.setupSection.isReady() and not pip.calls
    answer.yes = True
    assert panel.setupSection.isReady() and "nibabel" in answer.questions[-1]
    assert [arguments for arguments, _ in pip.calls] == [["nibabel>=5.1"]]
    assert panel.ui.installButton.isHidden()


def test_a_failed_installation_is_explained(panel, installed, pip, answer):
    installed["nibabel"], pip.error = "", subprocess.CalledProcessError(1, "pip install")
    click(panel.ui.installButton)
    assert answer.questions and "could not be installed" in panel.ui.statusMessage.text
    assert not panel.ui.installButton.isHidden()


def test_requirements_are_read_and_compared_with_what_is_installed(dependencies, installed):
    assert "nibabel>=5.1" in map(str, dependencies.requirements()) and not dependencies.missing()
    installed.update({"nibabel": "5.0", "jinja2": ""})
    assert [r.name for r in dependencies.missing()] == ["nibabel", "jinja2"]


CODE = """
import os
import sys

sys.modules.pop("BrainSSLAnomalyLib", None)
MISSING = {
    "scipy", "skimage", "cc3d", "cattrs", "nibabel", "pydicom", "jinja2", "PIL",
    "torch", "monai", "einops", "safetensors", "typer", "rich",
}
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from importlib import metadata
real = metadata.version
def version(name):
    if name in MISSING | {"connected-components-3d", "scikit-image", "pillow"}:
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
import numpy as np
from support.slicer import slicer_python
slicer = slicer_python.start()
import BrainSSLAnomaly
array = np.random.default_rng(0).random((60, 60, 60)) * 100
slicer.util.addVolumeFromArray(array, ijkToRAS=np.diag([3.0, 3, 3, 1]), name="FLAIR")
panel = BrainSSLAnomaly.BrainSSLAnomalyWidget()
assert panel.ui.detectButton.enabled, panel.ui.scansMessage.text
message = panel.ui.statusMessage.text
assert "nibabel" in message and "connected-components-3d" in message, message
questions = []
slicer.util.confirmOkCancelDisplay = lambda text: questions.append(text)
panel.onDetect()
assert questions and not panel.detection.is_running
panel.onSample()
message = panel.ui.statusMessage.text
assert "is missing: press Install" in message, message
parent = type("Parent", (), {"path": BrainSSLAnomaly.__file__, "icon": None})()
entry = BrainSSLAnomaly.BrainSSLAnomaly(parent)
entry.setup()
print("opened")
sys.stdout.flush()
os._exit(0)
"""


def test_the_panel_opens_and_names_what_is_missing_where_nothing_is_installed():
    done = run_fresh(CODE)
    assert done.stdout.strip().endswith("opened"), done.stderr[-1500:]
