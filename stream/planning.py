"""What a worker will take for so many users and items: small ones are built with the same settings, and weighed.

Tables double when they grow, so with 2^k times the users a worker takes 2^k times what the small one takes for its own,
and that is what the small one takes more with twice as many. So nothing here knows what state there is: what a piece of
it takes is asked of the piece, and new state is found by itself.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import psutil

from connectors.event import Event
from learners.counts.counts import Counts
from learners.counts.neighbours import NeighbourTable
from learners.counts.own_items import OwnItems
from learners.neural import EXACT_SEARCH
from learners.state_arrays import Arrays, room_for
from learners.task_axes import width
from stream.allocator import keep_temporaries
from stream.assembly import build_processor
from stream.duplicates import RecentIds
from stream.journal import Journal
from stream.pending import PendingImpressions
from stream.settings import Settings
from stream.weighing import weigh

_FEW = 512  # users and items of the small worker at most, before they are doubled
_MANY = 8_192  # entries of what is weighed for itself
_LISTS = 1_024
_APART = re.compile(
    r"(transitions|together|users)(\.arrays\.(rows|weights|block_marks)|\.place\w+)$|\._neural\._recent\."
)
"""Names of what does not grow in proportion: lists, and copies of the latest vectors."""
_OF_NOBODY = re.compile(r"\b_?(ranker|blend)\b|\b_?neural\._?(network|multitask|tasks|optimiser)\b")
"""Names of networks and of what they learn from, which many users and items do not make larger."""
_RANKED = 0.05  # share of its choices that are ranked: some, since nothing grows with them
_FIRST = 16  # events of its first step: tables double from their smallest size
_STEP = 256
_START_MS = 1_700_000_000_000
_ID_LENGTH = 12

PIECES = {
    "ids of users": ("states.index",),
    "ids of items": ("pipeline.items",),
    "histories": ("states._rings",),
    "slates and other columns of users": ("states",),
    "popularity": ("pipeline.learner._counts.popularity", "pipeline.learner._counts.expectations"),
    "items that follow or go together": (
        "pipeline.learner._counts.transitions",
        "pipeline.learner._counts.together",
    ),
    "users who choose alike, habits": (
        "pipeline.learner._counts.companions",
        "pipeline.learner._counts._users",
    ),
    "label rates": ("pipeline.learner._pairs",),
    "item vectors with Adagrad": (
        "pipeline.learner._neural._inputs",
        "pipeline.learner._neural._outputs",
        "pipeline.learner._neural._sampler",
    ),
    "networks, choices to learn again": ("pipeline.learner._neural", "pipeline.learner._ranker"),
    "everything else": ("",),
}
"""Names for people, and where in a processor what they mean stands; the first that fits counts."""


class _Piece(Protocol):
    def state_dict(self) -> Arrays: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a worker is to hold.

    Attributes:
        users: How many.
        items: How many.
        choices: Different items that a user chooses, on average.
        owned: Items that a user owns, on average; only where `recommend.owned_types` names some.
        neighbours: Items that follow an item, and that go together with it, on average.
        companions: Users who choose like a user, on average.
        pending: Impressions that wait for their labels at a time, over all partitions.
        id_length: Characters of an id.
    """

    users: int
    items: int
    choices: float = 10.0
    owned: float = 1.0
    neighbours: float = 20.0
    companions: float = 20.0
    pending: int = 50_000
    id_length: int = _ID_LENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What it will take, in bytes.

    Attributes:
        pieces: Memory by piece, the first being the process before it has learned anything.
        at_times: Memory on top of it, each at times and seldom two together.
        checkpoint: A whole checkpoint.
        disk: What the checkpoints that are kept may take while a merge is at work.
    """

    pieces: Mapping[str, int]
    at_times: Mapping[str, int]
    checkpoint: int
    disk: int

    @property
    def resident(self) -> int:
        """Of the pieces together."""
        return sum(self.pieces.values())


def plan(settings: Settings, load: Load) -> Plan:
    """What a worker with these settings will take. Takes some seconds and a few hundred megabytes itself."""
    base = _base(settings)
    sides = [
        _halved(count, _FEW)
        for count in (min(load.users, settings.state.max_users), min(load.items, settings.state.max_items))
    ]
    (users, of_users), (items, of_items) = sides
    small, more_users, more_items = (
        _Small.of(settings, *sizes, load.id_length)
        for sizes in ((users, items), (2 * users, items), (users, 2 * items))
    )

    def scaled(part: Callable[[_Small], Counter[str]]) -> Counter[str]:
        found = Counter(part(small))
        for more, times in ((more_users, of_users - 1), (more_items, of_items - 1)):
            for name, size in part(more).items():
                if not _OF_NOBODY.search(name):
                    found[name] += times * (size - part(small)[name])
        return found

    memory = _by_piece(scaled(lambda one: one.memory))
    saved = scaled(lambda one: one.saved)
    for name, (held, written) in _apart(settings, load, small.described).items():
        memory[name], saved[name] = held, written
    checkpoint = sum(saved.values())
    deltas = settings.worker.checkpoint_deltas
    return Plan(
        pieces={"process with its libraries": base, **memory},
        at_times={
            "a copy of everything, where the next checkpoint must hold everything": checkpoint,
            "what a table was before it grew": max(memory.values()) // 2,
            "merging checkpoints: one table and its changes": max(saved.values()),
            "records since the last checkpoint, at most": Journal().max_bytes,
        },
        checkpoint=checkpoint,
        disk=checkpoint * (3 if deltas else settings.worker.checkpoints_kept + 1),
    )


def _base(settings: Settings) -> int:
    """Bytes of this process once it has worked as a worker does, without what it has learned."""
    import stream.worker  # noqa: F401 - Faust, clients and metrics are part of it
    from stream.warm_up import warm_up

    keep_temporaries()
    warm_up(settings)
    processor = build_processor(settings)
    size = settings.events_a_step
    events = _events(size, size, _ID_LENGTH, settings)
    while some := list(itertools.islice(events, size)):
        processor.states.admit([event.user_id for event in some])
        processor.pipeline.step(some, processor.states, _START_MS)
    return int(psutil.Process().memory_info().rss) - weigh(processor).total()


@dataclass(frozen=True, slots=True)
class _Small:
    """A small worker, weighed.

    Attributes:
        memory: By dotted names of attributes.
        saved: Its whole checkpoint, by names of arrays.
        described: Numbers that are kept with an impression.
    """

    memory: Counter[str]
    saved: Counter[str]
    described: int

    @classmethod
    def of(cls, settings: Settings, users: int, items: int, id_length: int) -> _Small:
        """Every user is shown an item, every item is chosen; what is counted apart is left out, or kept small."""
        settings = settings.model_copy(
            update={
                "state": settings.state.model_copy(
                    update={"max_pending": 256, "max_pairs": 256, "max_owned": 256}
                ),
                "events": settings.events.model_copy(update={"duplicates_window": 0}),
                "learner": settings.learner.model_copy(update={"ranker_share": _RANKED}),
            }
        )
        processor = build_processor(settings)
        first = _FIRST
        events = _events(users, items, id_length, settings)
        while some := list(itertools.islice(events, first)):
            processor.states.admit([event.user_id for event in some])
            processor.pipeline.step(some, processor.states, _START_MS, slates=False)
            first = _STEP
        learner = processor.pipeline.learner
        saved = Counter(
            {
                f"{piece}.{name}": array.nbytes
                for piece, arrays in processor.state_dicts().items()
                for name, array in arrays.items()
            }
        )
        memory = weigh(processor)
        for counter in memory, saved:
            for name in [name for name in counter if _APART.search(name)]:
                del counter[name]
        return cls(memory, saved, width(learner.shown_axis, len(learner.tasks)))


def _events(users: int, items: int, id_length: int, settings: Settings) -> Iterator[Event]:
    """Impressions of all users, choices of all items, and at the end all that makes tables as long as they may get."""
    answers = [event_type for task in settings.tasks for event_type in task.event_types[:1]]
    kinds = [
        *(("impression", n, n) for n in range(users)),
        *(("view", n, n) for n in range(items)),
        *((kind, users - 1, items - 1) for kind in ("impression", *answers)),
        *((kind, users - 1, items - 1) for kind in settings.events.withdrawing_types[:1]),
    ]
    for number, (kind, user, item) in enumerate(kinds):
        yield Event(
            event_id=f"e{number}",
            event_type=kind,
            occurred_at_ms=_START_MS + number,
            user_id=f"{user % users:0{id_length}d}",
            item_id=f"{item % items:0{id_length}d}",
            value=1.0,
        )


def _by_piece(memory: Mapping[str, int]) -> dict[str, int]:
    found = dict.fromkeys(PIECES, 0)
    for path, size in memory.items():
        piece = next(
            name
            for name, starts in PIECES.items()
            if any(not start or f"{path}.".startswith(f"{start}.") for start in starts)
        )
        found[piece] += size
    return found


def _apart(settings: Settings, load: Load, described: int) -> dict[str, tuple[int, int]]:
    """What grows with neither users nor items alone: bytes in memory and in a checkpoint."""
    partitions = settings.topics.partitions
    state, users = settings.state, min(load.users, settings.state.max_users)
    owned = load.owned if settings.recommend.owned_types else 0.0
    found = {
        "waiting impressions": _times(
            partitions,
            _doubled(
                min(load.pending // partitions, state.max_pending), lambda count: _pending(count, described)
            ),
        ),
        "ids against duplicates": _times(partitions, _doubled(settings.events.duplicates_window, _recent)),
        "pairs of users and items": _doubled(min(int(users * load.choices), state.max_pairs), _pairs),
    }
    if owned:
        found["pairs of users and what they own"] = _doubled(min(int(users * owned), state.max_owned), _pairs)
    items = min(load.items, state.max_items)
    copies = room_for(min(items, EXACT_SEARCH)) * (4 * settings.learner.dimension + 8)
    found["copies of the latest vectors"] = (copies, 0)
    counts = Counts(max_pairs=1, neighbours=settings.learner.neighbours)
    for name, table, rows, average in (
        ("lists of what follows an item", counts.transitions, items, load.neighbours),
        ("lists of what goes together", counts.together, items, load.neighbours),
        ("lists of companions", counts.companions.of_users, users, load.companions),
    ):
        found[name] = _lists(table, rows, average)
    return found


def _lists(table: NeighbourTable, rows: int, average: float) -> tuple[int, int]:
    """Lists of so many rows: many have few neighbours and few have many, as many as fit."""
    few = min(rows, _LISTS)
    filled = np.random.default_rng(0).exponential(average, few).round().astype(np.int64)
    of_list = np.repeat(np.arange(few), np.minimum(filled, int(table.arrays.most[0])))
    once = np.ones(len(of_list), np.float32)
    table.learn_many(of_list, np.arange(len(of_list)), once, np.zeros(len(of_list)))
    saved = table.state_dict()
    size = rows * (saved["places"].nbytes + saved["place_weights"].nbytes) // few
    return size, size


def _pending(count: int, described: int) -> PendingImpressions:
    pending = PendingImpressions(2 * _MANY)
    for n in range(count):
        pending.note(pending.open(n, n, n, _START_MS, 0, 0), np.zeros(described, np.float32))
    return pending


def _recent(count: int) -> RecentIds:
    recent = RecentIds(count)
    for n in range(count):
        event = Event(event_id=f"e{n}", event_type="view", occurred_at_ms=_START_MS, user_id="u", item_id="i")
        recent.admit(0, event)
    return recent


def _pairs(count: int) -> OwnItems:
    pairs = OwnItems(2 * _MANY)
    for start in range(0, count, 64):
        rows = np.arange(start, min(start + 64, count))
        pairs.learn_many(rows, rows, np.zeros(len(rows)))
    return pairs


def _doubled(count: int, build: Callable[[int], _Piece]) -> tuple[int, int]:
    """What a piece that holds so many takes in memory and in a checkpoint: what a smaller one does, so many times."""
    few, times = _halved(count, _MANY)
    piece = build(few)
    return times * weigh(piece).total(), times * sum(array.nbytes for array in piece.state_dict().values())


def _times(count: int, sizes: tuple[int, int]) -> tuple[int, int]:
    return count * sizes[0], count * sizes[1]


def _halved(count: int, most: int) -> tuple[int, int]:
    """A number of at most so many, and the power of two that makes `count` or little more of it."""
    times = 1
    while count > most * times:
        times *= 2
    return -(-count // times), times
