"""The Grad-CAM of one finding as a request to the worker."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..core.errors import BadResults, BadSettings
from ..core.progress import Progress
from ..core.results import NetworkInput
from ..core.settings import Device
from ..core.study import Modality, Volume
from ..imageio import results_folder

EXPLANATION_REQUEST, EXPLANATION = "explanation_request.npz", "gradcam.npy"


class ExplanationRequest(NamedTuple):
    """Hold what the Grad-CAM of one finding is computed from.

    Attributes:
        network_input: from the detection.
        brain: (k, j, i) bool, on the grid of the reference.
        target: (k, j, i) bool on that grid, the finding.
        device: where the network runs.
    """

    network_input: NetworkInput
    brain: Volume
    target: NDArray[np.bool_]
    device: Device = Device.AUTO


def write_explanation_request(scratch: Path, request: ExplanationRequest) -> None:
    """Write the request.

    Raises:
        OSError: it cannot be written.
    """
    given = request.network_input
    np.savez(
        scratch / EXPLANATION_REQUEST,
        modalities=np.array([m.value for m in given.images]),
        images=np.stack(list(given.images.values())),
        images_affine=given.affine,
        axes=np.array(given.axes),
        brain=request.brain.array > 0,
        brain_affine=request.brain.affine,
        target=np.asarray(request.target) > 0,
        device=np.array(request.device.value),
    )


def read_explanation_request(scratch: Path) -> ExplanationRequest:
    """Return the request of a scratch folder.

    Raises:
        BadSettings: it is damaged.
    """
    try:
        with np.load(scratch / EXPLANATION_REQUEST, allow_pickle=False) as content:
            modalities = [Modality(str(name)) for name in content["modalities"]]
            images = dict(zip(modalities, content["images"], strict=True))
            axes = tuple(int(axis) for axis in content["axes"])
            brain = Volume(content["brain"], content["brain_affine"])
            return ExplanationRequest(
                network_input=NetworkInput(images, content["images_affine"], axes),
                brain=brain,
                target=brain.with_array(content["target"]).array,
                device=Device(str(content["device"])),
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise BadSettings(
            f"{EXPLANATION_REQUEST} cannot be used ({error})", "choose the finding again"
        ) from error


def run_explanation(scratch: Path, results: Path, progress: Progress) -> None:
    """Compute the Grad-CAM as requested, and write it.

    Args:
        scratch: folder with the request.
        results: folder to be made, whole or not at all.
        progress: receives the stage and the fraction done; may raise `Cancelled`.

    Raises:
        BadSettings: the request is damaged.
    """
    request = read_explanation_request(scratch)
    progress("Loading the network", 0.05)
    from ..detection.device_fallback import gpu_else_cpu
    from ..detection.explain import activation_map_of_finding
    from ..network.model import load_model

    def report(fraction: float) -> None:
        progress("Explaining", 0.2 + 0.7 * fraction)

    def compute(device: Device) -> NDArray[np.float32]:
        model = load_model(device)
        given, brain, target = request.network_input, request.brain, request.target
        return activation_map_of_finding(given, brain, target, model, progress=report)

    heat, warning = gpu_else_cpu(compute, request.device)
    if warning:
        print(warning)
    with results_folder(results, overwrite=True) as stage:
        np.save(stage / EXPLANATION, heat)


def read_explanation(results: Path) -> NDArray[np.float32]:
    """Return the Grad-CAM, (k, j, i) float32 on the grid of the reference, 0 to 1.

    Raises:
        BadResults: it is missing or damaged.
    """
    try:
        heat = np.load(results / EXPLANATION, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadResults(
            f"the map of the finding cannot be read ({error})", "choose the finding again"
        ) from error
    return np.asarray(heat, np.float32)
