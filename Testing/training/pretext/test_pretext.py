"""Pretext tasks change images as their labels state."""

from __future__ import annotations

from support.packages import need_network

torch = need_network()

from support.training_heads import seeded

from training.pretext.contrastive import Queue, nt_xent
from training.pretext.masked import mask_blocks
from training.pretext.rotation import rotate
from training.pretext.shuffle import ORDERS, shuffle_quarters


def test_pretext_tasks_change_the_images_as_their_labels_state():
    images = torch.randn((6, 2, 32, 32), generator=seeded(0))
    emptied, empty = mask_blocks(images, seeded(1), share=1.0)
    gone = empty.expand_as(images) > 0
    assert (emptied[gone] == 0).all() and torch.equal(emptied[~gone], images[~gone])
    turned, turns = rotate(images, seeded(2))
    assert all(
        torch.equal(t.rot90(-int(n), (-2, -1)), x)
        for t, n, x in zip(turned, turns, images, strict=True)
    )
    mixed, orders = shuffle_quarters(images, seeded(3))
    assert len(ORDERS) == 24 and all(
        torch.equal(m, x) == (int(n) == 0) for m, n, x in zip(mixed, orders, images, strict=True)
    )


def test_contrastive_losses_are_lower_for_pairs_that_agree():
    one = torch.nn.functional.normalize(torch.randn((8, 16), generator=seeded(0)), dim=1)
    assert float(nt_xent(one, one)) < float(nt_xent(one, one.roll(1, 0)))
    torch.manual_seed(0)
    queue = Queue(16, size=12)
    agreeing = float(queue.loss(one, one))
    assert torch.equal(queue.kept[:8], one) and agreeing < float(queue.loss(one, -one))
