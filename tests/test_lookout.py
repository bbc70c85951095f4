"""Lag and memory are looked at from outside the steps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest
from aiokafka.errors import KafkaConnectionError
from builders import NOW_MS, event, numbered, records
from fakes import TASKS, Diary, MemoryPublisher, processor
from prometheus_client.parser import text_string_to_metric_families

from learners.state_changes import Table
from stream.engine import Engine, EngineConfig, EngineStoppedError
from stream.lookout import Lookout, kept_up, state_bytes
from stream.observer import worker_metrics


class Broker:
    """Answers with what the test says."""

    def __init__(self) -> None:
        self.ends: dict[int, tuple[int, int]] = {}
        self.away = False
        self.asked = 0

    async def __call__(self) -> Mapping[int, tuple[int, int]]:
        self.asked += 1
        if self.away:
            raise KafkaConnectionError("away")
        return self.ends


class Watched:
    """A lookout beside an engine that has applied three events of partition 0."""

    def __init__(self) -> None:
        working = processor()
        working.process(records(numbered([event(), event("bob"), event("cid")])), NOW_MS)
        self.metrics, self.broker = worker_metrics(TASKS), Broker()
        self.engine = Engine(working, MemoryPublisher(), None, Diary(), EngineConfig(topic="events"))
        self.lookout = Lookout(self.engine, self.metrics, self.broker, every_s=0.001)

    def shown(self, name: str) -> dict[str, float]:
        return {
            next(iter(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(self.metrics.render().decode())
            for sample in family.samples
            if sample.name == f"freshet_{name}"
        }


@pytest.fixture
def watched() -> Watched:
    return Watched()


async def test_lag_is_what_is_not_applied_yet(watched: Watched) -> None:
    watched.broker.ends = {0: (0, 8), 1: (40, 40), 2: (10, 15)}
    await watched.lookout.look_at_lag(100.0)
    assert watched.shown("lag_records") == {"0": 5.0, "1": 0.0, "2": 5.0}, "what retention deleted is no lag"
    assert watched.shown("caught_up_timestamp_seconds") == {"0": 100.0, "1": 100.0, "2": 100.0}
    await watched.lookout.look_at_lag(105.0)
    assert watched.shown("caught_up_timestamp_seconds") == {"0": 100.0, "1": 105.0, "2": 100.0}


async def test_a_partition_that_is_given_up_has_no_lag_here(watched: Watched) -> None:
    watched.broker.ends = {0: (0, 8), 1: (0, 0)}
    await watched.lookout.look_at_lag(100.0)
    watched.broker.ends = {1: (0, 0)}
    await watched.lookout.look_at_lag(105.0)
    assert set(watched.shown("lag_records")) == set(watched.shown("caught_up_timestamp_seconds")) == {"1"}


async def test_a_rebalance_makes_no_record_younger(watched: Watched) -> None:
    watched.broker.ends = {0: (0, 8)}
    await watched.lookout.look_at_lag(100.0)
    watched.broker.ends = {}
    await watched.lookout.look_at_lag(3_700.0)
    watched.broker.ends = {0: (0, 9)}
    await watched.lookout.look_at_lag(3_705.0)
    assert watched.shown("caught_up_timestamp_seconds") == {"0": 100.0}


async def test_a_watch_that_fails_begins_again_until_the_engine_stops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = 0

    async def watch() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise ZeroDivisionError
        raise EngineStoppedError

    await kept_up(watch, "lag", pause_s=0.0)
    assert begun == 3
    assert caplog.text.count("the watch over lag failed and begins again") == 2


async def test_while_the_broker_is_away_the_lag_is_unknown_and_grows_old(watched: Watched) -> None:
    watched.broker.ends = {0: (0, 8)}
    looking = asyncio.create_task(watched.lookout.watch_lag())
    while not watched.shown("lag_records"):
        await asyncio.sleep(0.001)
    before, watched.broker.away = watched.shown("caught_up_timestamp_seconds"), True
    while watched.shown("lag_records"):
        await asyncio.sleep(0.001)
    assert watched.shown("caught_up_timestamp_seconds") == before
    watched.broker.away = False
    while not watched.shown("lag_records"):
        await asyncio.sleep(0.001)
    looking.cancel()


async def test_memory_is_shown_by_piece(watched: Watched) -> None:
    looking = asyncio.create_task(watched.lookout.watch_memory())
    while not watched.shown("state_bytes"):
        await asyncio.sleep(0.001)
    looking.cancel()
    shown = watched.shown("state_bytes")
    assert set(shown) >= {"histories", "pending", "user_ids", "item_ids", "learner", "ledger"}
    assert all(size > 0.0 for size in shown.values())


def test_a_table_counts_with_all_the_rows_that_it_has_room_for() -> None:
    rows, marks = np.zeros((4, 8), np.float64), np.zeros(16, np.uint8)
    parts = {"neural.inputs.weight": Table(rows, marks), "neural.network.bias": np.zeros(3, np.float32)}
    assert state_bytes({"learner": parts}) == {"embeddings": 16 * (4.0 + 64.0), "neural": 12.0}
