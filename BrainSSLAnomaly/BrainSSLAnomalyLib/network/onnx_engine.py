"""The anomaly network by ONNX Runtime, on the processor.

The graphs hold no weights: these come from the bundle's safetensors, so that both engines run the
same ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.settings import ExplanationStage
from .bundle import Graph, load_arrays, load_graph
from .engine import SliceOutput
from .folding import fold_batch_norm

PREDICT_GRAPH = "predict"
LIGHT_GRAPH = "light"
"""That of the light network, in whole numbers of 8 bits, with its own weights."""

ATTENTION_GRAPH = "attention"


def explain_graph(stage: ExplanationStage) -> str:
    """Return the name of the graph that explains by the features of a stage."""
    return f"explain_{stage.value}"


class OnnxEngine:
    """Run the anomaly network of a bundle by ONNX Runtime; see `SliceEngine`.

    Args:
        bundle: name of the folder in ``Resources``.
        multiple: the edge of a patch, in voxels.
        threads: to use; all that there are if 0.
        graph: name of the graph that predicts.
    """

    def __init__(
        self, bundle: str, multiple: int, *, threads: int = 0, graph: str = PREDICT_GRAPH
    ) -> None:
        self._bundle, self._threads = bundle, threads
        self._multiple = multiple
        self._weights = fold_batch_norm(load_arrays(bundle))
        self._sessions: dict[str, Any] = {}
        self._predict_graph = graph
        self._session(graph)  # a damaged bundle is found before any scan is prepared

    @property
    def multiple(self) -> int:
        """Return the edge of a patch, in voxels."""
        return self._multiple

    def predict(self, slices: NDArray[np.float32], present: NDArray[np.float32]) -> SliceOutput:
        """Return the output of the network; see `SliceEngine`."""
        return SliceOutput(*self._run(self._predict_graph, slices, present))

    def explain(
        self,
        slices: NDArray[np.float32],
        present: NDArray[np.float32],
        weight: NDArray[np.float32],
        stage: ExplanationStage,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return features and gradient; see `SliceEngine`."""
        features, gradient = self._run(explain_graph(stage), slices, present, weight)
        return features, gradient

    def attention(
        self, slices: NDArray[np.float32], present: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the shares of attention; see `SliceEngine`."""
        (shares,) = self._run(ATTENTION_GRAPH, slices, present)
        return shares

    def _run(
        self,
        graph: str,
        slices: NDArray[np.float32],
        present: NDArray[np.float32],
        weight: NDArray[np.float32] | None = None,
    ) -> list[NDArray[np.float32]]:
        feed = {
            "images": np.ascontiguousarray(slices, np.float32),
            "present": np.tile(np.asarray(present, np.float32), (len(slices), 1)),
        }
        if weight is not None:
            feed["weight"] = np.ascontiguousarray(weight, np.float32)
        found: list[NDArray[np.float32]] = self._session(graph).run(None, feed)
        return found

    def _session(self, graph: str) -> Any:
        if graph not in self._sessions:
            found = load_graph(self._bundle, graph)
            self._sessions[graph] = open_session(found, self._weights, threads=self._threads)
        return self._sessions[graph]


def open_session(
    graph: Graph, weights: Mapping[str, NDArray[np.float32]], *, threads: int = 0
) -> Any:
    """Return an ONNX Runtime session of a graph.

    Args:
        graph: from a bundle.
        weights: of the bundle, by name, for graphs whose weights lie outside.
        threads: to use; if 0, ``OMP_NUM_THREADS``, else all that there are.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _threads_of_environment()
    # Threads that wait would keep a core busy that another process needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the most memory of each graph
    options.log_severity_level = 3  # errors alone
    if graph.unused is not None:
        used = [name for name in weights if name not in graph.unused]
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(weights[name]) for name in used]
        options.add_external_initializers(used, values)
    return onnxruntime.InferenceSession(graph.content, options, providers=["CPUExecutionProvider"])


def _threads_of_environment() -> int:
    """Return ``OMP_NUM_THREADS``, which ONNX Runtime itself ignores; 0 where it says nothing."""
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdigit() else 0
