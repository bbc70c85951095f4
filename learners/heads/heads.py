"""Experts and towers put together, by the names that settings know them by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from learners.heads.cgc import CustomisedGateControl
from learners.heads.mixture import Experts, Mixture
from learners.heads.mmoe import MixtureOfExperts
from learners.heads.shared_bottom import SharedBottom
from learners.heads.single_task import SingleTask
from learners.heads.towers import Towers
from learners.label_rates import RATES, rates_width
from learners.state_arrays import nest
from learners.task_axes import BY_TASK, Axis, Rest, TaskAxes

HEADS: dict[str, type[MixtureOfExperts | CustomisedGateControl | SharedBottom | SingleTask]] = {
    "mmoe": MixtureOfExperts,
    "cgc": CustomisedGateControl,
    "shared_bottom": SharedBottom,
    "single_task": SingleTask,
}

_TRUST = 0.8


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
        counts: How many of a row's last numbers are counts: they also go straight to each task's logit,
            linearly, as the wide part of a wide and deep model (Cheng et al., 2016, arXiv:1606.07792).
        rates: Whether the last of these are `LabelRates`. Each task then begins with an opinion: its own
            lifts, of the user and of the item, as they would add up if they were independent evidence, and
            somewhat less.
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
        counts: int = 0,
        rates: bool = False,
    ) -> None:
        super().__init__()
        self._inputs, self._rates = inputs, rates
        self.wide = nn.Parameter(torch.zeros(tasks, counts))
        self.trust = nn.Parameter(torch.full((2, tasks), _TRUST)) if rates else None
        """(2, K) what a task's own lifts count, of user and item; they alone deserve a faster step."""
        self.experts = HEADS[kind](inputs, tasks, experts, width)
        self.towers = Towers(tasks, width, after, chain)

    def mix(self, rows: Tensor) -> Mixture:
        """(B, inputs) to each task's mixture."""
        return cast(Experts, self.experts).mix(rows)

    def shortcut(self, rows: Tensor) -> Tensor:
        """(B, inputs) to the (B, K) part of the logits that is linear in the counts, which no gradient reaches."""
        tasks, counts = self.wide.shape
        known = rows.detach()[:, rows.shape[1] - counts :]
        logits = known @ self.wide.T
        if self.trust is None:
            return logits
        first = counts - rates_width(tasks)
        lifts = known[:, first : first + 2 * tasks].reshape(-1, 2, tasks)
        return logits + (lifts * self.trust).sum(dim=1)

    def forward(self, rows: Tensor, position: Tensor, offset: Tensor | None = None) -> Tensor:
        """(B, inputs) rows, shown at `position` (B,), to (B, K) logits; `offset` (K,) is where the towers start."""
        start = self.shortcut(rows) if offset is None else self.shortcut(rows) + offset
        logits: Tensor = self.towers(self.mix(rows).mixed, position, start)
        return logits

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in its parameters."""
        tasks, counts = self.wide.shape
        known: Axis = [Rest(counts)]
        if self._rates:
            known = [Rest(counts - rates_width(tasks)), *RATES]
        axes: TaskAxes = {"wide": {0: BY_TASK, 1: known}, "trust": {1: BY_TASK}}
        inputs = [Rest(self._inputs - counts), *known]
        return {
            **axes,
            **nest("experts", cast(Experts, self.experts).task_axes(inputs)),
            **nest("towers", self.towers.task_axes),
        }
