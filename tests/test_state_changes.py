"""A base and changes, put together, are the live state, bit for bit: whatever is learned, and whenever it is saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from batches import TASKS, shop
from builders import NOW_MS
from hypothesis import given
from hypothesis import strategies as st
from laws import law
from links import merged
from models import learner
from numpy.typing import NDArray
from test_statistics import SAME, made_up_steps
from test_statistics import TASKS as TWO_TASKS

from learners import state_changes
from learners.candidates import SOURCES
from learners.context_fields import ContextFields
from learners.counts.counts import Counts
from learners.counts.own_items import OwnItems
from learners.embedding_table import EmbeddingTable
from learners.event_batch import Happenings
from learners.filters import FilterRules, Filters
from learners.label_rates import LabelRates
from learners.negatives import NegativeSampler
from learners.newcomers import Newcomers, NewnessRules
from learners.row_index import RowIndex
from learners.state_changes import (
    CHANGED,
    Keyed,
    LiveState,
    Marks,
    Table,
    Taken,
    Texts,
    changed,
    load_marks,
    mark_all,
    marked_rows,
    whole,
)
from learners.task_map import TaskMap
from monitoring.slate_answers import SlateAnswers
from monitoring.spread import RecentEvents, RecentPlaces
from stream.event_columns import EventColumns
from stream.pending import PendingImpressions
from stream.statistics import DriftRules, Statistics
from stream.user_states import UserStates

Arrays = dict[str, NDArray[Any]]


def different(one: Arrays, other: Arrays) -> list[str]:
    """Names of what is not the same, bit for bit."""
    return sorted(
        name
        for name in one.keys() | other.keys()
        if name not in one
        or name not in other
        or one[name].dtype != other[name].dtype
        or one[name].shape != other[name].shape
        or one[name].tobytes() != other[name].tobytes()
    )


def take(state: LiveState, taken: Taken | None = None) -> Arrays:
    """All that changed, in one portion."""
    taken = taken or Taken()
    assert taken.choose([state])
    return changed(state, taken)


class Follower:
    """Saves a piece's changes now and then, sometimes in portions or in vain, and looks whether they add up to it."""

    def __init__(self, live: Callable[[], LiveState], rng: np.random.Generator) -> None:
        self._live, self._rng = live, rng
        self.base = {name: array.copy() for name, array in whole(live()).items()}
        taken = Taken()
        take(live(), taken)
        taken.saved()
        self.changes: list[Arrays] = []

    def save(self, step: Callable[[], object] = lambda: None) -> None:
        """One checkpoint; steps come between its portions."""
        taken, portions = Taken(), []
        most_bytes = float(self._rng.integers(10, 3_000)) if self._rng.random() < 0.5 else np.inf
        while not taken.choose([self._live()], most_bytes):
            portions.append(changed(self._live(), taken, last=False))
            most_bytes *= 2.0
            step()
        portions.append(changed(self._live(), taken))
        if self._rng.random() < 0.3:
            return  # the disk is full
        self.changes += [{name: array.copy() for name, array in portion.items()} for portion in portions]
        if self._rng.random() < 0.3:
            step()  # while it is written
        taken.saved()

    def check(self) -> None:
        taken = Taken()
        self.changes.append(take(self._live(), taken))
        taken.saved()
        assert different(merged(self.base, self.changes), whole(self._live())) == []


# --- pieces, and something that happens to each


class OfCounts:
    def __init__(self, rng: np.random.Generator) -> None:
        self.piece = Counts(max_pairs=40, leaders=4, neighbours=3)
        self._rng = rng

    def step(self) -> None:
        rng, B = self._rng, int(self._rng.integers(1, 6))
        if rng.random() < 0.15:
            self.piece.forget_items(rng.integers(0, 40, 3))
        if rng.random() < 0.15:
            self.piece.forget_users(rng.integers(0, 30, 3))
        self.piece.learn_many(
            rng.integers(0, 30, B), rng.integers(0, 40, B), rng.random(B) * 1e6, rng.integers(-1, 40, (B, 6))
        )
        rows = rng.integers(-1, 40, (B, 4))
        rows[:, 0] = rng.integers(0, 40, B)
        self.piece.expectations.ensure(40)
        self.piece.expectations.learn_many(rows, rng.random((B, 4)).astype(np.float32), rows[:, 0].copy())


