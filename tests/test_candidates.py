"""Retrieval, against dictionaries."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pytest
from batches import START_S, histories
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.candidates import SOURCES, CandidateRetrieval, Candidates, latest_distinct
from learners.covisitation import HALF_LIVES_S, CoVisitation
from learners.event_batch import Histories
from learners.popularity import Popularity
from learners.row_index import ABSENT

ITEMS = 12
P = len(HALF_LIVES_S)


@dataclass
class Speaks:
    """What speaks for one candidate, in the reference."""

    from_last: np.ndarray = field(default_factory=lambda: np.zeros(P))
    from_recent: np.ndarray = field(default_factory=lambda: np.zeros(P))
    own_count: int = 0
    own_age_s: float = np.inf
    sources: set[str] = field(default_factory=set)


def counted(seed: int = 0, events: int = 60, leaders: int = 2) -> tuple[CoVisitation, Popularity]:
    """Counts of a random walk over the items, in the hours before `START_S`."""
    rng = np.random.default_rng(seed)
    walk = rng.integers(0, ITEMS, events)
    at_s = START_S - 3_600.0 * 5 + np.sort(rng.uniform(0.0, 3_600.0 * 5, events))
    covisitation, popularity = CoVisitation(neighbours=5), Popularity(leaders)
    for n in range(events):
        previous = np.full((1, 3), ABSENT)
        before = walk[max(0, n - 3) : n][::-1]
        previous[0, : len(before)] = before
        covisitation.learn_many(previous, walk[n : n + 1], at_s[n : n + 1])
        popularity.learn_many(walk[n : n + 1], at_s[n : n + 1])
    return covisitation, popularity


def reference(
    covisitation: CoVisitation, popularity: Popularity, history: list[int], nearest: list[int]
) -> dict[int, Speaks]:
    """One user's candidates, one by one."""
    found: dict[int, Speaks] = defaultdict(Speaks)
    recent = list(dict.fromkeys(reversed(history)))[:10]
    for distance, source in enumerate(recent):
        rows, shares = covisitation.successors(np.array([source]), np.array([START_S]))
        for row, share in zip(rows[0].tolist(), shares[0], strict=True):
            if row != ABSENT:
                found[row].sources.add("covisitation")
                found[row].from_recent = found[row].from_recent + share / (distance + 1)
                if distance == 0:
                    found[row].from_last = found[row].from_last + share
    for back, row in enumerate(reversed(history)):
        found[row].sources.add("repeat")
        found[row].own_count += 1
        found[row].own_age_s = min(found[row].own_age_s, 60.0 * (back + 1))
    for row in nearest:
        found[row].sources.add("neural")
    for row in popularity.leaders().tolist():
        found[row].sources.add("popularity")
    return dict(found)


def as_dict(candidates: Candidates, n: int) -> dict[int, Speaks]:
    """Row `n` in the reference's words; what stands in empty places is checked on the way."""
    found: dict[int, Speaks] = {}
    for c, row in enumerate(candidates.rows[n].tolist()):
        bits = int(candidates.sources[n, c])
        one = Speaks(
            candidates.from_last[n, c],
            candidates.from_recent[n, c],
            int(candidates.own_count[n, c]),
            float(candidates.own_age_s[n, c]),
            {name for bit, name in enumerate(SOURCES) if bits >> bit & 1},
        )
        if row == ABSENT:
            assert (one.sources, one.own_count, one.own_age_s) == (set(), 0, np.inf)
            assert not one.from_recent.any()
            continue
        assert row not in found, "each item once"
        found[row] = one
    return found


def must_agree(found: dict[int, Speaks], expected: dict[int, Speaks]) -> None:
    assert found.keys() == expected.keys()
    for row, one in found.items():
        other = expected[row]
        assert (one.sources, one.own_count, one.own_age_s) == (
            other.sources,
            other.own_count,
            other.own_age_s,
        )
        assert one.from_last == pytest.approx(other.from_last, rel=1e-4, abs=1e-7)
        assert one.from_recent == pytest.approx(other.from_recent, rel=1e-4, abs=1e-7)


some_histories = st.lists(st.lists(st.integers(0, ITEMS + 3), max_size=8), min_size=1, max_size=4)


@given(some_histories, st.integers(0, 3), st.data())
@law(30)
def test_candidates_are_those_of_the_reference(
    items: list[list[int]], seed: int, data: st.DataObject
) -> None:
    covisitation, popularity = counted(seed)
    nearest = [
        data.draw(st.lists(st.integers(0, ITEMS - 1), unique=True, min_size=2, max_size=2)) for _ in items
    ]
    retrieval = CandidateRetrieval(covisitation, popularity, limit=500)
    found = retrieval.retrieve(histories(items, slots=8), np.array(nearest))
    for n, history in enumerate(items):
        must_agree(as_dict(found, n), reference(covisitation, popularity, history, nearest[n]))
        assert found.last_item[n] == (history[-1] if history else ABSENT)


