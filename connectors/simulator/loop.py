"""The closed loop over Kafka: events out at a steady rate, slates back in, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from connectors.endpoints import Sink
from connectors.kafka_client import KafkaClient
from connectors.recommendation import decode_recommendation
from connectors.simulator.clock import SimulatedClock
from connectors.simulator.simulation import Simulation
from connectors.sinks.kafka import KafkaSink
from connectors.sources.kafka import KafkaSource

_TICK_S = 0.02
_MOST_AT_ONCE_S = 1.0


@dataclass(slots=True)
class LoopProgress:
    """How far the loop has come.

    Attributes:
        published: Events handed to the broker.
        elapsed_s: Real seconds since the first tick.
        unreadable: Records of the recommendations topic that were no recommendations, and were left out.
    """

    published: int = 0
    elapsed_s: float = 0.0
    unreadable: int = 0

    @property
    def events_per_s(self) -> float:
        """Events per real second so far."""
        return self.published / self.elapsed_s if self.elapsed_s > 0.0 else 0.0


async def run(
    simulation: Simulation,
    clock: SimulatedClock,
    client: KafkaClient,
    *,
    events_topic: str,
    recommendations_topic: str,
    rate: float,
    stop: asyncio.Event,
    duration_s: float | None = None,
    on_tick: Callable[[LoopProgress], None] | None = None,
) -> LoopProgress:
    """Publish what the shoppers do and show them what is recommended, until `duration_s` or `stop`.

    The loop is open: the rate does not wait for the slates. Slates published from now on are heard, older
    ones are not. On return every event has been acknowledged by the broker. Other tasks of this event loop
    may read `simulation.report()` at any time.

    Args:
        simulation: The shoppers; nobody else may call `advance` or `receive` meanwhile.
        clock: Simulated time.
        client: The broker.
        events_topic: Where events go.
        recommendations_topic: Where slates come from.
        rate: Events per real second that are aimed at.
        stop: Set it to end the loop early, and cleanly.
        duration_s: Real seconds from the first tick; without it only `stop` ends the loop.
        on_tick: Called about fifty times a second, in the event loop: it must be quick.

    Raises:
        BrokerUnreachableError: No broker answers at the beginning.
        TopicError: A topic is missing.
        DeliveryError: Events could not be delivered.
        aiokafka.errors.KafkaError: The recommendations cannot be read any more.
    """
    progress = LoopProgress()
    async with KafkaSource(client, recommendations_topic) as slates, KafkaSink(client, events_topic) as sink:
        listener = asyncio.create_task(_listen(slates, simulation, progress))
        try:
            await publish(
                simulation,
                clock,
                sink,
                rate=rate,
                stop=stop,
                duration_s=duration_s,
                progress=progress,
                on_tick=on_tick,
                listener=listener,
            )
        finally:
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener
    return progress


async def publish(
    simulation: Simulation,
    clock: SimulatedClock,
    sink: Sink,
    *,
    rate: float,
    stop: asyncio.Event,
    progress: LoopProgress,
    duration_s: float | None = None,
    on_tick: Callable[[LoopProgress], None] | None = None,
    listener: asyncio.Task[None] | None = None,
) -> None:
    """The half of the loop that publishes, in ticks of 20 ms, into any sink; the arguments are those of `run`.

    Args:
        simulation: The shoppers.
        clock: Simulated time.
        sink: Where events go; it is not closed.
        rate: Events per real second.
        stop: Ends the loop.
        progress: Kept up to date.
        duration_s: Real seconds.
        on_tick: Called after every tick.
        listener: A task whose failure ends the loop with its error.
    """
    time = asyncio.get_running_loop().time
    started_s = last_s = time()
    wanted = 0.0
    while not stop.is_set():
        now_s = time()
        progress.elapsed_s = now_s - started_s
        if duration_s is not None and progress.elapsed_s >= duration_s:
            return
        if listener is not None and listener.done():
            listener.result()
        # After a pause (a suspended machine, a broker that was away) the shoppers do not all come at once.
        wanted += rate * min(now_s - last_s, _MOST_AT_ONCE_S)
        last_s = now_s
        limit = int(wanted)
        wanted -= limit
        events = simulation.advance(clock.now_ms(), limit)
        if events:
            await sink.write(events)
            progress.published += len(events)
        if on_tick is not None:
            on_tick(progress)
        await asyncio.sleep(max(0.0, now_s + _TICK_S - time()))


async def _listen(slates: KafkaSource, simulation: Simulation, progress: LoopProgress) -> None:
    async for records in slates:
        for record in records:
            if record.value is None:  # a deleted slate: the shopper keeps the last one
                continue
            try:
                recommendation = decode_recommendation(record.value)
            except ValueError:
                progress.unreadable += 1
                continue
            simulation.receive(recommendation)
