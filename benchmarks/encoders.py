"""What each encoder of histories is worth on logs: alone, and as one voice among the ranker's counts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from benchmarks.logs import settings_for
from connectors.event import Event
from learners.event_batch import EventBatch
from learners.features import COUNTS
from learners.learner import Predictions
from learners.top_list import pessimistic_ranks
from stream.allocator import keep_temporaries
from stream.assembly import build_pipeline, build_states, choice_types
from stream.evaluation.log import read_log
from stream.evaluation.protocol import apply_protocol
from stream.evaluation.run import UNRANKED, run_pipeline
from stream.pipeline import Step
from stream.settings import LearnerSettings

_QUICK_EVENTS = 10_000


def measure(quick: bool, logs: Sequence[Path]) -> list[dict[str, Any]]:
    """HR@10 with each encoder of the list that the ranker makes and of the same candidates by the neural score alone.

    Args:
        quick: Only the first 10,000 events of each log.
        logs: Folders or files with event logs.
    """
    keep_temporaries()
    encoders = get_args(LearnerSettings.model_fields["encoder"].annotation)
    return [
        {"log": path.name, "encoder": encoder, **_run(path, encoder, quick)}
        for path in logs
        for encoder in encoders
    ]


def _run(path: Path, encoder: str, quick: bool) -> dict[str, Any]:
    log = read_log([path], types=None, limit=_QUICK_EVENTS if quick else None)
    settings = settings_for(log, encoder=encoder)
    protocol = apply_protocol(log.events, choice_types(settings))
    pipeline = build_pipeline(settings)
    alone = np.full(len(log.events), UNRANKED, np.int64)
    played, latest = 0, np.zeros(0, np.int64)
    predict_many, make_step = pipeline.learner.predict_many, pipeline.step

    def listen(batch: EventBatch) -> Predictions:
        nonlocal latest
        predictions = predict_many(batch)
        chosen = batch.item_rows[predictions.targets]
        neural = np.where(np.isfinite(predictions.scores), predictions.features[:, :, COUNTS], -np.inf)
        latest = pessimistic_ranks(predictions.candidates.rows, neural, chosen)
        return predictions

    def step(events: Sequence[Event], *given: Any, **named: Any) -> Step:
        nonlocal played
        made = make_step(events, *given, **named)
        alone[played + made.ranked_events] = latest
        played += len(events)
        return made

    pipeline.learner.predict_many = listen  # type: ignore[method-assign]
    pipeline.step = step  # type: ignore[method-assign]
    started = time.perf_counter()
    run = run_pipeline(pipeline, build_states(settings), log.events, protocol)
    seconds = time.perf_counter() - started
    late = alone[protocol.scored]
    return {
        "hr10": float(((run.ranks >= 0) & (run.ranks < 10)).mean()),
        "hr10_neural_alone": float(((late >= 0) & (late < 10)).mean()),
        "events_per_s": len(log.events) / seconds,
    }