class OfPairs:
    def __init__(self, rng: np.random.Generator) -> None:
        self.piece, self._rng = OwnItems(60), rng

    def step(self) -> None:
        rng, B = self._rng, int(self._rng.integers(1, 20))
        self.piece.learn_many(rng.integers(0, 12, B), rng.integers(0, 12, B), rng.random(B))
        if rng.random() < 0.2:
            self.piece.forget(users=rng.integers(0, 12, 2), items=rng.integers(0, 12, 1))


class OfIndex:
    def __init__(self, rng: np.random.Generator) -> None:
        self.piece, self._rng = RowIndex(60), rng

    def step(self) -> None:
        ids = [f"{'é' * int(n % 4)}{n}" for n in self._rng.integers(0, 200, int(self._rng.integers(1, 25)))]
        self.piece.admit(ids)
        self.piece.take_evicted()


class OfTable:
    def __init__(self, rng: np.random.Generator) -> None:
        import torch

        generator = torch.Generator().manual_seed(int(rng.integers(1 << 30)))
        self.piece, self._rng = EmbeddingTable(3, scale=0.1, generator=generator), rng

    def step(self) -> None:
        import torch

        self.piece.ensure(int(self._rng.integers(1, 80)))
        rows = self._rng.integers(0, len(self.piece.weight), 4)
        self.piece.learn_many(torch.from_numpy(rows), torch.ones(4, 3), 0.1)
        if self._rng.random() < 0.2:
            self.piece.forget(self._rng.integers(0, 80, 2))


class OfRates:
    def __init__(self, rng: np.random.Generator) -> None:
        self.piece, self._rng = LabelRates(2), rng

    def step(self) -> None:
        rng = self._rng
        labels, mask = rng.integers(0, 2, (3, 2)).astype(np.float32), rng.random((3, 2)) < 0.5
        self.piece.learn_many(
            rng.integers(0, 50, 3), rng.integers(0, 50, 3), labels, mask, mask & False, rng.random(3) * 1e8
        )
        if rng.random() < 0.2:
            self.piece.forget(users=rng.integers(0, 60, 2), items=rng.integers(0, 60, 2))


def happenings(rng: np.random.Generator) -> Happenings:
    return Happenings(
        users=rng.integers(0, 50, 4),
        items=rng.integers(0, 50, 4),
        now_s=rng.random(4) * 1e6,
        acquired=rng.random(4) < 0.5,
        supply=rng.integers(-1, 2, 4).astype(np.int8),
        shown=rng.random(4) < 0.5,
    )


class OfFilters:
    def __init__(self, rng: np.random.Generator) -> None:
        self.piece, self._rng = Filters(FilterRules(max_owned=30)), rng

    def step(self) -> None:
        self.piece.learn_many(happenings(self._rng))
        if self._rng.random() < 0.2:
            self.piece.forget(users=self._rng.integers(0, 60, 2), items=self._rng.integers(0, 60, 2))


class OfNewcomers:
    def __init__(self, rng: np.random.Generator) -> None:
        self.piece, self._rng = Newcomers(NewnessRules(age_s=2e5, impressions=3)), rng

    def step(self) -> None:
        self.piece.learn_many(happenings(self._rng))
        if self._rng.random() < 0.2:
            self.piece.forget(self._rng.integers(0, 60, 2))


class OfSampler:
    def __init__(self, rng: np.random.Generator) -> None:
        self.piece, self._rng = NegativeSampler(3, np.random.default_rng(0)), rng

    def step(self) -> None:
        self.piece.learn_many(self._rng.integers(0, 50, 3))
        self.piece.sample()
        if self._rng.random() < 0.2:
            self.piece.forget(self._rng.integers(0, 60, 2))


