"""Retrieval, against dictionaries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from batches import START_S, WALKED, counted, histories
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners import candidates as module
from learners.candidates import (
    EVENLY,
    EVIDENCE,
    FROM_LAST,
    FROM_RECENT,
    SOURCES,
    TOGETHER,
    WAYS,
    CandidateRetrieval,
    Candidates,
)
from learners.counts.counts import ACCOMPANIED, FOLLOWED, Counts
from learners.counts.neighbours import share_factors
from learners.event_batch import Histories
from learners.row_index import ABSENT

ITEMS = WALKED


@dataclass
class Speaks:
    """What speaks for one candidate, in the reference."""

    evidence: np.ndarray = field(default_factory=lambda: np.zeros(EVIDENCE))
    sources: set[str] = field(default_factory=set)


def reference(counts: Counts, history: list[int], nearest: list[int]) -> dict[int, Speaks]:
    """One user's candidates, one by one."""
    found: dict[int, Speaks] = defaultdict(Speaks)
    recent = list(dict.fromkeys(reversed(history)))
    for distance, source in enumerate(recent[:FOLLOWED]):
        for row, share in neighbours_of(counts.transitions, source):
            one = found[row]
            one.sources.add("transition")
            if distance == 0:
                one.evidence[FROM_LAST] += share
            one.evidence[FROM_RECENT] += share / (1 + distance)
            one.evidence[EVENLY] += share[[1, 3]]  # by a day and by ten years
            one.evidence[WAYS.start] += 1
    for distance, source in enumerate(recent[:ACCOMPANIED]):
        factors = np.zeros(2, np.float32)
        share_factors(counts.together.arrays, source, START_S, factors)
        for row, share in neighbours_of(counts.together, source):
            one = found[row]
            one.sources.add("together")
            one.evidence[TOGETHER] += [
                *share,
                share[1] / np.sqrt(factors[1]),
                share[1] / np.sqrt(1 + distance),
            ]
            one.evidence[WAYS.start + 1] += 1
    for source, rows in (
        ("repeat", history),
        ("neural", nearest),
        ("popularity", counts.popularity.leaders().tolist()),
    ):
        for row in rows:
            found[row].sources.add(source)
    return dict(found)


def neighbours_of(table: object, source: int) -> Iterator[tuple[int, np.ndarray]]:
    rows, shares = table.shares(source, START_S)
    return ((int(row), shares[m].astype(np.float64)) for m, row in enumerate(rows) if row != ABSENT)


def as_dict(candidates: Candidates, n: int) -> dict[int, Speaks]:
    """Row `n` in the reference's words; what stands in empty places is checked on the way."""
    found: dict[int, Speaks] = {}
    for c, row in enumerate(candidates.rows[n].tolist()):
        bits = int(candidates.sources[n, c])
        one = Speaks(candidates.evidence[n, c], {name for bit, name in enumerate(SOURCES) if bits >> bit & 1})
        if row == ABSENT:
            assert one.sources == set()
            assert not one.evidence.any()
            assert (candidates.rows[n, c:] == ABSENT).all()
            continue
        assert row not in found, "each item once"
        assert one.sources, "somebody brought it"
        found[row] = one
    return found


def must_agree(found: dict[int, Speaks], expected: dict[int, Speaks]) -> None:
    assert found.keys() == expected.keys()
    for row, one in found.items():
        assert one.sources == expected[row].sources
        assert one.evidence == pytest.approx(expected[row].evidence, rel=1e-4, abs=1e-7)


def retrieval_of(counts: Counts, limit: int = 500, exclude_seen: bool = False) -> CandidateRetrieval:
    return CandidateRetrieval(counts, limit, exclude_seen=exclude_seen)


def nobody_near(S: int) -> np.ndarray:
    return np.full((S, 0), ABSENT, np.int64)


some_histories = st.lists(st.lists(st.integers(0, ITEMS + 3), max_size=8), min_size=1, max_size=4)


