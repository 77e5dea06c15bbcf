"""The network that sees, in one scan of any contrast, where the brain is and which structure every voxel belongs to."""

from __future__ import annotations

from enum import IntEnum

from torch import nn

SPACING_MM = 2.0
"""Edge of the cubic voxels it works on."""


class Structure(IntEnum):
    """What a voxel is. Even codes are left, odd codes the same on the right; 0 and 1, 16 and 17 have no side."""

    OUTSIDE = 0
    CSF = 1
    LEFT_WHITE = 2
    RIGHT_WHITE = 3
    LEFT_CORTEX = 4
    RIGHT_CORTEX = 5
    LEFT_STRIATUM = 6
    RIGHT_STRIATUM = 7
    LEFT_THALAMUS = 8
    RIGHT_THALAMUS = 9
    LEFT_HIPPOCAMPUS = 10  # with amygdala
    RIGHT_HIPPOCAMPUS = 11
    LEFT_VENTRICLE = 12
    RIGHT_VENTRICLE = 13
    LEFT_CEREBELLUM = 14
    RIGHT_CEREBELLUM = 15
    MIDLINE_VENTRICLES = 16
    BRAINSTEM = 17


def anatomy_network() -> nn.Module:
    """(b, 1, k, j, i) scan with its median at 1 → (b, 18, k, j, i) logits of `Structure`; axes are multiples of 16.

    A small U-Net of MONAI's (Ronneberger et al., MICCAI 2015), 1.9 M weights, with instance normalisation: every scan on its own.
    """
    from monai.networks.nets import BasicUNet

    return BasicUNet(3, 1, len(Structure), features=(12, 24, 48, 80, 128, 12), upsample="nontrainable")