class OfPending:
    def __init__(self, rng: np.random.Generator) -> None:
        self.piece, self._rng, self._now_ms = PendingImpressions(700), rng, 0

    def step(self) -> None:
        rng, pending = self._rng, self.piece
        for _ in range(int(rng.integers(1, 150))):
            self._now_ms += int(rng.integers(1, 10))
            pending.open(int(rng.integers(0, 9)), int(rng.integers(0, 9)), 1, self._now_ms, 2, 0)
        number = int(rng.integers(pending.first, pending.next))
        pending.note(number, rng.random(3).astype(np.float32))
        slot = pending.slot(int(rng.integers(pending.first, pending.next)))
        pending.answer(slot, resolved=1, negative=1)
        pending.correct(slot, 1)
        if rng.random() < 0.3:
            pending.forget(users=rng.integers(0, 9, 1))
        if rng.random() < 0.3:
            pending.close(900, self._now_ms)
            pending.release((900,))


class OfUsers:
    def __init__(self, rng: np.random.Generator) -> None:
        fields = ContextFields(names=("device", "country"), buckets=9)
        self.piece = UserStates(history_length=4, max_users=40, slate_size=3, max_pending=50, context=fields)
        self._rng = rng

    def step(self) -> None:
        """One of the things that a pipeline's step does: each may be the last before a checkpoint."""
        rng, B = self._rng, int(self._rng.integers(1, 8))
        what = int(rng.integers(-1, 4)) if len(self.piece) else 0
        if what <= 0:
            ids = [f"u{n}" for n in rng.integers(0, 400, B)]
            self.piece.admit(ids, rng.integers(0, 3, B).tolist())
            self.piece.take_forgotten()
            return
        users = rng.choice(self.piece.index.live_rows(), B)
        items = rng.integers(0, 10, B)
        if what == 1:
            remembered = rng.random(B) < 0.7
            self.piece.apply(
                EventColumns(
                    users=users,
                    items=items,
                    types=rng.integers(0, 5, B),
                    times_ms=rng.integers(0, 10**9, B),
                    remembered=remembered,
                    as_of=self.piece.as_of(users, remembered),
                    context=rng.integers(0, 9, (B, 2)).astype(np.uint16),
                )
            )
            pending = self.piece.pending_of(int(rng.integers(0, 3)))
            pending.note(pending.open(int(users[0]), 3, 0, 5, 0, 0), rng.random(2).astype(np.float32))
        elif what == 2:
            served = np.unique(users)
            slates = rng.integers(0, 10, (len(served), 3))
            self.piece.remember_slates(served, slates, served.astype(np.uint64), int(rng.integers(1, 99)))
        else:
            self.piece.forget_items(rng.integers(0, 10, 1))


class OfStatistics:
    """With rings so short that they turn."""

    def __init__(self, rng: Any) -> None:
        self.piece = _OfSameTasks(TWO_TASKS, window=30, drift=DriftRules(), slate_size=3)
        self.piece.answers = SlateAnswers(len(SOURCES), slates=15, places=3)
        self.piece.places = RecentPlaces(40)
        self.piece.events = RecentEvents(500)
        self._steps = made_up_steps(int(rng.integers(0, 10_000)))

    def step(self) -> None:
        self.piece.count(next(self._steps), NOW_MS)


class _OfSameTasks(Statistics):
    def load_state_dict(self, arrays: Any, tasks: TaskMap | None = None) -> None:
        super().load_state_dict(arrays, tasks or SAME)


PIECES = (
    OfCounts,
    OfFilters,
    OfIndex,
    OfNewcomers,
    OfPairs,
    OfPending,
    OfRates,
    OfSampler,
    OfStatistics,
    OfTable,
    OfUsers,
)


