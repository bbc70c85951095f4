"""Values, places and times at the ends of what is accepted: what is learned and served stays a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, Record, wire
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from connectors.dead_letter import Reason
from connectors.decode import EARLIEST_MS
from learners.state_arrays import Arrays
from stream.assembly import build_processor
from stream.processor import Processor
from stream.settings import load

DAY_MS = 86_400_000
TASKS = len(load().tasks)
YEAR_9999_MS = 253_402_300_799_000
STANDS_FOR_SUBNORMAL = 0.0625
"""A worker's process takes subnormal numbers for zero, so they can only be written down."""

NEVER = {
    "first_s": np.inf,
    "last_s": -np.inf,
    "touched_s": -np.inf,
    "as_of_s": -np.inf,
    "said_s": -np.inf,
    "keys": -np.inf,
}
"""By the ends of the names of arrays: what stands there for `never`."""

extremes = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["ann", "bob", "cat"]),
        "item_id": st.sampled_from("abcdef"),
        "event_type": st.sampled_from(["impression", "click", "purchase", "rating", "dwell", "view"]),
        "occurred_at_ms": st.sampled_from(
            [EARLIEST_MS, NOW_MS - 10 * DAY_MS, NOW_MS, NOW_MS + DAY_MS, YEAR_9999_MS, 0]
        ),
        "value": st.sampled_from([None, 1e38, -1e38, 1.7e308, -1.7e308, STANDS_FOR_SUBNORMAL, -0.0, 3.0])
        | st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
        "position": st.sampled_from([None, 0, -1, 2**31 - 1, -(2**31) + 1]),
    }
)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Processor:
    """What has been through every example before: what one of them spoils is spoilt for the rest."""
    return build_processor(
        load(
            overrides={
                "state_dir": tmp_path_factory.mktemp("state"),
                "learner": {"dimension": 8, "neighbours": 8, "negatives": 8, "ranker_memory": 64},
            }
        )
    )


def apply(worked: Processor, rows: Sequence[dict[str, Any]], arrived_ms: int | None) -> Any:
    first = worked.states.applied.get(0, -1) + 1
    some: list[Record] = []
    for offset, row in enumerate(rows, first):
        value = wire(**row, event_id=f"e{offset}").replace(b"0.0625", b"5e-324")
        made = _Arrived if arrived_ms else Record
        some.append(made(value=value, offset=offset, timestamp=arrived_ms or 0))
    return worked.process(some, NOW_MS)


class _Arrived(Record):
    """A record of which the broker says when it came."""

    timestamp_type = 1


def not_numbers(pieces: dict[str, Arrays]) -> list[str]:
    """Names of arrays that hold NaN, or infinity where that does not say `never`."""
    found = []
    for piece, arrays in pieces.items():
        for name, array in arrays.items():
            never = next((value for end, value in NEVER.items() if name.endswith(end)), 0.0)
            if name.endswith("shown") and array.shape[-1]:
                # Logits, K before the last K, are none where a head was not taught yet.
                array = np.delete(array, np.s_[-2 * TASKS : -TASKS], axis=-1)
            if array.dtype.kind == "f" and not (np.isfinite(array) | (array == never)).all():
                found.append(f"{piece} {name}")
    return found


@given(st.lists(extremes, max_size=40), st.booleans())
@law(40)
def test_whatever_comes_what_is_learned_and_served_stays_a_number(
    learned: Processor, rows: list[dict[str, Any]], stamped: bool
) -> None:
    found = apply(learned, rows, NOW_MS if stamped else None)
    assert {letter.reason for letter in found.dead_letters} <= {Reason.ABSURD_TIME}
    now = learned.totals.events_learned
    ordinary = [
        {"user_id": f"u{now + n}", "item_id": "abcdef"[n % 6], "occurred_at_ms": NOW_MS + n, "value": 3.0}
        | ({"event_type": "rating"} if n % 3 == 2 else {})
        for n in range(20)
    ]
    after = apply(learned, ordinary, None)
    assert after.step is not None
    assert after.step.lesson.skipped == ()
    assert {slate.user_id for slate in after.recommendations} == {row["user_id"] for row in ordinary}
    for slate in after.recommendations:
        for place in slate.items:
            numbers = [place.score, place.propensity, *place.scores.values(), *place.parts.values()]
            assert np.isfinite(numbers).all()
    assert not_numbers(learned.state_dicts()) == []


def test_the_search_for_what_is_no_number_finds_it() -> None:
    arrays = {"last_s": np.array([-np.inf, 1.0]), "weights": np.array([1.0]), "names": np.array([1])}
    assert not_numbers({"learner": arrays}) == []
    for name, value in (("weights", np.nan), ("weights", -np.inf), ("last_s", np.inf), ("last_s", np.nan)):
        assert not_numbers({"learner": {**arrays, name: np.array([value])}}) == [f"learner {name}"]
