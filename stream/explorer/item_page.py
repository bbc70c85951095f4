"""One item: how often it is chosen, and what goes with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from learners.known_item import Company
from learners.row_index import ABSENT, RowIndex
from stream.processor import Processor

MOST_COMPANIONS = 15
_DIGITS = 4


def item_page(processor: Processor, item_id: str) -> dict[str, Any] | None:
    """What is known of an item at this moment (the newest event time seen); None where nothing is.

    Returns:
        `chosen`, `first_at_ms`, `last_at_ms`, `choices_since_first`, `choices_since_last` (of anything), `choices` by
        half-life in time (`half_life_s`) and in choices of anything (`half_life_choices`), and the companies
        `followed_by` and `together_with`: `item_id`, `strength` and `shares` at each of `half_lives_s`.
    """
    items = processor.pipeline.items
    row = items.row(item_id)
    if row == ABSENT:
        return None
    moment_ms = processor.states.watermark_ms
    known = processor.pipeline.learner.known_item(row, moment_ms / 1000.0, MOST_COMPANIONS)
    return {
        "item_id": item_id,
        "moment_ms": moment_ms,
        "chosen": known.chosen,
        "first_at_ms": int(known.first_s * 1000) if known.chosen else None,
        "last_at_ms": int(known.last_s * 1000) if known.chosen else None,
        "choices_since_first": known.events_since_first,
        "choices_since_last": known.events_since_last,
        "choices": [
            *_counts("half_life_s", known.half_lives_s, known.choices),
            *_counts("half_life_choices", known.half_lives_events, known.choices_by_events),
        ],
        "followed_by": _company(known.followed_by, items),
        "together_with": _company(known.together_with, items),
    }


def _counts(unit: str, half_lives: Any, choices: Any) -> list[dict[str, float]]:
    return [
        {unit: half_life, "choices": round(count, _DIGITS)}
        for half_life, count in zip(half_lives.tolist(), choices.tolist(), strict=True)
    ]


def _company(company: Company, items: RowIndex) -> dict[str, Any]:
    P = len(company.half_lives_s)
    shares = np.round(company.shares[:, :P].astype(np.float64), _DIGITS).tolist()
    strengths = np.round(company.strengths.astype(np.float64), _DIGITS).tolist()
    return {
        "half_lives_s": company.half_lives_s.tolist(),
        "items": [
            {"item_id": items.id(row), "strength": strength, "shares": share}
            for row, strength, share in zip(company.rows.tolist(), strengths, shares, strict=True)
        ],
    }
