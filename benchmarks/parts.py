"""Which parts of a benchmark `--only` asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click


def wanted(what: str, only: Sequence[str], parts: Iterable[str]) -> tuple[str, ...]:
    """The parts that are named, in their order; all where none is.

    Args:
        what: What a part is, for people.
        only: Names.
        parts: All there are.

    Raises:
        UsageError: There is no such part.
    """
    there = tuple(parts)
    if unknown := set(only) - set(there):
        raise click.UsageError(f"No {what} {', '.join(sorted(unknown))}; there are {', '.join(there)}.")
    return tuple(part for part in there if not only or part in only)
