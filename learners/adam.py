"""Adam, by torch's function instead of its class, which brings a compiler with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

MOMENTS = ("exp_avg", "exp_avg_sq")
"""What is remembered of each parameter, beside its number of steps."""

_FORGETS = (0.9, 0.99)  # of a stream the second moment must forget sooner than of a data set
_EPSILON = 1e-8


@dataclass(slots=True)
class Group:
    """Parameters that go the same way, and how far.

    Attributes:
        parameters: Tensors.
        learning_rate: Their step size; may be set between two steps.
    """

    parameters: list[nn.Parameter]
    learning_rate: float


class Adam:
    """Adam (Kingma and Ba, 2015, arXiv:1412.6980) in one pass over the parameters of a group.

    `torch.optim.Adam` does the same. But whoever makes one imports all of torch's compiler, which nobody asks for
    here: as long again as torch itself takes, at each start of each process, and some 150 MB of each.

    Args:
        groups: Of parameters; none is in two of them.
    """

    def __init__(self, *groups: Group) -> None:
        self.groups = groups
        self.state: dict[nn.Parameter, dict[str, Tensor]] = {}
        """Of each parameter that has had a gradient: `step` and `MOMENTS`."""

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for group in self.groups:
            for parameter in group.parameters:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move each parameter that has a gradient."""
        for group in self.groups:
            gradients = {one: one.grad for one in group.parameters if one.grad is not None}
            states = [self._state(parameter) for parameter in gradients]
            first, second = ([state[moment] for state in states] for moment in MOMENTS)
            adam(
                list[Tensor](gradients),
                list(gradients.values()),
                first,
                second,
                [],
                [state["step"] for state in states],
                fused=True,
                amsgrad=False,
                beta1=_FORGETS[0],
                beta2=_FORGETS[1],
                lr=group.learning_rate,
                weight_decay=0.0,
                eps=_EPSILON,
                maximize=False,
            )

    def _state(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        if parameter not in self.state:
            self.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                **{moment: torch.zeros_like(parameter) for moment in MOMENTS},
            }
        return self.state[parameter]


def adam_of(parameters: Iterable[nn.Parameter], learning_rate: float) -> Adam:
    """Of parameters that all go equally far."""
    return Adam(Group(list(parameters), learning_rate))