@given(some_histories, st.integers(0, 3), st.data())
@law(30)
def test_candidates_are_those_of_the_reference(
    items: list[list[int]], seed: int, data: st.DataObject
) -> None:
    counts = counted(seed)
    nearest = [
        data.draw(st.lists(st.integers(0, ITEMS - 1), unique=True, min_size=2, max_size=2)) for _ in items
    ]
    found = retrieval_of(counts).retrieve(histories(items, slots=8), np.array(nearest))
    for n, history in enumerate(items):
        must_agree(as_dict(found, n), reference(counts, history, nearest[n]))


def test_many_sequences_are_each_alone() -> None:
    counts = counted()
    rng = np.random.default_rng(1)
    items = [rng.integers(0, ITEMS, rng.integers(0, 8)).tolist() for _ in range(150)]
    together = histories(items, slots=8)
    retrieval = retrieval_of(counts)
    found = retrieval.retrieve(together, nobody_near(150))
    assert len(found) == 150
    for n in range(0, 150, 7):
        alone = retrieval.retrieve(together.take(np.array([n])), nobody_near(1))
        must_agree(as_dict(found, n), as_dict(alone, 0))
    must_agree(as_dict(found.take(np.array([3, 149])), 1), as_dict(found, 149))


def test_asking_again_gives_the_same_and_changes_no_count() -> None:
    counts = counted()
    retrieval, moments = retrieval_of(counts), histories([[1, 2], [3]])
    before = counts.state_dict()
    first = retrieval.retrieve(moments, nobody_near(2))
    retrieval.describe(moments, np.array([0, 1]), np.array([5, 6]))
    again = retrieval.retrieve(moments, nobody_near(2))
    assert (first.rows == again.rows).all()
    assert (first.evidence == again.evidence).all()
    assert all((array == before[name]).all() for name, array in counts.state_dict().items())


def test_absent_neighbours_bring_nobody() -> None:
    counts = counted()
    found = retrieval_of(counts).retrieve(histories([[]]), np.array([[ABSENT, 9, ABSENT]]))
    must_agree(as_dict(found, 0), reference(counts, [], [9]))


def test_beyond_the_limit_the_strongest_evidence_stays() -> None:
    counts = counted(leaders=1)
    items, nearest = [[1, 2]], np.array([[5]])
    everything = as_dict(retrieval_of(counts).retrieve(histories(items), nearest), 0)
    few = [row for row, one in everything.items() if one.sources - {"transition", "together"}]
    others = sorted(
        (row for row in everything if row not in few),
        key=lambda row: -everything[row].evidence[FROM_RECENT.start : WAYS.start].sum(),
    )
    assert len(others) > 2
    limit = len(few) + 2
    found = retrieval_of(counts, limit).retrieve(histories(items), nearest)
    assert found.rows.shape == (1, limit)
    must_agree(as_dict(found, 0), {row: everything[row] for row in [*few, *others[:2]]})


def test_a_new_item_is_a_candidate_however_many_others_there_are() -> None:
    counts = counted(leaders=1)
    newcomer = np.array([[ITEMS + 3]])  # of which nothing is counted
    items, nobody = histories([[1, 2]]), nobody_near(1)
    everything = as_dict(retrieval_of(counts).retrieve(items, nobody, newcomer), 0)
    limit = sum(bool(one.sources - {"transition", "together"}) for one in everything.values())
    assert 1 < limit < len(everything)
    for few in (limit, 1):  # there may be more leaders and own items than there is room for
        assert ITEMS + 3 in retrieval_of(counts, few).retrieve(items, nobody, newcomer).rows[0]


def test_nobody_and_nothing_known_leave_no_candidates() -> None:
    empty = retrieval_of(Counts(max_pairs=10), limit=10)
    found = empty.retrieve(histories([[], []]), nobody_near(2))
    assert (found.rows == ABSENT).all()
    assert found.rows.shape == (2, 1)
    assert len(empty.retrieve(histories([]), nobody_near(0))) == 0


def test_a_stranger_gets_what_all_choose() -> None:
    counts = counted()
    found = as_dict(retrieval_of(counts, limit=50).retrieve(histories([[]]), nobody_near(1)), 0)
    assert sorted(found) == counts.popularity.leaders().tolist()
    assert all(one.sources == {"popularity"} for one in found.values())


# --- what was seen


