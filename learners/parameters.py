"""Dense parameters and what Adam remembers of them as named arrays, without pickle."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from learners.adam import MOMENTS, Adam
from learners.state_arrays import Arrays
from learners.task_axes import Bits, TaskAxes, filled

_REMEMBERED = ("step", *MOMENTS)


def optimised_arrays(module: nn.Module, optimiser: Adam) -> Arrays:
    """A module's parameters and what its optimiser remembers of each."""
    arrays: Arrays = {}
    for name, parameter in module.named_parameters():
        arrays[f"parameter.{name}"] = parameter.detach().cpu().numpy().copy()
        for moment in _REMEMBERED:
            if moment in optimiser.state.get(parameter, {}):
                arrays[f"{moment}.{name}"] = optimiser.state[parameter][moment].cpu().numpy().copy()
    return arrays


def optimised_axes(axes: TaskAxes) -> TaskAxes:
    """Where the tasks are in `optimised_arrays`, given where they are in the parameters; moments begin with nothing."""
    found: TaskAxes = {}
    for name, of in axes.items():
        assert not isinstance(of, Bits), "parameters are no bits"
        nothing = {axis: filled(parts, 0.0) for axis, parts in of.items()}
        found[f"parameter.{name}"] = of
        found |= {f"{moment}.{name}": nothing for moment in MOMENTS}
    return found


def load_optimised(
    module: nn.Module,
    optimiser: Adam,
    arrays: Mapping[str, NDArray[Any]],
    *,
    settings: str,
    optional: Collection[str] = (),
) -> None:
    """The inverse of `optimised_arrays`.

    Args:
        module: Whose parameters are set.
        optimiser: That moves them.
        arrays: What was saved.
        settings: Names of the settings that shape the parameters, for people.
        optional: Parameters that stay as they are where none of their shape was saved.

    Raises:
        ValueError: Another parameter that is missing or has another shape.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            saved = arrays.get(f"parameter.{name}")
            if saved is None or saved.shape != tuple(parameter.shape):
                if name in optional:
                    continue
                found = "missing" if saved is None else f"of shape {saved.shape}"
                raise ValueError(
                    f"saved with another {settings}: parameter {name} is {found}, configured is "
                    f"{tuple(parameter.shape)}"
                )
            parameter.copy_(torch.tensor(saved))
            remembered = {
                moment: torch.tensor(arrays[f"{moment}.{name}"])
                for moment in _REMEMBERED
                if f"{moment}.{name}" in arrays
            }
            if remembered:
                optimiser.state[parameter] = {
                    moment: value.to(parameter.device) for moment, value in remembered.items()
                }
