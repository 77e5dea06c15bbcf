"""The anatomy network in PyTorch: it learns there, and runs there on a GPU."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.anatomy import STRUCTURE_SPACING_MM, Structure
from .anatomy import BUNDLE, WindowPredictor
from .bundle import load_weights

FINE = 12
"""Features of each voxel that the coarse network gives to the fine grid."""


class AnatomyNetwork(nn.Module):
    """Segment brain structures in a scan of any contrast.

    MONAI's U-Net (Ronneberger et al., MICCAI 2015) on a grid of 4 mm, into whose channels the 2 mm
    voxels are folded, and one convolution beside the scan itself back to 2 mm: far quicker than a
    U-Net at 2 mm. A second channel holds how far to the right of the middle every voxel lies, since
    nothing else distinguishes left from right. Instance normalisation; 1.9 M weights.
    """

    def __init__(self) -> None:
        from monai.networks.blocks import Convolution, SubpixelUpsample
        from monai.networks.nets import BasicUNet

        super().__init__()
        self.body = BasicUNet(
            3, 9, 8 * FINE, features=(32, 32, 64, 80, 96, 32), upsample="nontrainable"
        )
        self.fine = SubpixelUpsample(3, 8 * FINE, FINE, conv_block=None, apply_pad_pool=False)
        self.last = Convolution(3, FINE + 1, 16, kernel_size=3, act="LEAKYRELU", norm="INSTANCE")
        self.logits = nn.Conv3d(16, len(Structure), 1)

    def forward(self, scan: Tensor) -> Tensor:
        """Return the logits of each `Structure`.

        Args:
            scan: (b, 1, k, j, i) with its median near 1; axes are multiples of 16, at least 64.

        Returns:
            (b, 18, k, j, i).
        """
        folded = torch.cat(
            [scan[:, :, a::2, b::2, c::2] for a in (0, 1) for b in (0, 1) for c in (0, 1)], 1
        )
        width = folded.shape[-1]
        position = torch.arange(width, device=scan.device, dtype=scan.dtype)
        right = (position - (width - 1) / 2) * 2 * STRUCTURE_SPACING_MM / 100
        coarse = self.body(torch.cat([folded, right.expand_as(folded[:, :1])], 1))
        logits: Tensor = self.logits(self.last(torch.cat([self.fine(coarse), scan], 1)))
        return logits


def load_anatomy_network(bundle: str = BUNDLE) -> AnatomyNetwork:
    """Return the shipped network in evaluation mode.

    Raises:
        DamagedModel: the installation is incomplete, or the weights are not those of the bundle.
    """
    network = AnatomyNetwork()
    load_weights(network, bundle)
    return network.eval()


def torch_predictor(network: nn.Module) -> WindowPredictor:
    """Return the network as a function of arrays, on its own device.

    Returns:
        Function from a window (k, j, i) whose axes fit the network to (18, k, j, i) probabilities
        of every `Structure`.
    """
    device = next(network.parameters()).device

    def predict(window: NDArray[np.float32]) -> NDArray[np.float32]:
        scan = torch.from_numpy(np.ascontiguousarray(window, np.float32)).to(device)
        with torch.inference_mode():
            logits = network(scan[None, None])[0]
            probability: NDArray[np.float32] = logits.softmax(0).cpu().numpy()
        return probability

    return predict
