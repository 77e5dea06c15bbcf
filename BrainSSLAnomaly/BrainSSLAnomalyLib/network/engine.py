"""What runs the anomaly network on slices: ONNX Runtime on a processor, PyTorch on a GPU."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.settings import ExplanationStage


class SliceOutput(NamedTuple):
    """Hold the output for b slices and m modalities in the order of `CHANNELS`, float32.

    Attributes:
        reconstruction: (b, m, j, i) the healthy slices.
        anomaly: (b, 1, j, i) logit of being anomalous.
        patches: (b, embedding, h, w) unit-length embedding of every patch of `multiple` voxels a
            side.
        scan: (b, embedding) unit-length embedding of each slice.
    """

    reconstruction: NDArray[np.float32]
    anomaly: NDArray[np.float32]
    patches: NDArray[np.float32]
    scan: NDArray[np.float32]


class SliceEngine(Protocol):
    """Run the anomaly network on slices.

    All slices are (b, m, j, i) float32 with all `CHANNELS`, j and i multiples of `multiple`;
    ``present`` is (m,) with 1 for the modalities that are there, else 0.

    Attributes:
        multiple: the edge of a patch, in voxels.
    """

    @property
    def multiple(self) -> int:
        """Return the edge of a patch, in voxels."""

    def predict(self, slices: NDArray[np.float32], present: NDArray[np.float32]) -> SliceOutput:
        """Return the output of the network."""

    def explain(
        self,
        slices: NDArray[np.float32],
        present: NDArray[np.float32],
        weight: NDArray[np.float32],
        stage: ExplanationStage,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the features of a stage, and the gradient of the target's mean logit by them.

        Args:
            slices: as for `predict`.
            present: as for `predict`.
            weight: (b, 1, j, i), of each voxel in the target.
            stage: of the network.

        Returns:
            Two (b, c, h, w).
        """

    def attention(
        self, slices: NDArray[np.float32], present: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the share of attention that each patch gives to each, (b, patches, patches).

        It is that of the last layer of the transformer, mean over its heads; rows sum to 1.
        """
