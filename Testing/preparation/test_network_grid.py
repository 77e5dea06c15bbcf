"""The grid of the network leads there and back."""

from __future__ import annotations

import numpy as np
from BrainSSLAnomalyLib.core.grid import Grid
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.study import Modality, Volume
from BrainSSLAnomalyLib.preparation.network_grid import network_input
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

FLAIR, T1 = Modality.FLAIR, Modality.T1


class Prepared:
    """What `network_input` needs of a prepared study: an ellipsoid of smooth noise."""

    def __init__(self, affine: np.ndarray, shape: tuple[int, int, int]) -> None:
        places = np.indices(shape).reshape(3, -1)[::-1]
        world = affine[:3, :3] @ places + affine[:3, 3:]
        world -= world.mean(1, keepdims=True)
        axes = np.array([[26.0], [30.0], [24.0]])
        self.brain = (np.square(world / axes).sum(0) < 1).reshape(shape)
        x, y, z = world.reshape(3, *shape)
        image = (np.sin(x / 9) + 2 * np.cos(y / 11) + z / 10).astype(np.float32)
        self.images = {FLAIR: image, T1: -image}
        self.box_grid = Grid(shape, affine)

    def box_volume(self, array: np.ndarray) -> Volume:
        return Volume(np.asarray(array, np.float32), self.box_grid.affine)


@settings(max_examples=12, deadline=None)
@given(st.permutations(range(3)), st.tuples(*[st.sampled_from([-1, 1])] * 3), st.floats(0.9, 1.4))
def test_there_and_back_is_the_same_in_every_order_of_axes(order, signs, spacing):
    affine = np.eye(4)
    affine[:3, :3] = (np.diag(signs) * spacing)[:, order]
    study = Prepared(affine, (70, 70, 70))
    given_to_network = network_input(study)
    image = Volume(given_to_network.images[FLAIR], given_to_network.affine)
    assert np.allclose(image.affine[:3, :3], np.eye(3))
    inner = ndimage.binary_erosion(study.brain, iterations=4)
    back = resample(image, study.box_grid)
    assert np.abs(back - study.images[FLAIR])[inner].max() < 0.05
    brain = resample(study.box_volume(study.brain), image.grid) > 0.5
    assert not image.array[~brain].any()


def test_only_the_chosen_modalities_are_given_and_only_across_sharp_slices():
    thick = np.diag([1.0, 1.0, 6.0, 1.0])
    one = network_input(Prepared(thick, (12, 70, 70)), (T1,))
    assert set(one.images) == {T1} and one.axes == (0,)
    assert network_input(Prepared(np.eye(4), (60, 70, 66))).axes == (0, 1, 2)
    blurred = np.diag([6.0, 6.0, 6.0, 1.0])
    assert network_input(Prepared(blurred, (12, 12, 12))).axes  # never none
