"""How laws are tried: the same number of examples everywhere that is shared, and no stopwatch on a busy machine."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

FUZZ = int(os.environ.get("FRESHET_FUZZ", "10000"))
"""Inputs that a fuzz test tries; a long run: `FRESHET_FUZZ=1000000`. Read before the environment is scrubbed."""

INPUTS = 100
"""Of one example of a fuzz test: what Hypothesis draws is the seed of so many inputs."""


def law(examples: int) -> settings:
    """Try a law on so many examples."""
    return settings(max_examples=examples, deadline=None)


def fuzz() -> settings:
    """Try it on `FUZZ` inputs."""
    return settings(
        max_examples=max(FUZZ // INPUTS, 1),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
