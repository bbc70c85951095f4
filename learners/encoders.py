"""From a history to a user vector. S sequences, H slots, F context fields, D numbers.

The ring of recent items is authoritative: every encoder computes its vector from the history it is given,
so a vector never has to be stored, moved or repaired.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from learners.context_fields import ABSENT_BUCKET

_AGE_BUCKETS = 32
_AGE_UNIT_S = 30.0
_HOUR_S = 3_600.0
_SESSION_GAP_S = 1_800.0
_SESSION_PLACES = 16
_PLACES = 256


def age_bucket(age_s: Tensor) -> Tensor:
    """Logarithmic age: bucket n holds ages around 30 s * 2^n; (S, H) to (S, H)."""
    return torch.log2(1.0 + age_s.clamp(min=0.0) / _AGE_UNIT_S).long().clamp(max=_AGE_BUCKETS - 1)


def hour_and_weekday(moment_s: Tensor) -> tuple[Tensor, Tensor]:
    """Hours of the day (0 to 23) and days of the week (0 is Monday), UTC, of seconds since 1970 in float64."""
    hours = torch.floor(moment_s / _HOUR_S).long()
    return hours % 24, (hours // 24 + 3) % 7  # 1970 began on a Thursday


def session_place(age_s: Tensor, mask: Tensor) -> Tensor:
    """Place of each slot in its session, from 0; a session ends when nothing comes for half an hour.

    Args:
        age_s: (S, H) seconds before the moment, oldest first.
        mask: (S, H) filled slots, at the right end.

    Returns:
        (S, H) at most 15; 0 is where a session begins.
    """
    slots = torch.arange(age_s.shape[1], device=age_s.device).expand_as(age_s)
    begins = torch.ones_like(mask)
    begins[:, 1:] = ~mask[:, :-1] | (age_s[:, :-1] - age_s[:, 1:] > _SESSION_GAP_S)
    latest = torch.where(begins, slots, 0).cummax(dim=1).values
    return (slots - latest).clamp(max=_SESSION_PLACES - 1)


class Encoder(nn.Module):
    """What is common to encoders: what a slot is made of.

    Item vector + age + event type + time of day and week + place in session + what the event said of each declared
    context field. The last begins as nothing: a value that was never met changes no vector.

    Args:
        dimension: D.
        event_types: How many event types there are.
        context_buckets: Into how many buckets the values of context fields are hashed; 0 where none is declared.
    """

    def __init__(self, dimension: int, event_types: int, context_buckets: int = 0) -> None:
        super().__init__()
        self.dimension = dimension
        self.age = nn.Embedding(_AGE_BUCKETS, dimension)
        self.event_type = nn.Embedding(event_types, dimension)
        self.hour = nn.Embedding(24, dimension)
        self.weekday = nn.Embedding(7, dimension)
        self.session = nn.Embedding(_SESSION_PLACES, dimension)
        for table in (self.age, self.event_type, self.hour, self.weekday, self.session):
            nn.init.normal_(table.weight, std=0.05)
        self.context: nn.Embedding | None = None
        if context_buckets:
            self.context = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]
                torch.zeros(context_buckets, dimension), freeze=False, padding_idx=ABSENT_BUCKET
            )

    def forward(
        self, items: Tensor, types: Tensor, age_s: Tensor, now_s: Tensor, mask: Tensor, context: Tensor
    ) -> Tensor:
        """User vectors.

        Args:
            items: (S, H, D) vectors of the history's items, oldest first.
            types: (S, H) event types.
            age_s: (S, H) seconds before the moment.
            now_s: (S,) the moments, seconds since 1970 in float64.
            mask: (S, H) filled slots; they stand at the right end.
            context: (S, H, F) buckets of context fields, integers.

        Returns:
            (S, D); zero where a history is empty.
        """
        hour, weekday = hour_and_weekday(now_s[:, None] - age_s)
        slots = items + self.age(age_bucket(age_s)) + self.event_type(types)
        slots = slots + self.hour(hour) + self.weekday(weekday) + self.session(session_place(age_s, mask))
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
        attention = torch.einsum("shd,sd->sh", slots, query) / self.dimension**0.5
        attention = attention.masked_fill(~mask, -1e9).softmax(dim=1)  # (S, H)
        answer = torch.einsum("sh,shd->sd", attention, slots)
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
