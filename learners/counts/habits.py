"""What kind of items a user chooses: new or old, stirring or quiet, popular or rare, known or unknown to the user."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.event_batch import FloatArray

AGE, SILENCE, POPULARITY, REPEATS = range(4)
"""Columns: the chosen items' age and silence (choices of anything since their first and last choice) and number
of choices, all as logarithms, and the share of choices that were repeats."""

_RATE = 0.1


def empty_habits(users: int) -> NDArray[Any]:
    """(users, 4) of users who have chosen nothing."""
    return np.zeros((users, 4), np.float32)


@compiled
def form_habit(
    habits: FloatArray, user: int, choices: int, age: float, silence: float, popularity: float, repeat: float
) -> None:
    """Follow a choice: exactly at first, then with a memory of ten choices.

    Args:
        habits: (U, 4).
        user: The user's row.
        choices: How many choices the user had made before.
        age: Choices of anything since the item's first one.
        silence: The same since its latest one.
        popularity: How often the item was chosen lately.
        repeat: 1 if the user had chosen it before, else 0.
    """
    rate = max(_RATE, 1.0 / (1.0 + choices))
    habits[user, AGE] += rate * (np.log1p(age) - habits[user, AGE])
    habits[user, SILENCE] += rate * (np.log1p(silence) - habits[user, SILENCE])
    habits[user, POPULARITY] += rate * (np.log1p(popularity) - habits[user, POPULARITY])
    habits[user, REPEATS] += rate * (repeat - habits[user, REPEATS])
