"""One user: what is remembered, the slate of this moment with its reasons, and what the latest event changed in it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from connectors.recommendation import RecommendedItem
from stream.processor import Processor
from stream.user_view import user_view

MOST_PENDING = 20


def user_page(processor: Processor, user_id: str) -> dict[str, Any] | None:
    """See `user_view`; None where nothing is known. Changes nothing, draws for exploration included.

    Beside the view:

    - `now`: the slate as it would be made at this moment (the newest event time seen), with `items` as they are
      published, so `parts` add up to `score` but for rounding to five digits.
    - `without_last`: the item ids of the same slate if the history ended one event earlier; None where there is none.
    - `pending`: the newest impressions that wait, and `pending_total`.
    """
    states, pipeline = processor.states, processor.pipeline
    view = user_view(states, pipeline.items, pipeline.batcher.event_types, user_id)
    if view is None:
        return None
    row = states.index.row(user_id)
    remembered = int(states.remembered(np.array([row]))[0])
    moment_ms = max(states.watermark_ms, int(states.newest_ms(np.array([row]))[0]))

    def slate(as_of: int) -> list[RecommendedItem]:
        return pipeline.preview(row, states, as_of=as_of, moment_ms=moment_ms)

    return {
        **view,
        "pending": view["pending"][-MOST_PENDING:],
        "pending_total": len(view["pending"]),
        "now": {
            "moment_ms": moment_ms,
            "model_step": pipeline.learner.step,
            "items": [msgspec.to_builtins(item) for item in slate(remembered)],
        },
        "without_last": [item.item_id for item in slate(remembered - 1)] if remembered else None,
    }
