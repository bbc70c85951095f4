"""Experts and towers put together, by the names that settings know them by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from learners.heads.cgc import CustomisedGateControl
from learners.heads.mixture import Experts, Mixture
from learners.heads.mmoe import MixtureOfExperts
from learners.heads.shared_bottom import SharedBottom
from learners.heads.single_task import SingleTask
from learners.heads.towers import Towers

HEADS: dict[str, type[MixtureOfExperts | CustomisedGateControl | SharedBottom | SingleTask]] = {
    "mmoe": MixtureOfExperts,
    "cgc": CustomisedGateControl,
    "shared_bottom": SharedBottom,
    "single_task": SingleTask,
}


class Heads(nn.Module):
    """Rows in, one logit a task out.

    Args:
        kind: A name of `HEADS`.
        inputs: Width of a row.
        tasks: K.
        experts: E.
        width: W.
        after: (K,) the funnel, see `Towers`.
        chain: How it is used, see `Towers`.
    """

    def __init__(
        self,
        kind: str,
        inputs: int,
        tasks: int,
        *,
        experts: int = 4,
        width: int = 32,
        after: Sequence[int] = (),
        chain: str = "product",
    ) -> None:
        super().__init__()
        self.experts = HEADS[kind](inputs, tasks, experts, width)
        self.towers = Towers(tasks, width, after, chain)

    def mix(self, rows: Tensor) -> Mixture:
        """(B, inputs) to each task's mixture."""
        return cast(Experts, self.experts).mix(rows)

    def forward(self, rows: Tensor, position: Tensor, offset: Tensor | None = None) -> Tensor:
        """(B, inputs) rows, shown at `position` (B,), to (B, K) logits."""
        logits: Tensor = self.towers(self.mix(rows).mixed, position, offset)
        return logits
