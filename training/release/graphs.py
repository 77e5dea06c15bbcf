"""The graphs for ONNX Runtime: ``python -m training.release.graphs``.

They are made from the two bundles, and hold no weights: ONNX Runtime gets these from the bundle's
safetensors. One graph predicts, one gives the transformer's attention, and one for each stage gives
its features with the gradient of a finding's mean logit by them, that is, the network's backward
pass. Make them anew after every change of a network; new weights alone need no new graphs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import onnx
import torch
import typer
from BrainSSLAnomalyLib.core.files import sha256, write_bytes
from BrainSSLAnomalyLib.core.resources import read_json
from BrainSSLAnomalyLib.core.settings import ExplanationStage
from BrainSSLAnomalyLib.network.anatomy import BUNDLE as ANATOMY_BUNDLE
from BrainSSLAnomalyLib.network.anatomy import GRAPH as ANATOMY_GRAPH
from BrainSSLAnomalyLib.network.anatomy_network import AnatomyNetwork, load_anatomy_network
from BrainSSLAnomalyLib.network.bundle import GRAPHS, METADATA, graph_path
from BrainSSLAnomalyLib.network.hybrid import HybridNetwork
from BrainSSLAnomalyLib.network.model import BUNDLE as ANOMALY_BUNDLE
from BrainSSLAnomalyLib.network.model import load_hybrid_network
from BrainSSLAnomalyLib.network.onnx_engine import ATTENTION_GRAPH, PREDICT_GRAPH, explain_graph
from BrainSSLAnomalyLib.network.torch_engine import attention_shares, features_and_gradient
from BrainSSLAnomalyLib.preparation.parcellation import WINDOW
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from .bundle import RESOURCES, update_metadata

OPSET = 18
"""Version of ONNX's operators; ONNX Runtime knows it since 1.14."""

OUTSIDE = "weights"
"""What the graphs name as the file of their weights, which are handed over instead."""

PREDICTIONS = ["reconstruction", "anomaly", "patches", "scan"]
"""Outputs of the graph that predicts, in the order of `SliceOutput`."""

SHAPE = (7, 5, 80, 144)
"""Of the slices that are traced; other sizes than those of the weights, so that none is mistaken
for one of theirs."""


def main(resources: Path = RESOURCES) -> None:
    """Make all graphs anew, and describe them in the metadata."""
    anomaly, anatomy = load_hybrid_network(), load_anatomy_network()
    write_graphs(resources / ANOMALY_BUNDLE, anomaly_graphs(anomaly), fold(anomaly))
    write_graphs(resources / ANATOMY_BUNDLE, {ANATOMY_GRAPH: anatomy_graph(anatomy)}, anatomy)


def write_graphs(bundle: Path, graphs: Mapping[str, onnx.ModelProto], network: nn.Module) -> None:
    """Write graphs into a bundle, with SHA-256 and the weights that they do not use.

    Args:
        bundle: its folder.
        graphs: by name, without weights.
        network: whose weights they use.
    """
    weights = [name for name, value in network.state_dict().items() if value.is_floating_point()]
    entries = {}
    for name, graph in graphs.items():
        target = bundle.joinpath(*graph_path(name))
        write_bytes(target, graph.SerializeToString(deterministic=True))
        used = {tensor.name for tensor in graph.graph.initializer}
        unused = [weight for weight in weights if weight not in used]
        entries[name] = {"sha256": sha256(target), "unused": unused}
        typer.echo(f"{target.name}: {target.stat().st_size / 1024:.0f} KiB")
    add_graphs(bundle, entries)


def add_graphs(bundle: Path, entries: Mapping[str, Any]) -> None:
    """Put entries of graphs into the metadata of a bundle, beside those of other graphs."""
    known = read_json(bundle.joinpath(*METADATA)).get(GRAPHS, {})
    update_metadata(bundle, **{GRAPHS: {**known, **entries}})


