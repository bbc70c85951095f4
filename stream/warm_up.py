"""What is slow the first time happens before the first event: loops are compiled, or found compiled on disk."""

from __future__ import annotations

import logging
import time

import numpy as np

from connectors.event import Event
from learners.state_changes import Taken
from stream.assembly import build_pipeline, build_states
from stream.settings import Settings

logger = logging.getLogger(__name__)

_START_MS = 1_600_000_000_000
_EVENTS = 24
_WORTH_TELLING_S = 5.0


def warm_up(settings: Settings) -> float:
    """Let a pipeline that nobody will use take a few events; returns the seconds that it took.

    On a machine that has never run freshet this takes up to a minute or two. What is compiled then lies beside the
    sources, or in Numba's cache folder of the user where these cannot be written.
    """
    began = time.perf_counter()
    # So few candidates would all be ranked, without the brief look that others are chosen by.
    few = settings.model_copy(
        update={"recommend": settings.recommend.model_copy(update={"ranked": 2, "slate_size": 2})}
    )
    pipeline, states = build_pipeline(few), build_states(few)
    for step in range(3):
        events = [
            Event(
                event_id=f"w{step}-{n}",
                event_type=("impression", "view", "purchase")[n % 3],
                occurred_at_ms=_START_MS + 1_000 * (_EVENTS * step + n),
                user_id=f"u{n % 4}",
                item_id=f"i{(n + step) % 7}",
            )
            for n in range(_EVENTS)
        ]
        pipeline.step(events, states, _START_MS)
    Taken().choose([states.live_state()])
    pipeline.learner.forget_items(np.zeros(1, np.int64))
    pipeline.learner.forget_users(np.zeros(1, np.int64))
    took_s = time.perf_counter() - began
    if took_s > _WORTH_TELLING_S:
        logger.info("loops compiled in %.0f s; the next start finds them on disk", took_s)
    return took_s