@given(some_histories, st.integers(0, 3))
@law(30)
def test_what_a_user_has_chosen_or_met_can_be_left_out_and_nothing_else_is(
    items: list[list[int]], seed: int
) -> None:
    counts = counted(seed)
    moments = histories(items, slots=8)  # the users are those of the walks
    found = retrieval_of(counts, exclude_seen=True).retrieve(moments, nobody_near(len(items)))
    for n, history in enumerate(items):
        chosen = {row for row in range(ITEMS) if counts.own.of(n, row)[0]}
        everything = reference(counts, history, [])
        seen = chosen | set(history)
        must_agree(as_dict(found, n), {row: one for row, one in everything.items() if row not in seen})


def test_what_was_seen_takes_no_room_below_the_limit() -> None:
    counts = counted()
    moments, seen = (
        histories([[1, 2, 3]]),
        {1, 2, 3} | {row for row in range(ITEMS) if counts.own.of(0, row)[0]},
    )
    all_unseen = reference(counts, [1, 2, 3], [7, 8, 9]).keys() - seen
    assert len(all_unseen) >= 2
    found = retrieval_of(counts, limit=2, exclude_seen=True).retrieve(moments, np.array([[7, 8, 9]]))
    assert len(set(found.rows[0].tolist()) & all_unseen) == 2


# --- the rest


@given(some_histories, st.integers(0, 3), st.integers(1, 8), st.booleans())
@law(30)
def test_the_rest_is_what_was_retrieved_and_found_no_room(
    items: list[list[int]], seed: int, limit: int, exclude_seen: bool
) -> None:
    counts, moments = counted(seed), histories(items, slots=8)
    everything = retrieval_of(counts, exclude_seen=exclude_seen).retrieve(moments, nobody_near(len(items)))
    cut = retrieval_of(counts, limit=limit, exclude_seen=exclude_seen).retrieve(
        moments, nobody_near(len(items)), rest=True
    )
    scores = np.where(cut.rows != ABSENT, np.float32(-3.0), np.float32(-np.inf))
    rows, ranked = cut.with_rest(scores)
    for n in range(len(items)):
        there = rows[n][rows[n] != ABSENT].tolist()
        assert sorted(there) == sorted(everything.rows[n][everything.rows[n] != ABSENT].tolist())
        assert (cut.rows[n] != ABSENT).sum() == min(limit, len(there))
        behind = cut.rest[n] != ABSENT
        assert (ranked[n, cut.rows.shape[1] :][behind] == -4.0).all(), "one place behind all candidates"
        assert np.isneginf(ranked[n][rows[n] == ABSENT]).all()


def test_nobody_who_did_not_ask_is_told_the_rest() -> None:
    moments = histories([[1, 2, 3]])
    assert retrieval_of(counted(), limit=2).retrieve(moments, nobody_near(1)).rest.shape == (1, 0)


# --- describing


@given(some_histories, st.integers(0, 3))
@law(20)
def test_a_described_item_is_described_as_if_it_were_retrieved(items: list[list[int]], seed: int) -> None:
    counts = counted(seed)
    retrieval = retrieval_of(counts)
    moments: Histories = histories(items, slots=8)
    retrieved = retrieval.retrieve(moments, nobody_near(len(items)))
    rng = np.random.default_rng(seed)
    asked = rng.permutation(len(items) * (ITEMS + 4))  # rows of one sequence need not stand together
    sequence = np.repeat(np.arange(len(items)), ITEMS + 4)[asked]
    rows = np.tile(np.arange(ITEMS + 4), len(items))[asked]
    described = retrieval.describe(moments, sequence, rows)
    assert described.rows[:, 0].tolist() == rows.tolist()
    assert not described.sources.any()
    for n, (of, row) in enumerate(zip(sequence.tolist(), rows.tolist(), strict=True)):
        expected = as_dict(retrieved, of).get(row, Speaks())
        assert described.evidence[n, 0] == pytest.approx(expected.evidence, rel=1e-4, abs=1e-7)


def test_an_item_that_is_asked_for_twice_is_described_twice() -> None:
    counts = counted()
    found = retrieval_of(counts).describe(histories([[1, 2]]), np.zeros(4, np.int64), np.array([3, 4, 3, 3]))
    assert found.evidence[0].any()
    assert (found.evidence[[2, 3]] == found.evidence[0]).all()
    assert (found.evidence[1] != found.evidence[0]).any()