def anomaly_graphs(network: HybridNetwork) -> dict[str, onnx.ModelProto]:
    """Return every graph of the anomaly network by name.

    Args:
        network: in evaluation mode.
    """
    folded = fold(network)
    graphs = {
        PREDICT_GRAPH: _forward_graph(_Predict(folded), PREDICTIONS),
        ATTENTION_GRAPH: _forward_graph(_Attention(folded), ["shares"]),
    }
    for stage in ExplanationStage:
        graphs[explain_graph(stage)] = _explain_graph(folded, stage)
    return graphs


def fold(network: HybridNetwork) -> HybridNetwork:
    """Return a copy whose convolutions do the work of their batch normalisation.

    Its weights have the names of `BrainSSLAnomalyLib.network.folding.fold_batch_norm`.
    """
    folded = copy.deepcopy(network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for block in [*folded.encoder, *folded.decoder]:
        for number in "123":
            convolution = getattr(block, f"conv{number}", None)
            norm = getattr(block, f"norm{number}", None)
            if isinstance(norm, nn.BatchNorm2d) and convolution is not None:
                convolution.conv = nn.utils.fusion.fuse_conv_bn_eval(convolution.conv, norm)
                setattr(block, f"norm{number}", nn.Identity())
    for parameter in folded.parameters():
        parameter.requires_grad_(False)
    result: HybridNetwork = folded.eval()
    return result


class _Predict(nn.Module):
    def __init__(self, network: HybridNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        out = self.network(images, present)
        return out.reconstruction, out.anomaly, out.patches, out.scan


class _Attention(nn.Module):
    def __init__(self, network: HybridNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, present: Tensor) -> Tensor:
        return attention_shares(self.network, images, present)


class _Anatomy(nn.Module):
    def __init__(self, network: AnatomyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, scan: Tensor) -> Tensor:
        logits: Tensor = self.network(scan)
        return logits.softmax(1)


def anatomy_graph(network: AnatomyNetwork) -> onnx.ModelProto:
    """Return the graph of the anatomy network, for the window that preparation gives it.

    One size alone: MONAI's U-Net pads odd sizes, which a graph for any size would not.
    """
    module = _Anatomy(network).eval()
    return _export(module, (torch.rand(1, 1, *WINDOW),), {"scan": {}}, ["probability"])


def _example() -> tuple[Tensor, Tensor, Tensor]:
    present = torch.zeros(SHAPE[0], SHAPE[1])
    present[:, 0] = 1
    return torch.randn(SHAPE), present, (torch.rand(SHAPE[0], 1, *SHAPE[2:]) > 0.9).float()


def _free_axes(*names: str) -> dict[str, dict[int, Any]]:
    free = torch.export.Dim.DYNAMIC
    return {n: {0: free} if n == "present" else {0: free, 2: free, 3: free} for n in names}


def _forward_graph(module: nn.Module, outputs: list[str]) -> onnx.ModelProto:
    return _export(module.eval(), _example()[:2], _free_axes("images", "present"), outputs)


def _explain_graph(network: HybridNetwork, stage: ExplanationStage) -> onnx.ModelProto:
    """Return the graph of the features of a stage and the gradient by them.

    Forward and backward pass are traced together into plain operations.
    """

    def explain(images: Tensor, present: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return features_and_gradient(network, images, present, weight, stage)

    with _plain_upsampling():
        traced = make_fx(
            explain,
            decomposition_table=_plain_gradients(),
            tracing_mode="symbolic",
            _allow_non_fake_inputs=True,
        )(*_example())
    traced.graph.eliminate_dead_code()
    traced.recompile()
    inputs = dict(
        zip(_placeholders(traced), _free_axes("images", "present", "weight").values(), strict=True)
    )
    return _export(
        traced,
        _example(),
        inputs,
        ["features", "gradient"],
        input_names=["images", "present", "weight"],
        names=_traced_names(traced, network),
    )


def _placeholders(traced: torch.fx.GraphModule) -> list[str]:
    return [node.name for node in traced.graph.nodes if node.op == "placeholder"]


def _traced_names(traced: torch.fx.GraphModule, network: nn.Module) -> dict[str, str]:
    """Return the name in the network of every weight that tracing has given a number."""
    known = {value.data_ptr(): name for name, value in network.state_dict().items()}
    attributes = [str(node.target) for node in traced.graph.nodes if node.op == "get_attr"]
    tensors = {name: getattr(traced, name) for name in attributes}
    return {n: known[t.data_ptr()] for n, t in tensors.items() if t.data_ptr() in known}


@contextmanager
def _plain_upsampling() -> Iterator[None]:
    """Repeat voxels by views: the gradient of ``interpolate`` has no ONNX operation."""

    def double(x: Tensor, **_: Any) -> Tensor:
        b, c, h, w = x.shape
        repeated = x[:, :, :, None, :, None].expand(b, c, h, 2, w, 2)
        return repeated.reshape(b, c, 2 * h, 2 * w)

    with mock.patch.object(nn.functional, "interpolate", double):
        yield


def _plain_gradients() -> dict[Any, Any]:
    """Return how operations of the backward pass become those that ONNX has."""
    from torch._decomp import get_decompositions

    aten = torch.ops.aten

    def convolution_backward(
        gradient: Tensor,
        _taken: Tensor,
        kernel: Tensor,
        _bias: Any,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
        _transposed: bool,
        _output_padding: list[int],
        groups: int,
        _wanted: list[bool],
    ) -> tuple[Tensor, None, None]:
        more = [s - 1 for s in stride]  # sizes are even: with a stride of 2 one voxel is missing
        back = aten.convolution(
            gradient, kernel, None, stride, padding, dilation, True, more, groups
        )
        return back, None, None

    plain = get_decompositions(
        [
            aten.native_layer_norm_backward,
            aten._softmax_backward_data,
            aten.gelu_backward,
            aten.threshold_backward,
            aten.slice_backward,
            aten.select_backward,
            aten.new_zeros,
            aten.detach,
        ]
    )
    return {**plain, aten.convolution_backward.default: convolution_backward}


def model_with_weights(network: HybridNetwork) -> onnx.ModelProto:
    """Return the graph that predicts, simplified, with its weights."""
    module = _Predict(fold(network)).eval()
    program = _program(
        module, _example()[:2], _free_axes("images", "present"), PREDICTIONS, is_simplified=True
    )
    return program.model_proto


def _export(
    module: nn.Module,
    example: tuple[Tensor, ...],
    free_axes: Mapping[str, Mapping[int, Any]],
    outputs: list[str],
    *,
    input_names: list[str] | None = None,
    names: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Return the graph of a module, without its weights."""
    program = _program(module, example, free_axes, outputs, input_names=input_names)
    return _without_weights(program.model_proto, names or {})


def _program(
    module: nn.Module,
    example: tuple[Tensor, ...],
    free_axes: Mapping[str, Mapping[int, Any]],
    outputs: list[str],
    *,
    input_names: list[str] | None = None,
    is_simplified: bool = False,
) -> torch.onnx.ONNXProgram:
    with torch.no_grad():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            dynamic_shapes=dict(free_axes),
            input_names=input_names or list(free_axes),
            output_names=outputs,
            opset_version=OPSET,
            optimize=is_simplified,
            verbose=False,
        )
    assert program is not None
    return program


def _without_weights(model: onnx.ModelProto, names: Mapping[str, str]) -> onnx.ModelProto:
    """Return the model with its weights outside, under the names of the bundle.

    Args:
        model: with its weights.
        names: of weights in the bundle by their names in the model, where tracing has changed them.
    """
    renamed = {}
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or not tensor.dims:
            continue
        name = names.get(tensor.name, tensor.name.removeprefix("network."))
        renamed[tensor.name] = name
        kept = onnx.TensorProto(
            name=name,
            dims=tensor.dims,
            data_type=tensor.data_type,
            data_location=onnx.TensorProto.EXTERNAL,
        )
        kept.external_data.add(key="location", value=OUTSIDE)
        tensor.CopyFrom(kept)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
        node.ClearField("doc_string")
        del node.metadata_props[:]
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    return model


if __name__ == "__main__":
    typer.run(main)