def test_many_sequences_are_each_alone() -> None:
    """More than are worked on at a time, with candidates of different numbers."""
    covisitation, popularity = counted()
    rng = np.random.default_rng(1)
    items = [rng.integers(0, ITEMS, rng.integers(0, 8)).tolist() for _ in range(150)]
    together = histories(items, slots=8)
    nearest = np.full((150, 0), ABSENT)
    retrieval = CandidateRetrieval(covisitation, popularity, limit=500)
    found = retrieval.retrieve(together, nearest)
    assert len(found) == 150
    for n in range(0, 150, 7):
        alone = retrieval.retrieve(together.take(np.array([n])), nearest[:1])
        must_agree(as_dict(found, n), as_dict(alone, 0))
    must_agree(as_dict(found.take(np.array([3, 149])), 1), as_dict(found, 149))


def test_beyond_the_limit_the_strongest_transitions_stay() -> None:
    covisitation, popularity = counted(leaders=0 + 1)
    items = [[1, 2, 3, 4]]
    everything = as_dict(
        CandidateRetrieval(covisitation, popularity, limit=500).retrieve(histories(items), np.array([[5]])), 0
    )
    few = [row for row, one in everything.items() if one.sources != {"covisitation"}]
    others = sorted(
        (row for row in everything if row not in few), key=lambda row: -everything[row].from_recent.sum()
    )
    assert len(others) > 2
    limit = len(few) + 2
    found = CandidateRetrieval(covisitation, popularity, limit=limit).retrieve(
        histories(items), np.array([[5]])
    )
    assert found.rows.shape == (1, limit)
    must_agree(as_dict(found, 0), {row: everything[row] for row in [*few, *others[:2]]})


def test_nobody_and_nothing_known_leave_no_candidates() -> None:
    empty = CandidateRetrieval(CoVisitation(4), Popularity(), limit=10)
    none = np.zeros((2, 0), np.int64)
    found = empty.retrieve(histories([[], []]), none)
    assert (found.rows == ABSENT).all()
    assert found.rows.shape == (2, 1)
    assert len(empty.retrieve(histories([]), none[:0])) == 0


def test_a_stranger_gets_what_all_choose() -> None:
    covisitation, popularity = counted()
    retrieval = CandidateRetrieval(covisitation, popularity, limit=50)
    found = as_dict(retrieval.retrieve(histories([[]]), np.zeros((1, 0), np.int64)), 0)
    assert sorted(found) == popularity.leaders().tolist()
    assert all(one.sources == {"popularity"} for one in found.values())


@given(some_histories, st.integers(0, 3))
@law(20)
def test_a_described_item_is_described_as_if_it_were_retrieved(items: list[list[int]], seed: int) -> None:
    covisitation, popularity = counted(seed)
    retrieval = CandidateRetrieval(covisitation, popularity, limit=500)
    moments: Histories = histories(items, slots=8)
    retrieved = retrieval.retrieve(moments, np.full((len(items), 0), ABSENT))
    sequence = np.repeat(np.arange(len(items)), ITEMS + 4)
    rows = np.tile(np.arange(ITEMS + 4), len(items))
    described = retrieval.describe(moments, sequence, rows)
    assert described.rows[:, 0].tolist() == rows.tolist()
    for n, (of, row) in enumerate(zip(sequence.tolist(), rows.tolist(), strict=True)):
        expected = as_dict(retrieved, of).get(row, Speaks())
        assert described.from_last[n, 0] == pytest.approx(expected.from_last, rel=1e-4, abs=1e-7)
        assert described.from_recent[n, 0] == pytest.approx(expected.from_recent, rel=1e-4, abs=1e-7)
        assert (described.own_count[n, 0], described.own_age_s[n, 0]) == (
            expected.own_count,
            expected.own_age_s,
        )
        assert described.last_item[n] == retrieved.last_item[of]


# --- the latest different items


@given(st.lists(st.integers(-1, 5), min_size=1, max_size=10), st.integers(1, 12))
@law(80)
def test_latest_distinct_is_a_reversed_list_without_repeats(items: list[int], count: int) -> None:
    expected = [item for item in dict.fromkeys(reversed(items)) if item != ABSENT][:count]
    found = latest_distinct(np.array([items]), count)
    assert found.tolist() == [expected + [ABSENT] * (count - len(expected))]


def test_latest_distinct_by_example() -> None:
    found = latest_distinct(np.array([[ABSENT, 1, 2, 1], [3, 3, 3, 3], [ABSENT] * 4]), 2)
    assert found.tolist() == [[1, 2], [3, ABSENT], [ABSENT, ABSENT]]
