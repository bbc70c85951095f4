"""Why the tasks weigh what they weigh, for people: numbers that JSON can hold, and a sentence each."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from learners.learner import Learner
from learners.weightings.weighting import Explanation

_SAME = 0.005  # a part of the number; what differs less is printed alike


def weights_view(learner: Learner) -> dict[str, Any]:
    """`tasks`: for each the numbers behind its weight and a `sentence`; a number that is not there is None."""
    return {
        "model_step": learner.step,
        "tasks": [
            {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in {**asdict(one), "sentence": sentence(one)}.items()
            }
            for one in learner.explain()
        ],
    }


def sentence(one: Explanation) -> str:
    """As in "click 2.00 -> 1.40 because its gradient norm is 2.10 x the mean"."""
    if math.isnan(one.loss):
        return f"{one.task} {one.value:.2f}: {one.because}"
    if _differs(one.weight, one.value):
        said = f"{one.task} {one.value:.2f} -> {one.weight:.2f} because {one.because}"
    else:
        said = f"{one.task} {one.value:.2f} stays because {one.because}"
    if _differs(one.coefficient, one.weight):
        said += f"; {one.coefficient:.2f} after conflicts in its last batch"
    return said


def _differs(one: float, other: float) -> bool:
    return abs(one - other) > _SAME * max(abs(one), abs(other))
