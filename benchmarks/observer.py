"""What metrics and drift cost beside the steps that they watch: each step, a scrape, a look at the memory."""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmarks.step import shop
from connectors.decode import RawRecord
from connectors.event import encode_event
from stream.allocator import keep_temporaries
from stream.assembly import build_processor
from stream.lookout import state_bytes
from stream.observer import WorkerObserver, worker_metrics
from stream.processor import Processor
from stream.settings import load

_WARM_UP = 10_000
_BATCHES = (1, 16, 64, 512)
_NOW_MS = 1_800_000_000_000
_SCRAPE_EVERY_S, _MEMORY_EVERY_S = 5.0, 30.0


class _Record:
    """What the transport hands over of an event."""

    topic, partition, key, timestamp, timestamp_type = "events", 0, b"", _NOW_MS, 1

    def __init__(self, offset: int, value: bytes) -> None:
        self.offset, self.value = offset, value


def measure(quick: bool) -> list[dict[str, Any]]:
    """Microseconds an event, medians; `share` is of the time of steps, or of the time between two scrapes or looks."""
    keep_temporaries()
    settings = load()
    events_each = 512 if quick else 4_096
    repetitions = 3
    events = shop(_WARM_UP + repetitions * len(_BATCHES) * events_each)
    records: list[RawRecord] = [_Record(n, encode_event(event)) for n, event in enumerate(events)]
    processor = build_processor(settings)
    observer = WorkerObserver(worker_metrics(processor.pipeline.learner.tasks), processor)
    _play(processor, observer, records[:_WARM_UP], 256)
    costs: dict[int, tuple[list[float], list[float]]] = {batch: ([], []) for batch in _BATCHES}
    at = _WARM_UP
    for _ in range(repetitions):
        for batch in _BATCHES:
            stepping, watching = _play(processor, observer, records[at : at + events_each], batch)
            costs[batch][0].append(stepping / events_each * 1e6)
            costs[batch][1].append(watching / events_each * 1e6)
            at += events_each
    rows = []
    for batch, (stepping_us, watching_us) in costs.items():
        step, watch = statistics.median(stepping_us), statistics.median(watching_us)
        rows.append(
            {
                "what": f"event, batches of {batch}",
                "step_us": step,
                "observer_us": watch,
                "share": watch / step,
            }
        )
    scrape = _timed(observer.render)
    look = _timed(lambda: state_bytes(processor.live_states()))
    rows += [
        {"what": "scrape", "step_us": 0.0, "observer_us": scrape * 1e6, "share": scrape / _SCRAPE_EVERY_S},
        {
            "what": "memory by piece",
            "step_us": 0.0,
            "observer_us": look * 1e6,
            "share": look / _MEMORY_EVERY_S,
        },
    ]
    return rows


def _play(processor: Processor, observer: WorkerObserver, records: Any, batch: int) -> tuple[float, float]:
    """Seconds of all steps, and of watching them."""
    stepping = watching = 0.0
    for start in range(0, len(records), batch):
        began = time.perf_counter()
        processed = processor.process(records[start : start + batch], _NOW_MS)
        done = time.perf_counter()
        observer.step(processed, processor)
        stepping += done - began - processed.watch_s
        watching += processed.watch_s + time.perf_counter() - done
    return stepping, watching


def _timed(what: Any) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began
