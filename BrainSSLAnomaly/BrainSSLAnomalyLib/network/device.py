"""Where networks run: PyTorch on a GPU if there is one, else ONNX Runtime on the processor."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ..core.errors import BadSettings
from ..core.settings import Device

TORCH_PACKAGES = ("torch", "monai", "einops")
"""What networks need on a GPU."""


def runs_on_gpu(device: Device) -> bool:
    """Return whether networks run on a GPU.

    Raises:
        BadSettings: a GPU is chosen where PyTorch is missing or finds none.
    """
    if device is Device.CPU:
        return False
    missing = [name for name in TORCH_PACKAGES if find_spec(name) is None]
    is_found = not missing and _torch_has_gpu_build() and _torch_finds_gpu()
    if device is Device.CUDA and not is_found:
        if missing:
            raise BadSettings(
                f"a GPU needs {' and '.join(missing)}",
                'leave --device out, or install "brain-ssl-anomaly[torch]"',
            )
        raise BadSettings(
            "PyTorch finds no GPU that it can use",
            "leave --device out, or install PyTorch for CUDA",
        )
    return is_found


def _torch_has_gpu_build() -> bool:
    """Return whether PyTorch was built for GPUs, without the second that importing it takes."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    libraries = Path(spec.origin).parent / "lib"
    return any(libraries.glob("*torch_cuda*")) or any(libraries.glob("*torch_hip*"))


def _torch_finds_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())
