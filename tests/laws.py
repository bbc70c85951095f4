"""How laws are tried: the same number of examples everywhere that is shared, and no stopwatch on a busy machine."""

from __future__ import annotations

from hypothesis import settings


def law(examples: int) -> settings:
    """Try a law on so many examples."""
    return settings(max_examples=examples, deadline=None)
