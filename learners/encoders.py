"""From a history to a user vector. S sequences, H slots, D numbers.

The ring of recent items is authoritative: every encoder computes its vector from the history it is given,
so a vector never has to be stored, moved or repaired.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_AGE_BUCKETS = 32
_AGE_UNIT_S = 30.0


def age_bucket(age_s: Tensor) -> Tensor:
    """Logarithmic age: bucket n holds ages around 30 s * 2^n; (S, H) to (S, H)."""
    return torch.log2(1.0 + age_s.clamp(min=0.0) / _AGE_UNIT_S).long().clamp(max=_AGE_BUCKETS - 1)


class Encoder(nn.Module):
    """What is common to encoders: slots as item vector + age + event type.

    Args:
        dimension: D.
        event_types: How many event types there are.
    """

    def __init__(self, dimension: int, event_types: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.age = nn.Embedding(_AGE_BUCKETS, dimension)
        self.event_type = nn.Embedding(event_types, dimension)
        nn.init.normal_(self.age.weight, std=0.05)
        nn.init.normal_(self.event_type.weight, std=0.05)

    def forward(self, items: Tensor, types: Tensor, age_s: Tensor, mask: Tensor) -> Tensor:
        """User vectors.

        Args:
            items: (S, H, D) vectors of the history's items, oldest first.
            types: (S, H) event types.
            age_s: (S, H) seconds before the moment.
            mask: (S, H) filled slots; they stand at the right end.

        Returns:
            (S, D); zero where a history is empty.
        """
        slots = items + self.age(age_bucket(age_s)) + self.event_type(types)
        vectors = self.encode(slots * mask.unsqueeze(-1), mask)
        return vectors * mask.any(dim=1, keepdim=True)

    def encode(self, slots: Tensor, mask: Tensor) -> Tensor:
        """From slots (S, H, D) and mask (S, H) to vectors (S, D)."""
        raise NotImplementedError


class AttentionEncoder(Encoder):
    """The newest slot asks, all slots answer; a small network mixes answer, newest slot and mean.

    One-query attention (Vaswani et al., 2017, arXiv:1706.03762, reduced to the last position), after
    STAMP's idea of pairing long and last interest (Liu et al., KDD 2018).
    """

    def __init__(self, dimension: int, event_types: int) -> None:
        super().__init__(dimension, event_types)
        self.query = nn.Linear(dimension, dimension)
        self.key = nn.Linear(dimension, dimension, bias=False)
        self.mix = nn.Sequential(
            nn.Linear(3 * dimension, 2 * dimension), nn.SiLU(), nn.Linear(2 * dimension, dimension)
        )

    def encode(self, slots: Tensor, mask: Tensor) -> Tensor:
        """See `Encoder`."""
        newest = slots[:, -1]  # (S, D)
        # q.(Wk s) = (q Wk).s: one small product instead of one over all H slots
        query = self.query(newest) @ self.key.weight  # (S, D)
        attention = torch.einsum("shd,sd->sh", slots, query) / self.dimension**0.5
        attention = attention.masked_fill(~mask, -1e9).softmax(dim=1)  # (S, H)
        answer = torch.einsum("sh,shd->sd", attention, slots)
        mean = slots.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        vectors: Tensor = answer + self.mix(torch.cat([answer, newest, mean], dim=1))
        return vectors


class GruEncoder(Encoder):
    """A gated recurrent unit over the slots (Hidasi et al., 2016, arXiv:1511.06939)."""

    def __init__(self, dimension: int, event_types: int) -> None:
        super().__init__(dimension, event_types)
        # without biases a state of zero stays zero over empty slots, however many there are
        self.cell = nn.GRU(dimension, dimension, bias=False, batch_first=True)
        self.out = nn.Linear(dimension, dimension)

    def encode(self, slots: Tensor, mask: Tensor) -> Tensor:
        """See `Encoder`."""
        del mask  # empty slots are zero and come first
        states, _ = self.cell(slots)
        last: Tensor = slots[:, -1] + self.out(states[:, -1])
        return last


class MixedEncoder(Encoder):
    """The sum of attention and GRU over the same slots."""

    def __init__(self, dimension: int, event_types: int) -> None:
        super().__init__(dimension, event_types)
        self.attention = AttentionEncoder(dimension, event_types)
        self.gru = GruEncoder(dimension, event_types)

    def encode(self, slots: Tensor, mask: Tensor) -> Tensor:
        """See `Encoder`."""
        return self.attention.encode(slots, mask) + self.gru.encode(slots, mask)


ENCODERS: dict[str, type[Encoder]] = {
    "attention": AttentionEncoder,
    "gru": GruEncoder,
    "mixed": MixedEncoder,
}
