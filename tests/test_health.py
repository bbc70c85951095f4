"""Why a worker should be started again, and why it is not ready."""

from __future__ import annotations

from typing import Any

import pytest

from stream.health import why_not_alive, why_not_ready

WORKING = {"busy": True, "since_progress_s": 3.0, "undelivered_s": 0.0}
STUCK = {**WORKING, "since_progress_s": 121.0}
READY: dict[str, Any] = {"owned": 2, "topic_problem": None, "undelivered_s": 0.0, "fenced": False}


def test_a_worker_whose_steps_do_not_end_is_started_again() -> None:
    assert why_not_alive(**STUCK) == ["records wait, and no step has ended for 121 s"]


@pytest.mark.parametrize("facts", [WORKING, {**STUCK, "busy": False}, {**STUCK, "undelivered_s": 1.0}])
def test_nothing_else_is_mended_by_a_restart(facts: dict[str, Any]) -> None:
    assert why_not_alive(**facts) == []


def test_a_worker_that_has_partitions_and_a_broker_is_ready() -> None:
    assert why_not_ready(**READY) == []
    assert why_not_ready(**{**READY, "undelivered_s": 9.0}) == []


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"owned": None}, "partitions are not assigned yet"),
        ({"owned": 0}, "no partitions are assigned: other members of the group have them all"),
        ({"topic_problem": "There is no topic."}, "There is no topic."),
        ({"undelivered_s": 11.0}, "results have waited for the broker for 11 s"),
        ({"fenced": True}, "it stood still for longer than its session, and starts again"),
    ],
)
def test_each_reason_is_told(facts: dict[str, Any], says: str) -> None:
    assert why_not_ready(**{**READY, **facts}) == [says]


def test_all_reasons_are_told_together() -> None:
    facts = {
        "owned": None,
        "topic_problem": "No Kafka broker answers.",
        "undelivered_s": 60.0,
        "fenced": True,
    }
    assert len(why_not_ready(**facts)) == 4  # type: ignore[arg-type]
