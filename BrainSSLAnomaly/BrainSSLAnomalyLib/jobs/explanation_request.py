"""Grad-CAM of one finding in the worker: the question in a file, the answer in a file."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..core.errors import BadResults, BadSettings
from ..core.progress import Progress
from ..core.results import LookedAt
from ..core.settings import Device
from ..core.study import Modality, Volume
from ..imageio import staged_folder

QUESTION, ANSWER = "question.npz", "gradcam.npy"


def write_question(
    scratch: Path, looked_at: LookedAt, brain: Volume, asked: NDArray, device: Device
) -> None:
    """Ask about a finding.

    Args:
        scratch: folder of the worker.
        looked_at: from the detection.
        brain: (k, j, i) bool, on the grid of the reference.
        asked: (k, j, i) bool on that grid, the finding.
        device: where the network runs.

    Raises:
        OSError: it cannot be written.
    """
    np.savez(
        scratch / QUESTION,
        modalities=np.array([m.value for m in looked_at.images]),
        images=np.stack(list(looked_at.images.values())),
        images_affine=looked_at.affine,
        axis=np.array(looked_at.axis),
        brain=brain.array > 0,
        brain_affine=brain.affine,
        asked=np.asarray(asked) > 0,
        device=np.array(device.value),
    )


def answer(scratch: Path, results: Path, progress: Progress) -> None:
    """Work on the question of `write_question`.

    Args:
        scratch: folder with the question.
        results: folder for the answer, made here, whole or not at all.
        progress: told the stage and the fraction done; may raise `Cancelled`.

    Raises:
        BadSettings: the question is damaged.
    """
    try:
        with np.load(scratch / QUESTION, allow_pickle=False) as q:
            images = {
                Modality(str(name)): image
                for name, image in zip(q["modalities"], q["images"], strict=True)
            }
            looked_at = LookedAt(images, q["images_affine"], int(q["axis"]))
            brain, device = Volume(q["brain"], q["brain_affine"]), Device(str(q["device"]))
            asked = brain.with_array(q["asked"]).array
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise BadSettings(
            f"{QUESTION} cannot be used ({error})", "choose the finding again"
        ) from error
    progress("Loading the network", 0.05)
    from ..detection.device_fallback import gpu_else_cpu
    from ..detection.network_detector import finding_gradcam
    from ..network.model import load_model

    def told(fraction: float) -> None:
        progress("Explaining", 0.2 + 0.7 * fraction)

    heat, said = gpu_else_cpu(
        lambda where: finding_gradcam(looked_at, brain, asked, load_model(where), told), device
    )
    if said:
        print(said)
    with staged_folder(results, overwrite=True) as stage:
        np.save(stage / ANSWER, heat)


def read_answer(results: Path) -> NDArray[np.float32]:
    """(k, j, i) float32 on the grid of the reference, 0 to 1.

    Raises:
        BadResults: it is missing or damaged.
    """
    try:
        heat = np.load(results / ANSWER, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadResults(
            f"the map of the finding cannot be read ({error})", "choose the finding again"
        ) from error
    return np.asarray(heat, np.float32)
