"""What goes with what, decayed by time and by touches, against lists and dictionaries."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.counts.neighbours import PRIOR, NeighbourTable, _close_gaps, share_factors, strengthen
from learners.row_index import ABSENT

START_S = 1.7e9
HALF_LIVES_S = np.array([3_600.0, 86_400.0, 1e8])
KEPT = (0.5, 0.9)
J = len(HALF_LIVES_S) + len(KEPT)

# (row, neighbour, amount, seconds since the event before)
steps_of = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, 5),
        st.sampled_from([1.0, 0.5, 0.25]),
        st.sampled_from([0.0, 60.0, 3_600.0, 86_400.0, 1e7, -30.0, -7_200.0]),
    ),
    min_size=1,
    max_size=30,
)
Steps = list[tuple[int, int, float, float]]


def table_of(neighbours: int = 8) -> NeighbourTable:
    return NeighbourTable(neighbours, HALF_LIVES_S, KEPT)


def columns(steps: Steps) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rows, others, amounts, elapsed = zip(*steps, strict=True)
    return (
        np.array(rows),
        np.array(others),
        np.array(amounts, np.float32),
        START_S + np.cumsum(elapsed),
    )


def learned(steps: Steps, cut: int | None = None, neighbours: int = 8) -> NeighbourTable:
    table, size = table_of(neighbours), cut or len(steps)
    for start in range(0, len(steps), size):
        table.learn_many(*(column[start : start + size] for column in columns(steps)))
    return table


def shares(table: NeighbourTable, row: int, now_s: float) -> dict[int, list[float]]:
    rows, found = table.shares(row, now_s)
    assert (rows != ABSENT).all()
    told = dict(zip(rows.tolist(), found.tolist(), strict=True))
    assert len(told) == len(rows), "each neighbour once"
    return told


def moment(steps: Steps) -> float:
    return float(columns(steps)[3].max()) + 1_000.0


def naive(steps: Steps, later: float) -> dict[int, dict[int, np.ndarray]]:
    """Shares by row and neighbour: every addition, faded from its moment, or by each touch of the row since."""
    told: dict[int, dict[int, np.ndarray]] = defaultdict(lambda: defaultdict(lambda: np.zeros(J)))
    touches: dict[int, int] = defaultdict(int)
    additions = list(zip(*(column.tolist() for column in columns(steps)), strict=True))
    for row, *_ in additions:
        touches[row] += 1
    seen: dict[int, int] = defaultdict(int)
    for row, other, amount, at in additions:
        seen[row] += 1
        by_time = 2 ** (-(later - at) / HALF_LIVES_S)
        by_touch = np.array(KEPT) ** (touches[row] - seen[row])
        told[row][other] = told[row][other] + amount * np.concatenate([by_time, by_touch])
    return {
        row: {other: weight / (sum(of.values()) + PRIOR) for other, weight in of.items()}
        for row, of in told.items()
    }


@given(steps_of, st.integers(1, 30))
@law(80)
def test_shares_are_those_of_a_list_of_additions(steps: Steps, cut: int) -> None:
    table, later = learned(steps, cut), moment(steps)
    expected = naive(steps, later)
    for row in range(6):
        found = shares(table, row, later)
        assert found.keys() == expected.get(row, {}).keys()
        for other, share in found.items():
            assert share == pytest.approx(expected[row][other], rel=1e-3, abs=1e-6)


@given(steps_of, st.integers(1, 10))
@law(40)
def test_many_at_once_are_as_one_by_one(steps: Steps, cut: int) -> None:
    one, other = learned(steps, neighbours=2).state_dict(), learned(steps, cut, neighbours=2).state_dict()
    for name, array in one.items():
        assert (array == other[name]).all(), name


def test_what_goes_with_a_row_has_a_direction() -> None:
    table = learned([(1, 2, 1.0, 0.0)])
    assert list(shares(table, 1, START_S)) == [2]
    assert shares(table, 2, START_S) == {}


def test_shares_are_of_the_total_and_a_prior() -> None:
    found = shares(learned([(1, 3, 1.0, 0.0), (1, 4, 0.5, 0.0)]), 1, START_S)
    assert found[3][0] == pytest.approx(1 / (1.5 + PRIOR))
    assert found[4][0] == pytest.approx(0.5 / (1.5 + PRIOR))


def test_touches_fade_by_each_touch_of_the_row_whenever_it_comes() -> None:
    told = [(1, 3, 1.0, 0.0), (2, 9, 1.0, 0.0), (1, 4, 1.0, 0.0), (1, 5, 1.0, 0.0)]
    for gap in (0.0, 1e9):
        steps = [(row, other, amount, gap) for row, other, amount, _ in told]
        found = shares(learned(steps), 1, START_S + 1e12)
        total = 1.75 + PRIOR
        assert [found[n][3] for n in (3, 4, 5)] == pytest.approx([0.25 / total, 0.5 / total, 1.0 / total])


def test_an_event_out_of_order_adds_what_would_be_left_of_it() -> None:
    late = shares(learned([(1, 3, 1.0, 3_600.0), (1, 4, 1.0, -3_600.0)]), 1, START_S + 3_600.0)
    assert late[3][0] == pytest.approx(1.0 / (1.5 + PRIOR))
    assert late[4][0] == pytest.approx(0.5 / (1.5 + PRIOR))
    assert late[4][3] == pytest.approx(1.0 / (1.5 + PRIOR)), (
        "to touches there is no order but that of arrival"
    )


def test_what_is_touched_all_the_time_decays_all_the_same() -> None:
    """In a second so little is lost at a long half-life that a float would stay as it is, touch after touch."""
    half_life_s, every_s, touches = 1e9, 40.0, 100_000
    table = NeighbourTable(4, np.array([half_life_s]))
    now_s = START_S + every_s * np.arange(touches)
    neighbours, amounts = np.full(touches, 2), np.ones(touches, np.float32)
    neighbours[0], amounts[0] = 1, 1_000.0
    table.learn_many(np.zeros(touches, np.int64), neighbours, amounts, now_s)
    of = table.arrays
    first = of.weights[of.first[0], 0] * 0.5 ** ((now_s[-1] - of.as_of_s[0]) / half_life_s)
    assert first == pytest.approx(1_000.0 * 0.5 ** ((now_s[-1] - START_S) / half_life_s), rel=1e-4)
    assert first < 998.0


def test_a_question_from_before_the_last_addition_is_answered_as_of_it() -> None:
    table = learned([(1, 3, 1.0, 0.0)])
    assert shares(table, 1, START_S - 1e6) == shares(table, 1, START_S)


def test_unknown_and_absent_rows_have_no_neighbours() -> None:
    table = learned([(1, 2, 1.0, 0.0)])
    for row in (ABSENT, 5, 99_999):
        assert shares(table, row, START_S) == {}


def test_the_weakest_neighbour_gives_way() -> None:
    steps: Steps = [(0, 1, 1.0, 0.0)] * 3 + [(0, 2, 1.0, 0.0)] * 2 + [(0, 3, 1.0, 0.0)]
    table = learned(steps, neighbours=2)
    assert sorted(shares(table, 0, START_S)) == [1, 3], "2 was the weaker of the two when 3 came"


def test_the_weakest_is_told_by_time_not_by_touches() -> None:
    steps: Steps = [(0, 1, 1.0, 0.0), (0, 1, 1.0, 0.0), (0, 2, 1.0, 0.0), (0, 3, 1.0, 0.0)]
    table = learned(steps[:3], neighbours=2)
    found = shares(table, 0, START_S)
    assert found[2][3] > found[1][3], "2 was touched last"
    assert sorted(shares(learned(steps, neighbours=2), 0, START_S)) == [1, 3]


def naive_bounded(steps: Steps, M: int) -> dict[int, list[int]]:
    """Who stands in a bounded table, by slots: one dictionary of weights a row, as of its latest moment."""
    weights: dict[int, dict[int, np.ndarray]] = defaultdict(dict)
    slots: dict[int, list[int]] = defaultdict(list)
    touched: dict[int, float] = {}
    for row, other, amount, at in zip(*(column.tolist() for column in columns(steps)), strict=True):
        elapsed = at - touched.get(row, at)
        own = weights[row]
        for known in own:
            own[known] = own[known] * 2 ** (-max(elapsed, 0.0) / HALF_LIVES_S)
        touched[row] = max(touched.get(row, at), at)
        if other not in own:
            if len(own) == M:
                weakest = min(slots[row], key=lambda known: own[known].sum())
                slots[row][slots[row].index(weakest)] = other
                del own[weakest]
            else:
                slots[row].append(other)
            own[other] = np.zeros(len(HALF_LIVES_S))
        own[other] = own[other] + amount * 2 ** (-max(-elapsed, 0.0) / HALF_LIVES_S)
    return slots


distinct_amounts = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 6),
        st.floats(0.1, 1.0).map(lambda amount: round(amount, 3)),
        st.sampled_from([0.0, 37.0, 4_000.0]),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda step: step[2],  # no ties
)


@given(distinct_amounts, st.integers(1, 4))
@law(80)
def test_a_bounded_table_holds_whom_a_naive_one_holds(steps: Steps, M: int) -> None:
    table = learned(steps, neighbours=M)
    expected = naive_bounded(steps, M)
    for row in range(3):
        assert table.shares(row, START_S)[0].tolist() == expected[row]


def test_more_newcomers_than_slots_fill_the_slots_once_each() -> None:
    steps: Steps = [(0, other, 1.0, 0.0) for other in range(1, 6)]
    assert len(shares(learned(steps, neighbours=2), 0, START_S)) == 2


def test_who_gave_way_still_counts_in_the_total() -> None:
    steps: Steps = [(0, other, 1.0, 0.0) for other in (1, 2, 3)]
    found = shares(learned(steps, neighbours=1), 0, START_S)
    assert list(found) == [3]
    assert found[3][0] == pytest.approx(1.0 / (3.0 + PRIOR))


def test_nothing_to_add_teaches_nothing() -> None:
    table, none = table_of(), np.zeros(0, np.int64)
    table.learn_many(none, none, none.astype(np.float32), none.astype(np.float64))
    assert not table.state_dict()["totals"].any()


# --- forgetting


@given(steps_of, st.sets(st.integers(0, 8), min_size=1), st.integers(1, 4))
@law(60)
def test_the_forgotten_are_neither_rows_nor_neighbours(steps: Steps, gone: set[int], M: int) -> None:
    table, later = learned(steps, neighbours=M), moment(steps)
    before = {row: shares(table, row, later) for row in range(6)}
    table.forget(np.array([*sorted(gone), 55_555]))
    for row in range(6):
        expected = {
            other: share for other, share in before[row].items() if row not in gone and other not in gone
        }
        assert shares(table, row, later) == expected


def test_a_forgotten_row_begins_anew() -> None:
    table = learned([(2, 3, 1.0, 0.0), (3, 2, 1.0, 0.0)])
    table.forget(np.array([2]))
    table.learn_many(*columns([(2, 5, 1.0, 60.0)]))
    fresh = learned([(2, 5, 1.0, 60.0)])
    assert shares(table, 2, START_S + 90.0) == shares(fresh, 2, START_S + 90.0)


def test_a_slot_that_was_given_up_is_taken_anew() -> None:
    table = learned([(0, 1, 1.0, 0.0), (0, 2, 1.0, 0.0)], neighbours=2)
    table.forget(np.array([1]))
    table.learn_many(*columns([(0, 3, 0.25, 0.0)]))
    found = shares(table, 0, START_S)
    assert sorted(found) == [2, 3]
    assert found[3][0] == pytest.approx(0.25 / (2.25 + PRIOR))


def test_rows_and_neighbours_of_different_kinds_are_forgotten_apart() -> None:
    table = learned([(1, 1, 1.0, 0.0), (1, 2, 1.0, 0.0), (2, 1, 1.0, 0.0)])
    table.forget(np.array([2]), neighbours=np.array([1]))
    assert list(shares(table, 1, START_S)) == [2]
    assert shares(table, 2, START_S) == {}


@given(steps_of, steps_of)
@law(40)
def test_a_restored_one_goes_on_alike(before: Steps, after: Steps) -> None:
    one, other = learned(before, neighbours=2), table_of(2)
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    for table in (one, other):
        table.learn_many(*columns(after))
    for name, array in one.state_dict().items():
        assert (array == other.state_dict()[name]).all(), name


def test_another_number_of_neighbours_or_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"saved with learner.neighbours = 8 .*, configured is 4 "):
        table_of(4).load_state_dict(table_of(8).state_dict())
    with pytest.raises(ValueError, match=r"and 3 weights each\), configured is 8 \(and 5\)"):
        table_of(8).load_state_dict(NeighbourTable(8, HALF_LIVES_S).state_dict())


# --- lists


@given(steps_of, st.integers(1, 9))
@law(40)
def test_no_two_lists_share_a_place(steps: Steps, M: int) -> None:
    table = learned(steps, neighbours=M)
    table.forget(np.array([0, 3]))
    table.learn_many(*columns(steps[::-1]))
    of = table.arrays
    places = [
        place
        for row in range(len(table))
        for place in range(of.first[row], of.first[row] + of.sizes[of.size[row]])
    ]
    for size, first in enumerate(of.vacant[:-1].tolist()):
        while first != ABSENT:
            places += range(first, first + of.sizes[size])
            first = of.rows[first]
    assert sorted(places) == list(range(table.taken)), "each place is in one list, whoever's"
    assert (of.filled <= np.minimum(of.sizes[of.size], M)).all()


def test_what_a_list_leaves_is_taken_by_the_next() -> None:
    table = table_of(64)
    for _ in range(3):
        for row in range(6):
            steps: Steps = [(row, other, 1.0, 0.0) for other in range(64)]
            table.learn_many(*columns(steps))
        taken = table.taken
        table.forget(np.arange(6), neighbours=np.zeros(0, np.int64))
    table.learn_many(*columns(steps))
    assert table.taken == taken, "what was forgotten made room"
    assert taken < 2 * 6 * 64


def test_few_neighbours_take_few_places() -> None:
    table = table_of(80)
    table.learn_many(*columns([(row, 1, 1.0, 0.0) for row in range(100)]))
    assert table.taken == 400


@given(steps_of, st.integers(1, 4))
@law(40)
def test_squares_of_older_versions_are_read(steps: Steps, M: int) -> None:
    one, other = learned(steps, neighbours=M), table_of(M)
    saved, later = one.state_dict(), moment(steps)
    N = len(one)
    rows, weights = np.full((N, M), ABSENT, np.int32), np.zeros((N, M, J), np.float32)
    for row in range(N):
        count, first = saved["filled"][row], saved["first"][row]
        rows[row, :count] = saved["places"].ravel()[first : first + count]
        weights[row, :count] = saved["place_weights"].reshape(-1, J)[first : first + count]
    other.load_state_dict(
        {"rows": rows, "weights": weights, "totals": saved["totals"], "touched_s": saved["touched_s"]}
    )
    for row in range(N):
        assert shares(other, row, later) == shares(one, row, later)
    for table in (one, other):
        table.learn_many(*columns(steps))
    for row in range(N):
        assert shares(other, row, later) == shares(one, row, later)


# --- the compiled loops


@given(steps_of, st.integers(1, 4), st.sets(st.integers(0, 6)))
@law(40)
def test_compiled_and_interpreted_agree(steps: Steps, M: int, gone: set[int]) -> None:
    compiled, interpreted = table_of(M), table_of(M)
    for table in (compiled, interpreted):
        table.ensure(7, len(steps))
    for row, other, amount, at in zip(*columns(steps), strict=True):
        strengthen(compiled.arrays, row, other, amount, at)
        with np.errstate(under="ignore"):
            strengthen.py_func(interpreted.arrays, row, other, amount, at)
    marks = np.zeros(7, np.bool_)
    marks[sorted(gone)] = True
    _close_gaps(compiled.arrays, marks)
    _close_gaps.py_func(interpreted.arrays, marks)
    for name, array in compiled.state_dict().items():
        assert array == pytest.approx(interpreted.state_dict()[name], rel=1e-5, abs=1e-9), name
    one, other = np.zeros((2, J), np.float32)
    share_factors(compiled.arrays, 0, moment(steps), one)
    share_factors.py_func(interpreted.arrays, 0, moment(steps), other)
    assert one == pytest.approx(other, rel=1e-5, abs=1e-9)
