"""The light network: ``python -m training.release.light``.

The anomaly network in whole numbers of 8 bits, by ONNX Runtime's static quantisation. The range of
every activation is measured on healthy scans, each with and without implanted lesions: on healthy
ones alone, lesions would be cut off. The last convolution stays in single precision.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from BrainSSLAnomalyLib.core.files import sha256, write_bytes
from BrainSSLAnomalyLib.core.study import Study
from BrainSSLAnomalyLib.network.bundle import graph_path
from BrainSSLAnomalyLib.network.channels import stack_channels
from BrainSSLAnomalyLib.network.inference import pad_slices
from BrainSSLAnomalyLib.network.model import BUNDLE, load_hybrid_network
from BrainSSLAnomalyLib.network.onnx_engine import LIGHT_GRAPH
from BrainSSLAnomalyLib.preparation.network_grid import network_input
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from ..engine.processes import prepare_as_shipped
from ..synthesis.implanted import draw_implanted_pair
from .bundle import RESOURCES
from .graphs import add_graphs, model_with_weights

EVERY = 12
"""One slice of so many is measured, in each orientation."""

BATCH = 4

QUANTISED = ["Conv", "MatMul", "Add", "Relu", "Concat", "Resize"]
"""Operations in whole numbers; the others stay in single precision."""


def main(
    patients: Annotated[int, typer.Option(min=1, help="Patients that ranges come from.")] = 6,
    seed: Annotated[int, typer.Option(help="Of the first; others than those of a test.")] = 3000,
    resources: Path = RESOURCES,
) -> None:
    """Make the light network anew, and describe it in the metadata."""
    scans = Calibration(range(seed, seed + patients))
    target = resources.joinpath(BUNDLE, *graph_path(LIGHT_GRAPH))
    write_bytes(target, quantise(scans))
    add_graphs(resources / BUNDLE, {LIGHT_GRAPH: {"sha256": sha256(target), "unused": None}})
    typer.echo(f"{target.name}: {target.stat().st_size / 2**20:.2f} MiB")


class Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Give slices of healthy scans and of patients, one batch after the other.

    Args:
        seeds: of implanted patients.
    """

    def __init__(self, seeds: range) -> None:
        pairs = (draw_implanted_pair(seed) for seed in seeds)
        studies = (study for pair in pairs for study in (pair.healthy, pair.patient))
        self._batches = iter([batch for study in studies for batch in _batches(study)])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next batch, or None at the end."""
        return next(self._batches, None)


def _batches(study: Study) -> Iterator[dict[str, NDArray[np.float32]]]:
    given = network_input(prepare_as_shipped(study))
    images, present = stack_channels(given)
    for axis in given.axes:
        slices = np.moveaxis(images, axis + 1, 0)[EVERY // 2 :: EVERY]
        for first in range(0, len(slices) - BATCH + 1, BATCH):
            batch = pad_slices(slices[first : first + BATCH], 16)
            yield {"images": batch, "present": np.tile(present, (BATCH, 1))}


def quantise(scans: quantization.CalibrationDataReader) -> bytes:
    """Return the graph of the shipped network in whole numbers of 8 bits.

    Args:
        scans: that the ranges of activations are measured on.
    """
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        plain, ready, light = (
            Path(folder) / f"{name}.onnx" for name in ("plain", "ready", "light")
        )
        model = model_with_weights(load_hybrid_network())
        plain.write_bytes(model.SerializeToString())
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        quantization.quantize_static(
            ready,
            light,
            scans,
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED,
            nodes_to_exclude=_last_convolutions(ready),
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
        )
        return light.read_bytes()


def _last_convolutions(path: Path) -> list[str]:
    """Return the names of the nodes that give reconstruction and logit."""
    import onnx

    model: Any = onnx.load(path)
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    return convolutions[-1:]


if __name__ == "__main__":
    typer.run(main)