@pytest.mark.parametrize("make", PIECES)
@given(seed=st.integers(0, 10_000))
@law(15)
def test_changes_add_up_to_the_state(make: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    of = make(rng)
    for _ in range(int(rng.integers(0, 12))):
        of.step()
    follower = Follower(of.piece.live_state, rng)
    for _ in range(int(rng.integers(1, 40))):
        of.step()
        if rng.random() < 0.5:
            follower.save(of.step)
    follower.check()


@pytest.mark.parametrize("make", PIECES)
@given(seed=st.integers(0, 10_000))
@law(5)
def test_everything_in_portions_is_the_whole_state(make: Any, seed: int) -> None:
    """A copy of all of it that no step has to wait for."""
    rng = np.random.default_rng(seed)
    of = make(rng)
    for _ in range(10):
        of.step()
    mark_all(of.piece.live_state())
    taken, portions, most_bytes = Taken(), [{}], 500.0
    while not taken.choose([of.piece.live_state()], most_bytes):
        portions.append(changed(of.piece.live_state(), taken, last=False))
        most_bytes *= 1.5
        of.step()
    portions.append(changed(of.piece.live_state(), taken))
    assert different(merged(portions[0], portions[1:]), of.piece.state_dict()) == []


@pytest.mark.parametrize("make", PIECES)
def test_a_restored_piece_goes_on_with_its_changes(make: Any) -> None:
    """The base is what was saved before the restart; the changes come from what was restored."""
    rng = np.random.default_rng(3)
    first, second = make(rng), make(rng)
    for _ in range(8):
        first.step()
    saved = first.piece.state_dict()
    second.piece.load_state_dict({name: array.copy() for name, array in saved.items()})
    if make is OfPending:
        second._now_ms = first._now_ms
    live = second.piece.live_state
    load_marks(live(), saved)
    assert not changes_of(live()), "nothing has changed by being restored"
    follower = Follower(live, rng)
    follower.base = {name: array.copy() for name, array in saved.items()}
    for _ in range(6):
        second.step()
        follower.save(second.step)
    follower.check()


def changes_of(state: LiveState) -> list[str]:
    arrays = take(state)
    return [name for name in arrays if name.endswith((":rows", ":keys", ":removed")) and len(arrays[name])]


@pytest.mark.parametrize("encoder", ["attention", "gru"])
def test_a_learners_changes_add_up_to_it(encoder: str) -> None:
    rng = np.random.default_rng(1)
    model = learner(TASKS, encoder=encoder, max_pairs=60)
    follower = Follower(model.live_state, rng)
    for step, (batch, _) in enumerate(shop()):
        model.learn_many(batch, model.predict_many(batch))
        if step % 4 == 3:
            model.forget_items(rng.integers(0, 40, 2))
            model.forget_users(rng.integers(0, 10, 1))
        if step % 2:
            follower.save()
    follower.check()


# --- parts


def found(marks: Marks, wanted: int, *limits: int) -> tuple[list[int], int]:
    rows, end = marked_rows(marks, wanted, *limits)
    return rows.tolist(), end


def test_rows_are_marked_wherever_they_stand() -> None:
    for length in (0, 1, 7, 8, 9, 64, 67):
        for row in range(length):
            marks = np.zeros(length, np.uint8)
            marks[row] = CHANGED
            assert found(marks, CHANGED) == ([row], length)
        assert found(np.ones(length, np.uint8), 3) == (list(range(length)), length)
        twos = np.arange(length, dtype=np.uint8) % 3
        assert found(twos, 2) == (list(range(2, length, 3)), length)
        assert found(twos, 1) == (list(range(1, length, 3)), length)


@given(st.lists(st.integers(0, 2), max_size=40), st.integers(1, 3), st.integers(0, 45), st.integers(0, 12))
@law(200)
def test_marks_are_looked_at_from_anywhere_and_no_further_than_is_wanted(
    marks: list[int], wanted: int, begin: int, most: int
) -> None:
    there = [row for row, mark in enumerate(marks) if mark & wanted and row >= begin]
    rows, end = found(np.array(marks, np.uint8), wanted, min(begin, len(marks)), most)
    assert rows == there[:most]
    assert end == (there[most] if len(there) > most else len(marks))


def test_what_was_not_saved_is_taken_again_and_what_was_written_since_stays() -> None:
    array, marks = np.arange(5), np.zeros(5, np.uint8)
    state: LiveState = {"table": Table(array, marks)}
    marks[[1, 3]] = CHANGED
    assert take(state)["table:rows"].tolist() == [1, 3]
    taken = Taken()
    assert take(state, taken)["table:rows"].tolist() == [1, 3]
    marks[3] = CHANGED
    taken.saved()
    assert take(state)["table:rows"].tolist() == [3]


def test_portions_grow_where_marks_are_replaced_before_all_of_them_are_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a table of pairs replaces its own at each eviction: it begins again each time, and must end all the same."""
    monkeypatch.setattr(state_changes, "_GROWTH", 2.0)
    array, taken = np.arange(400), Taken()
    last = Table(np.arange(3), np.ones(3, np.uint8))
    for _ in range(20):
        state: LiveState = {"replaced": Table(array, np.ones(400, np.uint8)), "last": last}
        if taken.choose([state], 600.0):
            break
    else:
        pytest.fail("it goes on for ever")
    assert changed(state, taken)["replaced:rows"].tolist() == list(range(400))


def test_portions_grow_where_more_is_added_than_they_hold() -> None:
    marks, taken = np.zeros(8_000, np.uint8), Taken()
    state: LiveState = {"table": Table(np.arange(8_000), marks)}
    known = 400
    marks[:known] = CHANGED
    while not taken.choose([state], 600.0):
        marks[known : known + 60] = CHANGED
        known += 60
        assert known < 8_000, "it goes on for ever"
    assert not (marks == CHANGED).any()


def test_portions_do_not_grow_while_everything_is_copied_once() -> None:
    array, marks, taken = np.arange(400), np.ones(400, np.uint8), Taken()
    state: LiveState = {"table": Table(array, marks)}
    sizes, last = list[int](), False
    while not last:
        last = taken.choose([state], 600.0)
        sizes.append(len(changed(state, taken)["table:rows"]))
        marks[:20] = CHANGED  # each step writes the same rows
    assert sizes == [*[50] * 8, 20]


def test_a_table_may_shrink_and_grow_again() -> None:
    marks = np.zeros(8, np.uint8)
    base = whole({"t": Table(np.array([1, 2, 3]), marks, fill=-1)})
    changes = [take({"t": Table(np.array([1]), marks, fill=-1)})]
    changes += [take({"t": Table(np.array([1, -1]), marks, fill=-1)})]
    assert merged(base, changes)["t"].tolist() == [1, -1]


def test_a_part_that_was_not_there_begins_with_what_fills_it() -> None:
    marks = np.array([0, 1, 0], np.uint8)
    change = take({"t": Table(np.array([7.0, 8.0, 7.0]), marks, fill=7.0)})
    assert merged({}, [change])["t"].tolist() == [7.0, 8.0, 7.0]


def test_texts_of_rows_are_replaced_emptied_and_appended() -> None:
    marks = np.zeros(4, np.uint8)
    base = whole({"ids": Texts(["a", "bé", "c"], marks)})
    marks[[1, 3]] = CHANGED
    found = merged(base, [take({"ids": Texts(["a", None, "c", "dd"], marks)})])
    assert different(found, whole({"ids": Texts(["a", "", "c", "dd"], marks)})) == []


def test_a_key_that_is_given_up_and_comes_back_is_there() -> None:
    keys, counts, marks = np.array([5, -1, 9]), np.array([1.0, 0.0, 2.0]), np.zeros(3, np.uint8)
    base = whole({"p": Keyed(keys, {"counts": counts}, marks, [])})
    marks[2] = CHANGED
    counts[2] = 4.0
    change = take({"p": Keyed(keys, {"counts": counts}, marks, [np.array([9, 5])])})
    found = merged(base, [change])
    assert found["p.keys"].tolist() == [9]
    assert found["p.counts"].tolist() == [4.0]
