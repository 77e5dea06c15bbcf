"""Contrastive tasks: two views of one patient belong together, others do not.

SimCLR's NT-Xent (Chen et al., ICML 2020) is MONAI's; MoCo (He et al., CVPR 2020) adds a slow copy
of the encoder and a queue.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def nt_xent(one: Tensor, other: Tensor, temperature: float = 0.2) -> Tensor:
    """Return the NT-Xent loss of a batch of pairs.

    Args:
        one: (b, e) embeddings.
        other: (b, e) embeddings; equal rows belong together.
        temperature: of the similarities.
    """
    from monai.losses import ContrastiveLoss

    loss: Tensor = ContrastiveLoss(temperature)(one.float(), other.float())
    return loss


class Queue(nn.Module):
    """Embeddings of earlier batches, which a scan is to differ from."""

    kept: Tensor
    next: Tensor

    def __init__(self, embedding: int, size: int = 1024) -> None:
        """Fill the queue with random embeddings.

        Args:
            embedding: length.
            size: embeddings kept.
        """
        super().__init__()
        start = functional.normalize(torch.randn(size, embedding), dim=1)
        self.register_buffer("kept", start)
        self.register_buffer("next", torch.zeros((), dtype=torch.int64))

    def loss(self, query: Tensor, key: Tensor, temperature: float = 0.2) -> Tensor:
        """Return the InfoNCE of queries against keys and queue, which then takes the keys in.

        Args:
            query: (b, e) unit-length embeddings.
            key: (b, e) of the slow encoder, other views of the same patients; no gradient flows
                into it.
            temperature: of the similarities.
        """
        query, key = query.float(), key.detach().float()
        logits = (
            torch.cat([(query * key).sum(1, keepdim=True), query @ self.kept.clone().T], 1)
            / temperature
        )
        size = self.kept.shape[0]
        at = (self.next + torch.arange(len(key), device=key.device)) % size
        self.kept[at] = key
        self.next.add_(len(key)).remainder_(size)
        return functional.cross_entropy(
            logits, torch.zeros(len(query), dtype=torch.int64, device=query.device)
        )
