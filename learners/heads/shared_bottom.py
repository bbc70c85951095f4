"""One trunk for all tasks."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from learners.heads.mixture import Mixture
from learners.task_axes import Axis, TaskAxes


class SharedBottom(nn.Module):
    """Hard parameter sharing (Caruana, 1997): every tower sees the same.

    Args:
        inputs: Width of a row.
        tasks: K.
        experts: How many experts' parameters the trunk has.
        width: W.
    """

    def __init__(self, inputs: int, tasks: int, experts: int = 4, width: int = 32) -> None:
        super().__init__()
        self.tasks, self.experts, self.width = tasks, 1, width
        self.trunk = nn.Linear(inputs, experts * width)
        self.narrow = nn.Linear(experts * width, width)
        self.norm = nn.LayerNorm(width)

    def mix(self, rows: Tensor) -> Mixture:
        """See `Experts`."""
        output = self.norm(self.narrow(F.silu(self.trunk(rows))))  # (B, W)
        gates = output.new_ones(len(rows), self.tasks, 1)
        return Mixture(output.unsqueeze(1).expand(-1, self.tasks, -1), gates, gates)

    def task_axes(self, inputs: Axis) -> TaskAxes:
        """See `Experts`."""
        return {"trunk.weight": {1: inputs}}
