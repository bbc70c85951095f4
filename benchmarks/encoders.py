"""What each encoder of histories is worth on logs: alone, and as one voice among the ranker's counts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from benchmarks.logs import settings_for
from learners.event_batch import EventBatch
from learners.features import COUNTS
from learners.learner import Predictions
from learners.top_list import pessimistic_ranks
from stream.allocator import keep_temporaries
from stream.assembly import build_pipeline, build_states, choice_types
from stream.evaluation.log import read_log
from stream.evaluation.protocol import apply_protocol
from stream.evaluation.run import run_pipeline
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
    alone: list[np.ndarray] = []
    predict_many = pipeline.learner.predict_many

    def listen(batch: EventBatch) -> Predictions:
        predictions = predict_many(batch)
        if len(predictions.targets):
            chosen = batch.item_rows[predictions.targets]
            filled = np.isfinite(predictions.scores)
            neural = np.where(filled, predictions.features[:, :, COUNTS], -np.inf)
            alone.append(pessimistic_ranks(predictions.candidates.rows, neural, chosen))
        return predictions

    pipeline.learner.predict_many = listen  # type: ignore[method-assign]
    started = time.perf_counter()
    run = run_pipeline(pipeline, build_states(settings), log.events, protocol)
    seconds = time.perf_counter() - started
    late = np.concatenate(alone)[-len(run.ranks) :]
    return {
        "hr10": float(((run.ranks >= 0) & (run.ranks < 10)).mean()),
        "hr10_neural_alone": float(((late >= 0) & (late < 10)).mean()),
        "events_per_s": len(log.events) / seconds,
    }
