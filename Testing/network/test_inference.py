"""Predictions of slices come back in their place."""

from __future__ import annotations

from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.network.hybrid import CHANNELS
from BrainSSLAnomalyLib.network.inference import IDENTITY, MIRROR, predict_volume
from support.training_heads import seeded


def test_slices_come_back_in_their_place_in_every_orientation_and_one_prediction_has_no_spread():
    class Echo(torch.nn.Module):
        multiple = 2

        def __init__(self):
            super().__init__()
            self.device = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images, present):
            from BrainSSLAnomalyLib.network.hybrid import NetworkOutput

            return NetworkOutput(
                images, images, images[:, :1], images, torch.ones((len(images), 4)), images
            )

    volume = torch.randn((len(CHANNELS), 5, 6, 7), generator=seeded(0)).numpy()
    present = torch.ones(len(CHANNELS)).numpy()
    for axes, augmentations in (((0,), (IDENTITY,)), ((0, 1, 2), (IDENTITY, MIRROR))):
        predicted = predict_volume(
            Echo(),  # type: ignore[arg-type]
            volume,
            present,
            axes,
            augmentations=augmentations,
            batch=2,
        )
        assert abs(predicted.reconstruction - volume).max() < 1e-5
        assert abs(predicted.anomaly - volume[0]).max() < 1e-5 and predicted.spread.max() < 1e-2
