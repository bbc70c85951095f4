"""The worker process: state from the last checkpoint, the engine, Faust around it, HTTP beside it."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from mode import Service

from connectors.file_lock import LockTimeoutError, locked
from connectors.kafka_client import KafkaClient
from connectors.publisher import KafkaPublisher
from connectors.topics import topic_shape, topic_shapes
from stream.allocator import keep_temporaries, leave_alone
from stream.app import FreshetApp, create_app
from stream.assembly import build_processor, checkpoint_store
from stream.checkpoints.chains import Checkpoint
from stream.checkpoints.manifest import CheckpointError, Manifest
from stream.checkpoints.place import PlaceError
from stream.checkpoints.store import CheckpointStore
from stream.engine import Engine, EngineConfig
from stream.explorer.explorer import Explorer
from stream.explorer.routes import routes
from stream.follower import Follower
from stream.handover import Handover
from stream.health import why_not_alive, why_not_ready
from stream.http_server import AddressError, HttpServer, Views, require_free, split_address
from stream.lease import FencedError, Lease
from stream.lookout import Lookout, kept_up
from stream.observer import WorkerObserver, worker_metrics
from stream.processor import Processor
from stream.recovery import Recovery, RecoveryError
from stream.settings import Settings
from stream.stopping import StoppableWorker
from stream.topic_watch import TopicWatch
from stream.transport import Consumer
from stream.user_view import user_view
from stream.warm_up import warm_up
from stream.weights_view import weights_view
from stream.worker_card import WorkerCard, remove_card, worker_name, write_card

logger = logging.getLogger(__name__)

_LISTENS_S = 300.0
_HEARD = 16  # records of the model topic at a time: they are large
_LEASE_SHARE = 0.6  # of the session's timeout


class WorkerError(Exception):
    """The worker cannot start; the message says what to do."""


def run_worker(settings: Settings, client: KafkaClient) -> bool:
    """Work until a signal; returns after a graceful stop.

    Returns:
        Whether it is to be started again, in a new process: its topic has changed.

    Raises:
        WorkerError: The state folder cannot be written, another worker uses it, or its state cannot be used.
        Exception: What made the worker crash.
    """
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        (settings.state_dir / "worker.lock").touch()
    except OSError as error:
        raise WorkerError(
            f"The state folder {settings.state_dir} cannot be written: {error.strerror or error}. Set "
            f"FRESHET_STATE_DIR to a folder that you can write to."
        ) from error
    try:
        with locked(settings.state_dir / "worker.lock", timeout_s=0.5):
            require_free(*split_address(settings.worker.http))  # told before anything heavy has started
            worker = _Worker(settings, client)
            worker.run()
            return worker.again
    except (AddressError, PlaceError) as error:
        raise WorkerError(str(error)) from error
    except LockTimeoutError as error:
        raise WorkerError(
            f"Another worker uses the state folder {settings.state_dir}. Give each worker its own (FRESHET_STATE_DIR)."
        ) from error


def restore(
    processor: Processor,
    store: CheckpointStore,
    topic: str,
    id_now: str = "",
    *,
    latest: Callable[[], Checkpoint | None] | None = None,
) -> Manifest | None:
    """Load the newest whole checkpoint, and let the next one be a delta of it.

    Where the topic was made anew since, what was learned stays and its events are read from the beginning.

    Args:
        processor: Which has learned nothing.
        store: Where the checkpoints are.
        topic: Whose events they hold.
        id_now: The topic's id at the broker.
        latest: Waits for the store's newest one, where that is being read already.

    Returns:
        Its manifest, None where there is none.

    Raises:
        WorkerError: It was made with other settings or for another topic, or nothing can be read.
    """
    try:
        checkpoint = (latest or store.latest)()
    except CheckpointError as error:
        raise WorkerError(str(error)) from error
    if checkpoint is None:
        return None
    if checkpoint.manifest.topic != topic:
        raise WorkerError(
            f"The checkpoints in {store.url} belong to topic {checkpoint.manifest.topic!r}, not {topic!r}. "
            f"Choose another place for them (FRESHET_STATE_DIR, or FRESHET_WORKER__CHECKPOINTS)."
        )
    try:
        processor.load(checkpoint.pieces, checkpoint.manifest.totals)
    except (ValueError, KeyError) as error:
        raise WorkerError(
            f"The checkpoint in {store.url} cannot be taken up: {error}. Restore what it was made with, or move "
            f"the folder away (or choose another with FRESHET_STATE_DIR) to learn anew from the oldest event that the "
            f"topic still holds."
        ) from error
    if not checkpoint.manifest.is_of(id_now):
        logger.warning(
            "the topic was made anew since the checkpoint; all that it holds counts as new",
            extra={"topic": topic},
        )
        processor.begin_anew()
    store.resume(checkpoint)
    return checkpoint.manifest


class _Worker:
    """The pieces of one worker process and how they start and stop."""

    def __init__(self, settings: Settings, client: KafkaClient) -> None:
        keep_temporaries()
        self._settings = settings
        store = checkpoint_store(settings)  # a place that cannot be used is told before anything slow
        # one that is missing is told now, and not at the first record for it
        shapes = topic_shapes(client, settings.topics.names)
        shape = shapes[settings.topics.events]
        with ThreadPoolExecutor(1, thread_name_prefix="restore") as reader:
            reading = reader.submit(store.latest)
            warm_up(settings)
            processor = build_processor(settings)
            self._metrics = worker_metrics(processor.pipeline.learner.tasks)
            writer = uuid.uuid4().hex[:16]
            shared = processor.share(shape.id, writer)
            manifest = restore(processor, store, settings.topics.events, shape.id, latest=reading.result)
        del reading  # and with it what it has read
        if manifest is not None:
            logger.info("restored", extra={"checkpoint": manifest.number, **manifest.summary})
            self._metrics.checkpoint_at.set(manifest.created_at_ms / 1000.0)
        self._metrics.checkpoint_interval.set(settings.worker.checkpoint_every_s)
        self._observer = WorkerObserver(self._metrics, processor)
        topics = settings.topics
        self._publisher = KafkaPublisher(
            client,
            recommendations=topics.recommendations,
            dead_letters=topics.dead_letters,
            drift=topics.drift,
            model=topics.model,
        )
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

        def rebuild() -> Processor:
            processor = build_processor(settings)
            processor.share(shape.id, writer)
            restore(processor, store, topics.events, shape.id)
            return processor

        self._lease = Lease(_LEASE_SHARE * settings.worker.session_timeout_s)
        self._engine = Engine(
            processor=processor,
            publisher=self._publisher,
            checkpoints=store,
            observer=self._observer,
            config=EngineConfig(
                topic=topics.events,
                topic_id=shape.id,
                batch_max_events=settings.events_a_step,
                batch_max_age_ms=settings.worker.batch_max_age_ms,
                checkpoint_every_s=settings.worker.checkpoint_every_s,
                tell_every_s=settings.worker.tell_every_s,
            ),
            last_checkpoint=manifest,
            require_lease=self._lease.require,
            recovery=Recovery(rebuild, settings.worker.refused_per_hour, held=dict(processor.states.applied)),
        )
        lull = self._engine.lull
        self._follower = Follower(
            client, topics.events, self._engine.follow, on_loss=self._observer.lost, lull=lull
        )
        self._listener = Follower(
            client,
            topics.model,
            self._engine.hear,
            on_loss=self._engine.fall_behind,
            most_records=_HEARD,
            lull=lull,
        )
        self._listener.follow({0: shared.position})
        self._handover = Handover(
            self._engine,
            self._follower,
            shape.partitions,
            patience_s=settings.worker.session_timeout_s / 2.0,
            listen=self._listener.catch_up,
            on_share=self._metrics.owned.set,
        )
        self._app = create_app(
            client,
            self._engine,
            group=settings.worker.group,
            topic=topics.events,
            shape=shape,
            session_timeout_s=settings.worker.session_timeout_s,
            folder=settings.state_dir,
            take_over=self._handover.take_over,
            reached_end=self._handover.reached_end,
            on_loss=self._observer.lost,
        )
        self._partitions = shape.partitions
        self._started_at_ms = time.time_ns() // 1_000_000
        self._explorer = Explorer(
            self._engine, self._observer.summary, self._observer.recent_slates, self._about
        )
        self._http = HttpServer(
            Views(
                metrics=self._observer.render,
                content_type=self._metrics.content_type,
                alive=self._why_not_alive,
                ready=self._why_not_ready,
                status=self._status,
                user=self._user,
                weights=self._weights,
            ),
            routes(self._explorer),
        )
        self._lookout = Lookout(self._engine, self._metrics, self._ends)
        self._metrics.compute(self._metrics.ready, lambda: float(not self._why_not_ready()))
        self._metrics.compute(self._metrics.undelivered, lambda: self._engine.undelivered_s)
        self._metrics.compute(self._metrics.buffered, lambda: self._engine.waiting)
        self._watch = TopicWatch(lambda: topic_shape(client, topics.events), shape)
        self._fenced = False
        self._told_to_stop = False
        self._process: StoppableWorker | None = None
        self.again = False
        """Whether the worker stopped to be started again at once."""

    def run(self) -> None:
        """Start everything; returns when a signal has stopped it."""
        leave_alone()
        self._app.on_partitions_revoked.connect(self._on_revoked)
        self._app.on_rebalance_complete.connect(self._on_assigned)
        worker = self._process = StoppableWorker(
            self._app,
            _Surroundings(self),
            within_s=self._settings.worker.stop_within_s,
            told=self._on_signal,
            loop=self._loop,
            quiet=True,
            override_logging=False,
            redirect_stdouts=False,
        )
        worker.spinner = None  # it draws on the terminal
        try:
            worker.execute_from_commandline()
        except SystemExit as stop:
            if stop.code not in (0, None):
                raise WorkerError("The worker stopped after an error; the log says which.") from stop
        finally:
            remove_card(self._settings.state_dir)

    # --- started before Faust, stopped after it

    async def start(self) -> None:
        """Connect to the broker for publishing, and show this worker to others."""
        await self._publisher.__aenter__()
        address = await self._http.start(*split_address(self._settings.worker.http))
        card = WorkerCard(pid=os.getpid(), http=address, started_at_ms=self._started_at_ms)
        write_card(self._settings.state_dir, card)
        logger.info("started", extra={"http": f"http://{address}", "state": str(self._settings.state_dir)})

    async def stop(self) -> None:
        """Disconnect."""
        await self._http.stop()
        await self._publisher.__aexit__(None, None, None)

    async def work(self, app: FreshetApp) -> None:
        """The engine's life; its failure is the application's."""
        try:
            await self._engine.run()
        except asyncio.CancelledError:
            raise
        except RecoveryError as error:
            logger.error("%s", error)
            await app.crash(error)
        except FencedError as error:
            self._fence(error)
        except Exception as error:
            logger.exception("the engine failed")
            await app.crash(error)

    def beside(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What runs for as long as the worker."""
        return (
            self.watch(),
            self.follow(self._follower),
            self.follow(self._listener),
            self.hold_lease(),
            kept_up(self._lookout.watch_lag, "lag"),
            kept_up(self._lookout.watch_memory, "memory"),
            kept_up(self._explorer.watch, "the explorer's figures"),
        )

    async def follow(self, follower: Follower) -> None:
        """Read what is other workers', or what they tell."""
        try:
            await follower.run()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.exception("following other workers failed")
            await self._app.crash(error)

    async def listen(self) -> None:
        """Hear what the others have told, before any partition is this worker's and the group waits for it."""
        if not await self._listener.catch_up(_LISTENS_S):
            logger.warning("not everything is heard yet that other workers learned, after %.0f s", _LISTENS_S)

    async def watch(self) -> None:
        """Start again, gracefully, when the topic is not what it was: as another member, with offsets that fit."""
        what = await self._watch.changed()
        logger.warning(
            "the topic %s; the worker starts again", what, extra={"topic": self._settings.topics.events}
        )
        self._start_again()

    async def hold_lease(self) -> None:
        """Notice when the process has stood still, whether or not there is anything to say."""
        try:
            await self._lease.keep()
        except FencedError as error:
            self._fence(error)

    def _fence(self, error: FencedError) -> None:
        if not self._fenced:
            self._fenced = True
            logger.warning("%s It starts again, from its last checkpoint.", error)
            self._start_again()

    def _start_again(self) -> None:
        assert self._process is not None, "it runs"
        self.again = not self._told_to_stop
        self._process.stop_by_itself()

    def _on_signal(self) -> None:
        self._told_to_stop, self.again = True, False

    async def drain(self, working: asyncio.Task[None]) -> None:
        """Finish the step at hand and write the last checkpoint, before Faust commits for the last time."""
        await self._engine.stop()
        await working
        if not self._app.crashed and not self._fenced:
            await self._engine.finish()
            logger.info("stopped", extra=self._engine.processor.totals_dict())

    @property
    def app(self) -> FreshetApp:
        """The Faust application."""
        return self._app

    # --- whose partitions are whose

    async def _on_revoked(self, *args: Any, **kwargs: Any) -> None:
        await self._handover.give_up()

    async def _on_assigned(self, *args: Any, **kwargs: Any) -> None:
        self._handover.shared()
        partitions = sorted(tp.partition for tp in self._app.consumer.assignment())
        self._watch.hurry()
        if not partitions:
            await self._handover.own((), {})
        self._metrics.rebalances.inc()
        processor = self._engine.processor
        reached = {
            str(partition): offset
            for partition, offset in sorted(processor.states.applied.items())
            if partition in partitions
        }
        logger.info("assigned", extra={"partitions": partitions, "applied": reached})

    async def _ends(self) -> dict[int, tuple[int, int]]:
        """Where the owned partitions begin, and where their records end, by the broker."""
        consumer, owned = cast(Consumer, self._app.consumer), self._engine.assignment.owned or ()
        asked = [tp for tp in consumer.assignment() if tp.partition in owned] if owned else []
        if not asked:
            return {}
        earliest, ends = await consumer.earliest_offsets(*asked), await consumer.record_ends(*asked)
        return {tp.partition: (int(earliest[tp]), ends[tp]) for tp in asked}

    def _why_not_alive(self) -> list[str]:
        return why_not_alive(
            busy=self._engine.busy,
            since_progress_s=time.monotonic() - self._engine.progressed_at,
            undelivered_s=self._engine.undelivered_s,
        )

    def _why_not_ready(self) -> list[str]:
        return why_not_ready(
            owned=self._handover.owned,
            topic_problem=self._watch.problem,
            undelivered_s=self._engine.undelivered_s,
            fenced=self._fenced,
        )

    async def _status(self) -> dict[str, Any]:
        def look(processor: Processor) -> dict[str, Any]:
            return {
                **processor.totals_dict(),
                **processor.sizes(),
                "pending_impressions": processor.states.pending,
                "applied": dict(processor.states.applied),
                "owned": sorted(self._engine.assignment.owned or ()),
                "learned": dict(processor.shared.learned) if processor.shared is not None else {},
                "quality": self._observer.summary(),
            }

        status = await self._engine.read(look)
        last = self._engine.last_checkpoint
        return {
            **status,
            "checkpoint_at_ms": last.created_at_ms if last is not None else None,
            "pid": os.getpid(),
        }

    def _about(self) -> dict[str, Any]:
        """Which worker this is, for who looks at one of several."""
        return {
            "name": worker_name(),
            "pid": os.getpid(),
            "started_at_ms": self._started_at_ms,
            "group": self._settings.worker.group,
            "topic": self._settings.topics.events,
            "partitions": self._partitions,
            "owned": sorted(self._engine.assignment.owned or ()),
            "not_alive": self._why_not_alive(),
            "not_ready": self._why_not_ready(),
        }

    async def _weights(self) -> dict[str, Any]:
        return await self._engine.read(lambda processor: weights_view(processor.pipeline.learner))

    async def _user(self, user_id: str) -> dict[str, Any] | None:
        def look(processor: Processor) -> dict[str, Any] | None:
            pipeline = processor.pipeline
            return user_view(processor.states, pipeline.items, pipeline.batcher.event_types, user_id)

        return await self._engine.read(look)


class _Surroundings(Service):
    """Starts before the Faust application and stops after it."""

    logger = logging.getLogger("faust.surroundings")

    def __init__(self, worker: _Worker, **kwargs: Any) -> None:
        self._worker = worker
        self._working: asyncio.Task[None] | None = None
        self._beside: list[asyncio.Task[None]] = []
        super().__init__(**kwargs)

    async def on_start(self) -> None:
        """Everything around the application."""
        await self._worker.start()
        app = self._worker.app
        working = self._working = asyncio.create_task(self._worker.work(app))
        self._beside = [asyncio.create_task(each) for each in self._worker.beside()]
        await self._worker.listen()

        @app.on_before_shutdown.connect
        async def drain(*_: Any, **__: Any) -> None:
            await self._worker.drain(working)

    async def on_stop(self) -> None:
        """Nothing more will be published."""
        for task in self._beside:
            task.cancel()
        await self._worker.stop()
