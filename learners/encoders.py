"""From a history to a user vector. S sequences, H slots, F context fields, D numbers.

The ring of recent items is authoritative: every encoder computes its vector from the history it is given,
so a vector never has to be stored, moved or repaired.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learners.context_fields import ABSENT_BUCKET
from learners.slot_traits import SumOfRows, trait_rows
from learners.state_arrays import Arrays

_TRAIT_SCALE = 0.05
_FORMER_NAMES = (".age.weight", ".hour.weight", ".weekday.weight", ".session.weight", ".event_type.weight")
_PLACES = 256


def with_traits(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Saved parameters and their moments as they are now: earlier versions had a table for each trait."""
    found = {name: array for name, array in arrays.items() if not name.endswith(_FORMER_NAMES)}
    for name in arrays:
        if name.endswith(_FORMER_NAMES[0]):
            place = name.removesuffix(_FORMER_NAMES[0])
            tables = [arrays[place + former] for former in _FORMER_NAMES]
            found[f"{place}.traits"] = np.concatenate(tables) if tables[0].ndim else tables[0]
    return found


class Encoder(nn.Module):
    """What is common to encoders: what a slot is made of.

    Item vector + what its traits say (`slot_traits`) + what the event said of each declared context field. The last
    begins as nothing: a value that was never met changes no vector.

    Args:
        dimension: D.
        event_types: How many event types there are.
        context_buckets: Into how many buckets the values of context fields are hashed; 0 where none is declared.
    """

    def __init__(self, dimension: int, event_types: int, context_buckets: int = 0) -> None:
        super().__init__()
        self.dimension = dimension
        self.traits = nn.Parameter(torch.randn(trait_rows(event_types), dimension) * _TRAIT_SCALE)
        self.context: nn.Embedding | None = None
        if context_buckets:
            self.context = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]
                torch.zeros(context_buckets, dimension), freeze=False, padding_idx=ABSENT_BUCKET
            )

    def forward(self, items: Tensor, traits: Tensor, mask: Tensor, context: Tensor) -> Tensor:
        """User vectors.

        Args:
            items: (S, H, D) vectors of the history's items, oldest first.
            traits: (S, H, P) rows of what the slots say beside them.
            mask: (S, H) filled slots; they stand at the right end.
            context: (S, H, F) buckets of context fields, integers.

        Returns:
            (S, D); zero where a history is empty.
        """
        said: Tensor = SumOfRows.apply(traits.flatten(0, 1), self.traits)  # type: ignore[no-untyped-call]
        slots = items + said.view_as(items)
        if self.context is not None:
            slots = slots + self.context(context).sum(dim=2)
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

    def __init__(self, dimension: int, event_types: int, context_buckets: int = 0) -> None:
        super().__init__(dimension, event_types, context_buckets)
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
        attention = (slots @ query.unsqueeze(2)).squeeze(2) / self.dimension**0.5
        attention = attention.masked_fill(~mask, -1e9).softmax(dim=1)  # (S, H)
        answer = (attention.unsqueeze(1) @ slots).squeeze(1)
        mean = slots.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        vectors: Tensor = answer + self.mix(torch.cat([answer, newest, mean], dim=1))
        return vectors


class GruEncoder(Encoder):
    """A gated recurrent unit over the slots (Hidasi et al., 2016, arXiv:1511.06939)."""

    def __init__(self, dimension: int, event_types: int, context_buckets: int = 0) -> None:
        super().__init__(dimension, event_types, context_buckets)
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

    def __init__(self, dimension: int, event_types: int, context_buckets: int = 0) -> None:
        super().__init__(dimension, event_types, context_buckets)
        self.attention = AttentionEncoder(dimension, event_types)
        self.gru = GruEncoder(dimension, event_types)

    def encode(self, slots: Tensor, mask: Tensor) -> Tensor:
        """See `Encoder`."""
        return self.attention.encode(slots, mask) + self.gru.encode(slots, mask)


class SasRecEncoder(Encoder):
    """Self-attention over all slots, the newest one's output (Kang and McAuley, ICDM 2018, arXiv:1808.09781).

    A reference: one block with two heads, without dropout, trained in one pass like the others.
    """

    def __init__(self, dimension: int, event_types: int, context_buckets: int = 0) -> None:
        super().__init__(dimension, event_types, context_buckets)
        heads = 2 if dimension % 2 == 0 else 1
        self.block = nn.TransformerEncoderLayer(
            dimension, heads, 2 * dimension, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.place = nn.Embedding(_PLACES, dimension)
        nn.init.normal_(self.place.weight, std=0.05)

    def encode(self, slots: Tensor, mask: Tensor) -> Tensor:
        """See `Encoder`; slots are told apart by their distance from the newest one."""
        if not len(slots):
            return slots[:, -1]
        distance = torch.arange(slots.shape[1] - 1, -1, -1, device=slots.device).clamp(max=_PLACES - 1)
        padding = ~mask
        padding[:, -1] = (
            False  # an empty history attends to its last slot, which is zero, and is zeroed later
        )
        places = self.place(distance) * mask.unsqueeze(-1)
        states: Tensor = self.block(slots + places, src_key_padding_mask=padding)
        return states[:, -1]


ENCODERS: dict[str, type[Encoder]] = {
    "attention": AttentionEncoder,
    "gru": GruEncoder,
    "mixed": MixedEncoder,
    "sasrec": SasRecEncoder,
}
