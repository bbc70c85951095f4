"""What it costs in quality that several workers share a log: each learns from its own users, and counts everybody's.

In one process, without a broker: every member follows all events, foresees and learns from those of its own users, and
the ranks of all of them together are compared with those of one worker alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.logs import read_choices, settings_for
from monitoring.ranking_quality import ranking_quality
from stream.allocator import keep_temporaries
from stream.assembly import build_pipeline, build_states, choice_types
from stream.evaluation.log import EvaluationLog
from stream.evaluation.protocol import Ints, apply_protocol
from stream.evaluation.run import UNRANKED
from stream.pipeline import Share

_QUICK_EVENTS = 6_000
_SIZES = (1, 2, 4)


def measure(quick: bool, logs: Sequence[Path]) -> list[dict[str, Any]]:
    """One row for each log and number of workers.

    Args:
        quick: Only the first 6,000 events of each log.
        logs: Folders or files with event logs; their views or ratings are played, if they have some.
    """
    keep_temporaries()
    rows = []
    for path in logs:
        log = read_choices(path, _QUICK_EVENTS if quick else None)
        alone = 0.0
        for workers in _SIZES:
            quality = ranking_quality(play(log, workers))
            alone = alone or quality.hr10
            rows.append(
                {
                    "log": path.name,
                    "workers": workers,
                    "hr10": quality.hr10,
                    "mrr20": quality.mrr20,
                    "of one worker's hr10": quality.hr10 / alone,
                }
            )
    return rows


def play(log: EvaluationLog, workers: int) -> Ints:
    """Ranks of the scored events, each by the worker that owns its user."""
    settings = settings_for(log)
    protocol = apply_protocol(log.events, choice_types(settings))
    members = [(build_pipeline(settings), build_states(settings)) for _ in range(workers)]
    owner = np.array([zlib.crc32(event.user_id.encode()) % workers for event in log.events])
    ranks = np.full(len(protocol), UNRANKED, np.int64)
    for begin, end in pairwise(protocol.moments.tolist()):
        for number, (pipeline, states) in enumerate(members):
            own = owner[begin:end] == number
            step = pipeline.step(
                log.events[begin:end],
                states,
                log.events[begin].occurred_at_ms,
                slates=False,
                simultaneous=True,
                share=Share(own=own, served=own),
            )
            ranks[begin + step.ranked_events] = step.ranks
    return ranks[protocol.scored]
