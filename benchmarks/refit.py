"""What freshness is worth: the same learner, served as it was when it was last refitted.

It learns from every event, but what answers is a copy that is renewed once in a while, as a model that is trained on a
schedule would be. Histories are always the newest, so only the model is stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.logs import read_choices, settings_for
from learners.event_batch import EventBatch
from learners.learner import Learner, Lesson, Predictions
from monitoring.ranking_quality import ranking_quality
from stream.allocator import keep_temporaries
from stream.assembly import build_pipeline, build_states, choice_types
from stream.evaluation.log import EvaluationLog
from stream.evaluation.protocol import apply_protocol
from stream.evaluation.run import run_pipeline

INTERVALS = {"live": 0.0, "10 minutes": 600.0, "hour": 3_600.0, "day": 86_400.0, "week": 7 * 86_400.0}
_QUICK = ("live", "day")
_QUICK_EVENTS = 6_000


def measure(quick: bool, logs: Sequence[Path]) -> list[dict[str, Any]]:
    """One row for each log and interval of event time.

    Args:
        quick: Live and daily, and only the first 6,000 events of each log.
        logs: Folders or files with event logs; their views or ratings are played, if they have some.
    """
    keep_temporaries()
    rows = []
    for path in logs:
        log = read_choices(path, _QUICK_EVENTS if quick else None)
        for name, every_s in INTERVALS.items():
            if not quick or name in _QUICK:
                rows.append({"log": path.name, "refitted every": name, **play(log, every_s)})
    return rows


def play(log: EvaluationLog, every_s: float) -> dict[str, Any]:
    """Figures of one run; 0 seconds serve what was learned a moment ago."""
    settings = settings_for(log)
    protocol = apply_protocol(log.events, choice_types(settings))
    pipeline = build_pipeline(settings)
    refits = 0
    if every_s:
        stale = StaleLearner(pipeline.learner, build_pipeline(settings).learner, every_s)
        pipeline.learner = stale
    run = run_pipeline(pipeline, build_states(settings), log.events, protocol)
    if every_s:
        refits = stale.refits
    quality = ranking_quality(run.ranks)
    return {"hr10": quality.hr10, "mrr20": quality.mrr20, "ndcg10": quality.ndcg10, "refits": refits}


class StaleLearner:
    """Learns by one learner and ranks by another, which takes over what the first one knows once in a while.

    Args:
        live: Learns.
        served: Answers.
        every_s: Event time between two takeovers, seconds.
    """

    def __init__(self, live: Learner, served: Learner, every_s: float) -> None:
        self._live, self._served, self._every_s = live, served, every_s
        self._due_s = float("-inf")
        self.refits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._live, name)

    def predict_many(self, batch: EventBatch) -> Predictions:
        """See `Learner`; what the served one says."""
        now_s = float(batch.histories.now_s.max(initial=0.0))
        if now_s >= self._due_s:
            self._served.load_state_dict(self._live.state_dict())
            self._due_s = now_s + self._every_s
            self.refits += 1
        return self._served.predict_many(batch)

    def learn_many(self, batch: EventBatch, predictions: Predictions) -> Lesson:
        """See `Learner`; from what the live one says itself."""
        return self._live.learn_many(batch, self._live.predict_many(batch))
