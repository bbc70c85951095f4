"""A processor that knows a million users and items, in seconds: what it has learned of a few, repeated.

But who goes with whom is drawn: so many neighbours as there would be if each user's history had happened.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from connectors.event import Event, encode_event
from learners.counts.companions import CHOOSERS
from learners.counts.counts import ACCOMPANIED, FOLLOWED
from learners.counts.neighbours import laid_out
from learners.state_arrays import Arrays, nest, pack_strings, unnest
from stream.processor import Processor

HISTORY = 20
START_MS = 1_700_000_000_000

_PAIRS_EACH = 3
_TYPES = ("view", "impression", "add_to_cart", "purchase")
_MIX = (0.5, 0.3, 0.1, 0.1)
_CHOICES = 0.7  # of the events: all but impressions
_WEIGHTS = 100_003


class _Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp: int


class Stream:
    """Events of users drawn evenly; items are drawn evenly too, or the n-th as often as 1 / n."""

    def __init__(self, users: int, items: int, *, evenly: bool) -> None:
        self._rng = np.random.default_rng(0)
        self._users, self._offset = users, 0
        weights = np.ones(items) if evenly else 1.0 / np.arange(1, items + 1)
        self.shares = weights / weights.sum()
        """(items,) how often each is drawn."""
        self._ends = np.cumsum(self.shares)

    def items(self, count: int) -> np.ndarray[Any, Any]:
        """(count,) item numbers."""
        return np.minimum(np.searchsorted(self._ends, self._rng.random(count)), len(self._ends) - 1)

    def records(self, count: int) -> list[_Record]:
        """The next ones, ten milliseconds apart."""
        users = self._rng.integers(0, self._users, count).tolist()
        kinds = self._rng.choice(len(_TYPES), count, p=_MIX).tolist()
        found = []
        for user, item, kind in zip(users, self.items(count).tolist(), kinds, strict=True):
            at_ms = START_MS + 10 * self._offset
            event = Event(
                event_id=f"e{self._offset}",
                event_type=_TYPES[kind],
                occurred_at_ms=at_ms,
                user_id=f"user-{user}",
                item_id=f"item-{item}",
            )
            found.append(_Record("events", 0, self._offset, None, encode_event(event), at_ms))
            self._offset += 1
        return found


def fill(processor: Processor, stream: Stream, users: int, items: int) -> None:
    """Let the processor know so many users and items: what it has learned of a few, repeated."""
    pieces = processor.state_dicts()
    known_users, known_items = len(processor.states), len(processor.pipeline.items)
    of_users = pieces["users"]
    for name, column in of_users.items():
        if column.shape[:1] == (known_users,) and not name.startswith(("index.", "pending.")):
            of_users[name] = _repeated(column, known_users, users)
    of_users["items"] = stream.items(users * HISTORY).reshape(users, HISTORY).astype(np.int32)
    of_users["times_ms"][:] = START_MS
    of_users["remembered"][:] = HISTORY
    of_users |= nest("index", _ids("user", users))
    learned = pieces["learner"]
    by_user = ("counts.habits", "pairs.users.")
    by_item = (
        *(
            f"counts.popularity.{name}"
            for name in ("weights", "first_s", "last_s", "first_n", "last_n", "as_of_s")
        ),
        "counts.expectations.",
        *(f"counts.companions.{name}" for name in ("choosers", "chosen")),
        *(f"neural.{name}." for name in ("inputs", "outputs")),
        *("pairs.items.", "filters.withdrawn", "filters.said_s", "neural.sampler.counts"),
        *(f"newcomers.{name}" for name in ("first_s", "shown")),
    )
    for name in learned:
        if name == "counts.expectations.ranked":
            continue
        if name.startswith(by_user):
            learned[name] = _repeated(learned[name], known_users, users)
        elif name.startswith(by_item):
            learned[name] = _repeated(learned[name], known_items, items)
    chosen = users * HISTORY * _CHOICES * stream.shares
    for name, met, others in (
        ("counts.transitions", FOLLOWED * chosen, items),
        ("counts.together", 2 * ACCOMPANIED * chosen, items),
        ("counts.companions.users", np.full(users, HISTORY * _CHOICES * CHOOSERS), users),
    ):
        table = unnest(name, learned)
        filled = np.minimum(met, float(table["most"][0])).astype(np.int64)
        learned |= nest(name, _lists(filled, others, table))
    for known in ("counts.popularity.known_rows", "neural.sampler.known"):
        learned[known] = np.arange(items)  # each its own: they are handed over
    pairs = users * _PAIRS_EACH
    keys = (np.arange(pairs) // _PAIRS_EACH << 32) | (np.arange(pairs) % _PAIRS_EACH)
    learned |= {
        "counts.own.pairs.keys": keys,
        "counts.own.pairs.counts": np.ones(pairs, np.float32),
        "counts.own.pairs.last_s": np.full(pairs, START_MS / 1e3),
    }
    processor.load(
        {"users": of_users, "items": _ids("item", items), "learner": learned}, processor.totals_dict()
    )


def _ids(name: str, count: int) -> Arrays:
    return {
        **nest("ids", pack_strings([f"{name}-{n}" for n in range(count)])),
        "free": np.zeros(0, np.int64),
        "touched": np.zeros(count, np.int64),
        "scalars": np.array([1, 0]),
    }


def _repeated(rows: np.ndarray[Any, Any], known: int, count: int) -> np.ndarray[Any, Any]:
    """(count, ...) the first `known` rows again and again."""
    filled = rows[: max(min(known, len(rows)), 1)]
    return np.resize(filled, (count, *rows.shape[1:]))


def _lists(filled: np.ndarray[Any, Any], others: int, table: Arrays) -> Arrays:
    """(N,) rows with so many neighbours each, drawn evenly among `others`, in place of those of a table."""
    (_, block, J), lists = table["place_weights"].shape, laid_out(filled, int(table["most"][0]))
    rng, taken = np.random.default_rng(0), int(lists["vacant"][-1])
    weights = np.resize(rng.random((_WEIGHTS, J), np.float32), (taken, J))
    totals = np.zeros((len(filled), J))
    totals[filled > 0] = np.add.reduceat(weights, lists["first"][filled > 0], axis=0)
    return {
        **lists,
        "places": rng.integers(0, others, taken, dtype=np.int32).reshape(-1, block),
        "place_weights": weights.reshape(-1, block, J),
        "totals": totals,
        "touched_s": np.full(len(filled), START_MS / 1e3),
    }
