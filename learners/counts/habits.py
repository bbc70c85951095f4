"""What kind of items a user chooses: new or old, stirring or quiet, popular or rare, known or unknown to the user."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.event_batch import FloatArray

AGE, SILENCE, POPULARITY, REPEATS, FORMED = range(5)
"""Columns: the chosen items' age and silence (choices of anything since their first and last choice) and number
of choices, all as logarithms, the share of choices that were repeats, and how many choices formed the habit."""

_RATE = 0.1


def empty_habits(users: int) -> NDArray[Any]:
    """(users, 5) of users who have chosen nothing."""
    return np.zeros((users, 5), np.float32)


@compiled
def form_habit(
    habits: FloatArray, user: int, age: float, silence: float, popularity: float, repeat: float
) -> None:
    """Follow a choice: exactly at first, then with a memory of ten choices.

    Args:
        habits: (U, 5).
        user: The user's row.
        age: Choices of anything since the item's first one.
        silence: The same since its latest one.
        popularity: How often the item was chosen lately.
        repeat: 1 if the user had chosen it before, else 0.
    """
    habits[user, FORMED] += 1.0
    rate = max(_RATE, 1.0 / habits[user, FORMED])
    habits[user, AGE] += rate * (np.log1p(age) - habits[user, AGE])
    habits[user, SILENCE] += rate * (np.log1p(silence) - habits[user, SILENCE])
    habits[user, POPULARITY] += rate * (np.log1p(popularity) - habits[user, POPULARITY])
    habits[user, REPEATS] += rate * (repeat - habits[user, REPEATS])
