"""What each part of the ranking is worth: the evaluation with one thing changed at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import learners.ranking as ranking_module
from benchmarks.logs import read_choices, settings_for
from benchmarks.parts import wanted
from learners.features import NAMES, ranking_features
from monitoring.paired_tests import block_bootstrap
from monitoring.ranking_quality import hits, ranking_quality
from stream.allocator import keep_temporaries
from stream.assembly import build_pipeline, build_states, choice_types
from stream.evaluation.log import EvaluationLog
from stream.evaluation.protocol import Ints, apply_protocol
from stream.evaluation.run import UNRANKED, run_pipeline

_EVENTS, _QUICK_EVENTS = 25_000, 6_000
_BOOTSTRAP_SEED = 0

_FIRST = "as it is"
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    _FIRST: {},
    "one expert, rate .001": {"ranker_learning_rates": (0.001,)},
    "one expert, rate .004": {"ranker_learning_rates": (0.004,)},
    "no memory of choices": {"ranker_memory": 0},
    "a quarter of the choices ranked": {"ranker_share": 0.25},
    "encoder gru": {"encoder": "gru"},
    "encoder mixed": {"encoder": "mixed"},
    "encoder sasrec": {"encoder": "sasrec"},
}
"""Variants by settings of the learner."""

FEATURES: Mapping[str, tuple[str, ...]] = {
    "without the neural score": ("neural",),
    "without transitions": ("from_", "evenly_", "transition_"),
    "without what goes together": ("together_",),
    "without companions": ("companions_",),
    "without own items": ("own",),
    "without popularity": ("popularity_", "livelier", "rarer"),
    "without ages": ("first_", "last_age", "newer", "chosen_after"),
    "without expectations": ("over_expected",),
    "without habits": ("habit_", "newer_than", "livelier_than", "rarer_than"),
}
"""Variants by what the ranker cannot see: features that begin so."""

_QUICK = (_FIRST, "one expert, rate .001", "without the neural score")


def measure(quick: bool, logs: Sequence[Path], only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One row for each log and variant, and how far it is from the first one.

    Args:
        quick: Three variants on the first 6,000 events; else all on the first 25,000.
        logs: Folders or files with event logs; their views or ratings are played, if they have some.
        only: Variants beside the first one; all where none is named.

    Raises:
        UsageError: There is no such variant.
    """
    keep_temporaries()
    variants = (*SETTINGS, *FEATURES)
    chosen = {_FIRST, *wanted("variant", only or (_QUICK if quick else ()), variants)}
    rows = []
    for path in logs:
        log = read_choices(path, _QUICK_EVENTS if quick else _EVENTS)
        base: Ints | None = None
        for name in variants:
            if name not in chosen:
                continue
            ranks = play(log, SETTINGS.get(name, {}), FEATURES.get(name, ()))
            base = ranks if base is None else base
            both = (ranks != UNRANKED) & (base != UNRANKED)
            gap = block_bootstrap(hits(ranks[both]), hits(base[both]), np.random.default_rng(_BOOTSTRAP_SEED))
            quality = ranking_quality(ranks[both])
            rows.append(
                {
                    "log": path.name,
                    "variant": name,
                    "hr10": quality.hr10,
                    "mrr20": quality.mrr20,
                    "hr10_difference": f"{gap.difference:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]",
                }
            )
    return rows


def play(log: EvaluationLog, overrides: Mapping[str, Any], hidden: Sequence[str]) -> Ints:
    """(M,) ranks of the scored events."""
    settings = settings_for(log, **overrides)
    columns = [n for n, name in enumerate(NAMES) if name.startswith(tuple(hidden))] if hidden else []

    def blinded(*given: Any) -> Any:
        features = ranking_features(*given)
        features[..., columns] = 0.0
        return features

    ranking_module.ranking_features = blinded if columns else ranking_features
    try:
        protocol = apply_protocol(log.events, choice_types(settings))
        return run_pipeline(build_pipeline(settings), build_states(settings), log.events, protocol).ranks
    finally:
        ranking_module.ranking_features = ranking_features
