"""The watch says what is wrong with the topic, when it is mended, and when another topic has taken its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from connectors.kafka_admin import BrokerUnreachableError
from connectors.topics import TopicError, TopicShape
from stream.topic_watch import TopicWatch

A, B, WIDER = TopicShape("a", 4), TopicShape("b", 4), TopicShape("a", 6)


def answers(*given: TopicShape | Exception) -> Callable[[], TopicShape]:
    """One answer after the other."""
    left: Iterator[TopicShape | Exception] = iter(given)

    def look() -> TopicShape:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return look


async def test_it_returns_when_the_topic_is_another_one_or_has_other_partitions() -> None:
    for given, said in ((B, "was made anew"), (WIDER, "has 6 partitions, not 4 any more")):
        watch = TopicWatch(answers(A, A, given), A, every_s=0.0)
        assert await asyncio.wait_for(watch.changed(), 10.0) == said
        assert watch.problem is None


async def test_a_problem_stands_until_it_is_mended_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    seen = []
    look = answers(A, TopicError("gone."), BrokerUnreachableError("away."), ValueError("odd"), A, B)

    def watched() -> TopicShape:
        seen.append(watch.problem)
        return look()

    watch = TopicWatch(watched, A, every_s=0.0)
    await asyncio.wait_for(watch.changed(), 10.0)
    odd = "The events topic cannot be looked at: ValueError('odd')."
    assert seen == [None, None, "gone.", "away.", odd, None]
    assert [record.getMessage() for record in caplog.records] == [
        "gone. The worker waits and goes on by itself.",
        "the broker and the events topic are there again",
    ]


async def test_who_is_in_a_hurry_need_not_wait() -> None:
    watch = TopicWatch(answers(B), A, every_s=3_600.0)
    watch.hurry()
    await asyncio.wait_for(watch.changed(), 10.0)
