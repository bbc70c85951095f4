"""Everything that shapes the learner, with what is taken where nobody says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from learners.composition import SlateRules
from learners.context_fields import NO_CONTEXT, ContextFields
from learners.filters import FilterRules
from learners.multitask import MultiTaskConfig
from learners.newcomers import NewnessRules


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerConfig:
    """Everything that shapes the learner.

    Attributes:
        dimension: D, numbers of an item vector.
        encoder: A name of `encoders.ENCODERS`.
        encoder_length: Newest history slots that are encoded.
        event_types: Most event types there can be; room for types that are declared later.
        context: Which facts of an event's context histories hold.
        multitask: What shapes the heads and how the tasks are balanced; its seed is the one below.
        learning_rate: Of dense parameters.
        embedding_learning_rate: Of item vectors.
        negatives: Shared negatives a step.
        candidates: C, most candidates of a sequence; those of what is retrieved for which most speaks.
        ranked: Most of them that the ranker compares: the most promising ones at a brief look.
        max_pairs: Bound of the (user, item) pairs that are remembered.
        neighbours: Items kept of what goes with an item.
        nearest: How many of them the neural model brings.
        ranker_learning_rates: Of the ranker's experts, one each.
        ranker_memory: Latest choices that the ranker learns from again; 0 for none.
        ranker_reminders: How often it does, for each step on new ones.
        ranker_share: Share of the choices that are ranked and that the ranker learns from.
        share_under_load: At least this share of the choices, and of what is shown, is learned from by ranker and heads
            where more come at once than can be learned in the time, see `pace`. Counts, histories and vectors always
            learn from everything.
        ranked_per_step: Choices of one gradient step of the ranker.
        choices_per_step: Choices of one gradient step of the neural model.
        labels_per_step: Or so many labelled rows.
        slates: What makes a slate out of scores.
        filters: What may not stand in one.
        newness: Which items are new.
        exclude_seen: Leave out what stands in the user's history and what the user is known to have chosen before.
        device: Where tensors live.
        seed: Of every draw.
    """

    dimension: int = 64
    encoder: Literal["attention", "gru", "mixed", "sasrec"] = "attention"
    encoder_length: int = 20
    event_types: int = 128
    context: ContextFields = NO_CONTEXT
    multitask: MultiTaskConfig = field(default_factory=MultiTaskConfig)
    learning_rate: float = 0.002
    embedding_learning_rate: float = 0.2
    negatives: int = 256
    candidates: int = 400
    ranked: int = 128
    max_pairs: int = 4_000_000
    neighbours: int = 80
    nearest: int = 100
    ranker_learning_rates: tuple[float, ...] = (0.001, 0.004)
    ranker_memory: int = 4_096
    ranker_reminders: int = 2
    ranker_share: float = 1.0
    share_under_load: float = 0.5
    ranked_per_step: int = 16
    choices_per_step: int = 64
    labels_per_step: int = 256
    slates: SlateRules = field(default_factory=SlateRules)
    filters: FilterRules = field(default_factory=FilterRules)
    newness: NewnessRules = field(default_factory=NewnessRules)
    exclude_seen: bool = False
    device: str = "cpu"
    seed: int = 0
