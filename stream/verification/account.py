"""What the events have come to, in outside words: what a recount gives and what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from learners.row_index import RowIndex
from stream.assembly import build_states, build_tasks
from stream.checkpoints.chains import Checkpoint
from stream.ledger import Ledger
from stream.settings import Settings
from stream.user_states import UserStates

PIECES = ("users", "items", "ledger")
"""What is read of a checkpoint."""

TOTALS = ("events_learned", "dead_letters", "duplicates", "late_events")
"""Totals that can be counted again."""


class Entry(NamedTuple):
    """An event of a history."""

    item_id: str
    event_type: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class UserAccount:
    """One user: how many of its events were applied, and its latest history, oldest first."""

    events: int
    history: list[Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What some events have come to.

    Attributes:
        users: By id.
        items: Applied events of each item, by id.
        labels: Of each task, by name: how many of each of `stream.ledger.LABELS`.
        totals: By the names of `TOTALS`.
    """

    users: Mapping[str, UserAccount]
    items: Mapping[str, int]
    labels: Mapping[str, tuple[int, ...]]
    totals: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a checkpoint holds, and what it no longer holds.

    Attributes:
        account: What its events have come to.
        partitions: The partition of each user, by id.
        applied: Last applied offset of each partition.
        first: First applied offset of each partition.
        refused: Partition and offset of records that the learner could not take.
        inherited: Whether it counts events of an earlier topic too.
        other_tasks: Whether tasks have begun or were given up on the way.
        forgotten_users: How often a user was forgotten because there were too many.
        forgotten_items: The same of items.
        expired: Impressions that left without their labels because there were too many.
    """

    account: Account
    partitions: Mapping[str, int]
    applied: Mapping[int, int]
    first: Mapping[int, int]
    refused: Collection[tuple[int, int]]
    inherited: bool
    other_tasks: bool
    forgotten_users: int
    forgotten_items: int
    expired: int


def kept_in(checkpoint: Checkpoint, settings: Settings) -> Kept:
    """What a checkpoint holds.

    Args:
        checkpoint: With its `PIECES`.
        settings: That it was made with.

    Raises:
        ValueError: It was made with others.
    """
    states, items, ledger = (
        build_states(settings),
        RowIndex(settings.state.max_items),
        Ledger(build_tasks(settings)),
    )
    length = checkpoint.pieces["users"]["items"].shape[1]
    if length != settings.state.history_length:
        raise ValueError(
            f"saved with state.history_length = {length}, configured is {settings.state.history_length}"
        )
    states.load_state_dict(checkpoint.pieces["users"])
    items.load_state_dict(checkpoint.pieces["items"])
    ledger.load_state_dict(checkpoint.pieces["ledger"])
    counts = ledger.items.tolist()
    rows = states.index.live_rows()
    names = [states.index.id(row) for row in rows.tolist()]
    return Kept(
        account=Account(
            users=user_accounts(states, items),
            items={items.id(row): counts[row] for row in items.live_rows().tolist()},
            labels={
                task.name: tuple(counts)
                for task, counts in zip(settings.tasks, ledger.labels.tolist(), strict=True)
            },
            totals={name: checkpoint.manifest.totals[name] for name in TOTALS},
        ),
        partitions=dict(zip(names, states.partition_of(rows).tolist(), strict=True)),
        applied=dict(states.applied),
        first=dict(ledger.first),
        refused=frozenset(ledger.refused),
        inherited=ledger.inherited,
        other_tasks=ledger.other_tasks,
        forgotten_users=states.index.evictions,
        forgotten_items=items.evictions,
        expired=states.expired,
    )


def user_accounts(states: UserStates, items: RowIndex) -> dict[str, UserAccount]:
    """Every user, by id."""
    accounts = {}
    for row in states.index.live_rows().tolist():
        rows, types, times_ms = states.history(row)
        history = [Entry(items.id(item), *rest) for item, *rest in zip(rows, types, times_ms, strict=True)]
        accounts[states.index.id(row)] = UserAccount(states.events(row), history)
    return accounts
