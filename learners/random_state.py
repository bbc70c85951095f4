"""The state of a NumPy generator as an array, so that a restored learner draws what it would have drawn."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray


def generator_array(rng: np.random.Generator) -> NDArray[np.uint8]:
    """The generator's state: its JSON as bytes."""
    return np.frombuffer(json.dumps(rng.bit_generator.state).encode(), np.uint8).copy()


def restore_generator(rng: np.random.Generator, array: NDArray[Any]) -> None:
    """The inverse of `generator_array`, into `rng`.

    Raises:
        ValueError: The state of another kind of generator.
    """
    rng.bit_generator.state = json.loads(array.tobytes())
