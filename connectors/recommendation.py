"""One slate for one user, as it stands on the recommendations topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from connectors.own_json import reader_of

SCHEMA_VERSION = 1

OTHER_PARTS = ("ranker", "counts", "diversity")
"""Parts of an item's score that are no task's."""


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which model made a slate: its layout's version and how many batches it had learned."""

    version: str
    step: int


class RecommendedItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One place of a slate.

    Attributes:
        item_id: What is recommended.
        rank: Zero-based place.
        score: The ranker's final score; comparable within one slate only.
        parts: What the score is the sum of: `ranker`, a part for each task, `counts` (what else is known of user and
            item), and `diversity` (what it lost for being like the items above). What is left out is 0.
        placed: Why it stands here: `ranked` by its score, `explored`, or `new` (tried because it is new).
        scores: Per task: probability of a binary task, expected value of a regression.
        source: Candidate source that brought the item (`transition`, `popularity`, ...).
        propensity: Probability with which the policy put this item here, given the items above it.
        because: The item of the user's history that speaks most for it, where one does; else `source` is why.
    """

    item_id: str
    rank: int
    score: float
    source: str
    placed: Literal["ranked", "explored", "new"] = "ranked"
    propensity: float = 1.0
    parts: Mapping[str, float] = {}
    scores: Mapping[str, float] = {}
    because: str | None = None


class Recommendation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One slate for one user; a newer one replaces it (JSON, keyed by `user_id`).

    `recommendation_id` is derived from the trigger event and the model version, so a slate that is
    published again after a crash carries the same id and a consumer can drop it.
    """

    recommendation_id: str
    user_id: str
    generated_at_ms: int
    trigger_event_id: str
    model: ModelVersion
    outcome: Literal["ok", "fallback"]
    items: list[RecommendedItem]
    schema_version: int = SCHEMA_VERSION


encode_recommendation = msgspec.json.Encoder().encode
decode_recommendation = reader_of(Recommendation)