def test_nothing_asked_is_nothing_described() -> None:
    none = np.zeros(0, np.int64)
    found = retrieval_of(counted()).describe(histories([[1]]), none, none)
    assert found.evidence.shape == (0, 1, EVIDENCE)


# --- the compiled loops


@given(some_histories, st.integers(0, 3), st.booleans(), st.booleans())
@law(15)
def test_compiled_and_interpreted_agree(
    items: list[list[int]], seed: int, tight: bool, exclude_seen: bool
) -> None:
    counts = counted(seed)
    moments, S = histories(items, slots=8), len(items)
    limit = 500
    if tight:  # no cut among those who stay in any case: they tie
        stay = [
            sum(
                bool(one.sources - {"transition", "together"}) for one in reference(counts, own, [7]).values()
            )
            for own in items
        ]
        limit = max(stay) + 2

    def retrieved(retrieve: object) -> tuple[np.ndarray, ...]:
        rows = np.full((S, limit), ABSENT, np.int64)
        evidence = np.zeros((S, limit, EVIDENCE), np.float32)
        sources = np.zeros((S, limit), np.uint8)
        rest = np.full((S, 1_000 - limit), ABSENT, np.int64)
        widths = retrieve(
            counts.arrays,
            moments.users,
            moments.item_rows,
            moments.now_s,
            counts.popularity.leaders(),
            np.full((S, 1), 7),
            np.full((S, 1), 8),
            exclude_seen,
            np.zeros(50, np.int64),
            np.zeros(50, np.int64),
            1,
            np.empty((1_000, EVIDENCE), np.float32),
            rows,
            evidence,
            sources,
            rest,
        )
        order = np.argsort(rows, axis=1)
        sources = np.take_along_axis(sources, order, axis=1)
        return (
            np.array(widths),
            np.sort(rest, axis=1),
            np.take_along_axis(rows, order, axis=1),
            np.take_along_axis(evidence, order[:, :, None], axis=1),
            sources,
        )

    for one, other in zip(retrieved(module._retrieve), retrieved(module._retrieve.py_func), strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-7)

    def described(describe: object) -> np.ndarray:
        sequence = np.repeat(np.arange(S), 3)
        evidence = np.zeros((3 * S, EVIDENCE), np.float32)
        describe(
            counts.arrays,
            moments.item_rows,
            moments.now_s,
            sequence,
            np.tile([1, 2, 3], S),
            np.argsort(sequence, kind="stable"),
            np.zeros(50, np.int64),
            np.zeros(50, np.int64),
            1,
            evidence,
        )
        return evidence

    assert described(module._describe) == pytest.approx(
        described(module._describe.py_func), rel=1e-5, abs=1e-7
    )


@given(some_histories, st.integers(0, 3), st.booleans())
@law(25)
def test_gathering_is_the_same_for_compiler_and_interpreter(
    items: list[list[int]], seed: int, open_to_all: bool
) -> None:
    counts = counted(seed)

    def gathered(gather: object, add: object) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        rows, bits = np.zeros(400, np.int64), np.zeros(400, np.uint8)
        stamps, slots = np.zeros((2, 50), np.int64)
        evidence = np.zeros((400, EVIDENCE), np.float32)
        met = np.array([2, ABSENT, 5, 2], np.int64)
        found = add(met, 1, stamps, slots, 9, rows, evidence, bits, 0)
        assert found == 2
        history = np.array(items[0], np.int64)
        found = gather(
            counts.arrays, history, START_S, stamps, slots, 9, open_to_all, rows, evidence, bits, found
        )
        return found, rows[:found], evidence[:found], bits[:found]

    one = gathered(module._gather, module._add)
    other = gathered(module._gather.py_func, module._add.py_func)
    assert one[0] == other[0]
    assert open_to_all or one[0] == 2
    assert one[1].tolist() == other[1].tolist()
    assert one[2] == pytest.approx(other[2], rel=1e-5, abs=1e-7)
    assert one[3].tolist() == other[3].tolist()
