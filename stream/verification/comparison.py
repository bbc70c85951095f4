"""A recount and a checkpoint side by side: where they differ, and what of them cannot be compared."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stream.ledger import LABELS
from stream.verification.account import TOTALS, Account, Entry, Kept, UserAccount

What = Literal["user events", "history", "item events", "labels", "total"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One number or history that is not what the events make of it.

    Attributes:
        what: What differs.
        of: Whose it is: a user, an item, a task's labels, a total.
        expected: By the recount.
        found: In the checkpoint.
        look: What to look at.
    """

    what: What
    of: str
    expected: str
    found: str
    look: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of comparing.

    Attributes:
        differences: All of them.
        not_compared: What could not be compared and why, in sentences; empty where everything was.
    """

    differences: list[Difference]
    not_compared: list[str]


def compare(
    expected: Account,
    kept: Kept,
    event_types: Sequence[str],
    *,
    scattered: Collection[str] = (),
    beginning_gone: Sequence[str] = (),
) -> Comparison:
    """Compare what a recount gave with what a checkpoint holds.

    Where the beginning is gone, the checkpoint may have counted more, never less, and histories are compared as far
    back as the recount reaches. A user or item that was forgotten begins anew, so where there were such, one with
    fewer events than the recount's is taken for one of them.

    Args:
        expected: The recount.
        kept: The checkpoint.
        event_types: Declared types, in the order of their numbers.
        scattered: Users whose events have no order among each other; only their events are counted.
        beginning_gone: Why the recount does not begin where the checkpoint did, in sentences; empty where it does.
    """
    found = kept.account
    at_least = bool(beginning_gone)
    differences = [
        *_counts(
            "user events",
            {user: account.events for user, account in expected.users.items()},
            {user: account.events for user, account in found.users.items()},
            may_be_more=at_least,
            may_be_less=kept.forgotten_users > 0,
        ),
        *_counts(
            "item events",
            expected.items,
            found.items,
            may_be_more=at_least,
            may_be_less=kept.forgotten_items > 0,
        ),
    ]
    for user, account in sorted(expected.users.items()):
        other = found.users.get(user)
        if other is None or user in scattered or (kept.forgotten_users and other.events < account.events):
            continue
        differences += _history(user, account, other, event_types, at_least, kept.forgotten_items > 0)
    not_compared = [
        *beginning_gone,
        *_what_is_missing(kept, len(scattered), at_least),
    ]
    order_is_known = not scattered
    nothing_forgotten = not (kept.forgotten_users or kept.forgotten_items)
    if not at_least:
        if nothing_forgotten and order_is_known and not kept.expired and not kept.other_tasks:
            for task, counts in expected.labels.items():
                for name, *pair in zip(LABELS, counts, found.labels[task], strict=True):
                    differences += _number("labels", f"{task} {name}", *pair)
        for name in TOTALS:
            if name != "late_events" or (not kept.forgotten_users and order_is_known):
                differences += _number("total", name, expected.totals.get(name, 0), found.totals[name])
    return Comparison(differences, not_compared)


def _what_is_missing(kept: Kept, scattered: int, beginning_gone: bool) -> Iterator[str]:
    if beginning_gone:
        yield (
            "Labels and totals are not compared; of users and items only that no fewer events were counted than "
            "the topic still holds, and histories as far back as it reaches."
        )
    if kept.forgotten_users:
        yield (
            f"{kept.forgotten_users:,} times a user was forgotten (state.max_users): users with fewer events than "
            f"expected, labels and late events are not compared."
        )
    if kept.forgotten_items:
        yield (
            f"{kept.forgotten_items:,} times an item was forgotten (state.max_items): items with fewer events than "
            f"expected and labels are not compared, and histories may lack what was forgotten."
        )
    if kept.expired:
        yield (
            f"{kept.expired:,} impressions left without their labels (state.max_pending): labels are not compared."
        )
    if kept.other_tasks:
        yield "Tasks have begun or were given up since the first event (settings): labels are not compared."
    if scattered:
        yield (
            f"{scattered:,} users have events in several partitions, which have no order: neither their histories nor "
            f"labels and late events are compared. Key records by user_id, and never add partitions."
        )


def _counts(
    what: What,
    expected: Mapping[str, int],
    found: Mapping[str, int],
    *,
    may_be_more: bool,
    may_be_less: bool,
) -> Iterator[Difference]:
    for name in sorted({*expected, *found}):
        wanted, counted = expected.get(name, 0), found.get(name, 0)
        if not (may_be_more and counted > wanted) and not (may_be_less and counted < wanted):
            yield from _number(what, name, wanted, counted)


def _number(what: What, of: str, expected: int, found: int) -> Iterator[Difference]:
    if expected != found:
        yield Difference(what, of, f"{expected:,}", f"{found:,}", _where_to_look(what, of, found < expected))


def _where_to_look(what: What, of: str, fewer: bool) -> str:
    if what == "user events":
        cause = (
            "events were lost" if fewer else "events were applied twice, or are gone from what was counted"
        )
        return f"{cause}: freshet state user {of}"
    if what == "item events":
        return "events were lost" if fewer else "events were applied twice, or are gone from what was counted"
    if what == "labels":
        return "labels were lost" if fewer else "labels were taught twice"
    return "freshet status; has the worker read all of it?" if fewer else "freshet status"


def _history(
    user: str,
    expected: UserAccount,
    found: UserAccount,
    event_types: Sequence[str],
    beginning_gone: bool,
    gaps: bool,
) -> Iterator[Difference]:
    """The first entry, from the newest back, that differs."""
    wanted, there = expected.history[::-1], found.history[::-1]
    if beginning_gone:
        there = there[: len(wanted)]
    if gaps:
        entries = iter(wanted)
        if all(entry in entries for entry in there):  # in order, some left out
            return
    places = max(len(wanted), len(there))
    for n in range(places):
        pair = [history[n] if n < len(history) else None for history in (wanted, there)]
        if pair[0] != pair[1]:
            one, other = (_in_words(entry, event_types) for entry in pair)
            yield Difference(
                "history", user, one, other, f"entry {n + 1} from the newest back: freshet state user {user}"
            )
            return


def _in_words(entry: Entry | None, event_types: Sequence[str]) -> str:
    if entry is None:
        return "nothing"
    known = entry.event_type < len(event_types)
    return f"{event_types[entry.event_type] if known else entry.event_type} {entry.item_id} at {entry.at_ms}"
