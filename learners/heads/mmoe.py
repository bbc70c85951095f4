"""Experts that all tasks share, and a gate for each task."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from learners.heads.mixture import Mixture, gates_of
from learners.task_axes import Axis, Each, TaskAxes


class MixtureOfExperts(nn.Module):
    """MMoE (Ma et al., KDD 2018) with all experts in one product.

    Args:
        inputs: Width of a row.
        tasks: K.
        experts: E.
        width: W.
    """

    def __init__(self, inputs: int, tasks: int, experts: int = 4, width: int = 32) -> None:
        super().__init__()
        self.tasks, self.experts, self.width = tasks, experts, width
        self.trunk = nn.Linear(inputs, experts * width)
        self.gate = nn.Linear(inputs, tasks * experts)
        self.norm = nn.LayerNorm(width)

    def mix(self, rows: Tensor) -> Mixture:
        """See `Experts`."""
        outputs = self.norm(F.silu(self.trunk(rows)).view(-1, self.experts, self.width))  # (B, E, W)
        gates = gates_of(self.gate(rows), self.tasks)  # (B, K, E)
        return Mixture(gates @ outputs, gates, gates)

    def task_axes(self, inputs: Axis) -> TaskAxes:
        """See `Experts`."""
        return {
            "trunk.weight": {1: inputs},
            "gate.weight": {0: [Each(self.experts)], 1: inputs},
            "gate.bias": {0: [Each(self.experts)]},
        }
