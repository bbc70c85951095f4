"""The demonstration on a real broker: topics, a worker process, the scenario, and a summary now and then."""

from __future__ import annotations

import asyncio
import secrets
import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from connectors.kafka_client import KafkaClient
from connectors.simulator.loop import LoopProgress, run
from connectors.sinks.kafka import KafkaSink
from connectors.topics import create_topics, delete_topics
from stream.demo.scenario import Scenario
from stream.demo.summary import DemoSummary, summarise
from stream.settings import TOPICS, Settings
from stream.topic_specs import topic_specs
from stream.worker_process import WorkerProcess

_LOOK_EVERY_S = 0.5
_SETTLES_WITHIN_S = 60.0
_CHUNK = 200


@dataclass(slots=True)
class _Played:
    """How far the scenario has come."""

    started: float | None = None
    produced: int = 0
    user: str | None = None


async def play_on_broker(
    stage: Callable[[], Scenario],
    settings: Settings,
    client: KafkaClient,
    *,
    rate: float,
    duration_s: float,
    state_dir: Path,
    config: Path | None,
    stop: asyncio.Event,
    say: Callable[[str], None],
    on_summary: Callable[[DemoSummary], None],
) -> DemoSummary:
    """Play the scenario; when it ends or `stop` is set, let the worker catch up, and leave nothing behind.

    Topics, group and checkpoints are of this run alone, so nobody else who uses the broker notices it.

    Args:
        stage: Makes what is played, when everything else is ready: the shoppers' time begins then.
        settings: Of the worker, but for what is this run's own.
        client: The broker.
        rate: Events in a real second.
        duration_s: Real seconds.
        state_dir: An empty folder for this run.
        config: The file that the settings are from, if it is not the usual one.
        stop: Set it to end early.
        say: Takes a line about what is going on.
        on_summary: Takes a summary twice a second.

    Raises:
        connectors.kafka_admin.BrokerUnreachableError: No broker answers.
        connectors.topics.TopicError: The topics cannot be created.
        stream.worker_process.WorkerFailedError: The worker stopped.
    """
    run_name = f"freshet-demo-{secrets.token_hex(3)}"
    names = {kind: f"{run_name}.{kind.replace('_', '-')}" for kind in TOPICS}
    own = settings.model_copy(update={"topics": settings.topics.model_copy(update=names)})
    environment = {
        "FRESHET_BROKER": client.bootstrap,
        "FRESHET_WORKER__GROUP": run_name,
        "FRESHET_WORKER__CHECKPOINTS": str(state_dir / "checkpoints"),
        **{f"FRESHET_TOPICS__{name.upper()}": topic for name, topic in names.items()},
    }
    async with _topics(client, own):
        say("Starting the worker ...")
        async with WorkerProcess(state_dir, environment, config=config) as worker:
            await worker.wait_until_ready()
            scenario = stage()
            watcher = _Watcher(scenario, client, worker, own, state_dir)
            say("The worker is ready. The first events are on their way.")
            playing = asyncio.create_task(
                _play(scenario, own, client, watcher.played, rate, duration_s, stop)
            )
            try:
                while not playing.done():
                    worker.check()
                    on_summary(await watcher.look())
                    await asyncio.wait({playing}, timeout=_LOOK_EVERY_S)
                await playing
                return await watcher.settle(on_summary)
            finally:
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)


class _Watcher:
    """Looks at worker and scenario and makes summaries of what it sees."""

    def __init__(
        self,
        scenario: Scenario,
        client: KafkaClient,
        worker: WorkerProcess,
        settings: Settings,
        state_dir: Path,
    ) -> None:
        self.played = _Played()
        self._scenario = scenario
        self._worker = worker
        self._broker = client.bootstrap
        self._places = {
            "events": settings.topics.events,
            "recommendations": settings.topics.recommendations,
            "metrics": f"http://{worker.http}/metrics",
            "state": str(state_dir),
        }
        self._status: dict[str, Any] = {}

    async def look(self) -> DemoSummary:
        """The summary of this moment; what the worker does not answer now is as it was."""
        self._status = await self._worker.ask("/status") or self._status
        played = self.played
        sample = None
        if played.user is not None:
            path = f"/users/{urllib.parse.quote(played.user, safe='')}"
            sample = self._scenario.sample(await self._worker.ask(path))
        return summarise(
            broker=self._broker,
            source=self._scenario.name,
            seconds=time.monotonic() - played.started if played.started is not None else 0.0,
            events_produced=played.produced,
            status=self._status,
            report=self._scenario.report(),
            sample=sample,
            places=self._places,
        )

    async def settle(self, on_summary: Callable[[DemoSummary], None]) -> DemoSummary:
        """Wait until everything that was produced is learned, within reason."""
        deadline = time.monotonic() + _SETTLES_WITHIN_S
        while True:
            summary = await self.look()
            on_summary(summary)
            repeated = int(self._status.get("duplicates", 0))  # are no letters, and learned once
            done = summary.events_learned + summary.dead_letters + repeated >= summary.events_produced
            if done or time.monotonic() > deadline:
                return summary
            self._worker.check()
            await asyncio.sleep(_LOOK_EVERY_S)


async def _play(
    scenario: Scenario,
    settings: Settings,
    client: KafkaClient,
    played: _Played,
    rate: float,
    duration_s: float,
    stop: asyncio.Event,
) -> None:
    played.started = time.monotonic()
    if scenario.simulation is not None and scenario.clock is not None:
        simulation = scenario.simulation

        def on_tick(progress: LoopProgress) -> None:
            played.produced = progress.published
            played.user = simulation.last_served

        await run(
            simulation,
            scenario.clock,
            client,
            events_topic=settings.topics.events,
            recommendations_topic=settings.topics.recommendations,
            rate=rate,
            stop=stop,
            duration_s=duration_s,
            on_tick=on_tick,
        )
        return
    assert scenario.log is not None
    events = iter(scenario.log)
    async with KafkaSink(client, settings.topics.events) as sink:
        while not stop.is_set() and time.monotonic() - played.started < duration_s:
            chunk = list(islice(events, _CHUNK))
            if not chunk:
                return
            await sink.write(chunk)
            played.produced += len(chunk)
            played.user = chunk[-1].user_id
            await _pace(played, rate)


def _pace(played: _Played, rate: float) -> Awaitable[None]:
    """Sleep until the log is on its rate again."""
    assert played.started is not None
    due = played.started + played.produced / rate
    return asyncio.sleep(max(0.0, due - time.monotonic()))


@asynccontextmanager
async def _topics(client: KafkaClient, settings: Settings) -> AsyncIterator[None]:
    specs = topic_specs(settings)
    await asyncio.to_thread(create_topics, client, specs)
    try:
        yield
    finally:
        await asyncio.to_thread(delete_topics, client, [spec.name for spec in specs])
