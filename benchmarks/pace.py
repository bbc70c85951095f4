"""What it costs in quality that the ranker learns from a share of the choices while a worker is busy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.logs import read_choices, settings_for
from learners.learner_config import LearnerConfig
from learners.online_learner import OnlineLearner
from monitoring.paired_tests import block_bootstrap
from monitoring.ranking_quality import hits, ranking_quality
from stream.allocator import keep_temporaries
from stream.assembly import build_pipeline, build_states, choice_types
from stream.evaluation.log import EvaluationLog
from stream.evaluation.protocol import Ints, apply_protocol
from stream.evaluation.run import UNRANKED, run_pipeline

_SHARES, _QUICK_SHARES = (1.0, 0.75, 0.5, 0.25), (1.0, 0.5)
_QUICK_EVENTS = 6_000
_LARGER = 4
_BOOTSTRAP_SEED = 0


def measure(quick: bool, logs: Sequence[Path]) -> list[dict[str, Any]]:
    """One row for each log and share: quality of the choices that were ranked, and how far that is from learning all.

    A worker that is never behind learns everything. Here it is as if it were behind all the time, which is the worst
    that can be: each time a share of the choices, in gradient steps of four times as many.

    Args:
        quick: The first 6,000 events and one share; else whole logs.
        logs: Folders or files with event logs; their views or ratings are played, if they have some.
    """
    keep_temporaries()
    rows = []
    for path in logs:
        log = read_choices(path, _QUICK_EVENTS if quick else None)
        everything: Ints | None = None
        for share in _QUICK_SHARES if quick else _SHARES:
            before = time.process_time()
            ranks = play(log, share)
            took = time.process_time() - before
            everything = ranks if everything is None else everything
            both = ranks != UNRANKED
            gap = block_bootstrap(
                hits(ranks[both]), hits(everything[both]), np.random.default_rng(_BOOTSTRAP_SEED)
            )
            of_all = ranking_quality(everything[both]).hr10
            rows.append(
                {
                    "log": path.name,
                    "share": share,
                    "choices": int(both.sum()),
                    "hr10": ranking_quality(ranks[both]).hr10,
                    "hr10_learning_all": of_all,
                    "difference": f"{gap.difference / of_all:+.2%} [{gap.low / of_all:+.2%}, {gap.high / of_all:+.2%}]",
                    "events_per_cpu_s": len(log.events) / took,
                }
            )
    return rows


def play(log: EvaluationLog, share: float) -> Ints:
    """(M,) ranks of the scored events, `UNRANKED` where they were left out."""
    settings = settings_for(log, ranker_share=share)
    pipeline = build_pipeline(settings)
    assert isinstance(pipeline.learner, OnlineLearner)
    if share < 1.0:
        pipeline.learner = OnlineLearner(pipeline.learner.tasks, _in_larger_steps(pipeline.learner.config))
    protocol = apply_protocol(log.events, choice_types(settings))
    return run_pipeline(pipeline, build_states(settings), log.events, protocol).ranks


def _in_larger_steps(config: LearnerConfig) -> LearnerConfig:
    return replace(
        config,
        choices_per_step=_LARGER * config.choices_per_step,
        labels_per_step=_LARGER * config.labels_per_step,
    )
