"""Learners for tests, small enough to be quick. Importing this imports torch and gives it one thread."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from batches import TASKS

from learners.composition import SlateRules
from learners.event_batch import EventBatch, Histories
from learners.exploration import ExplorationRules
from learners.features import PAIR_FEATURES
from learners.filters import FilterRules
from learners.learner import Lesson
from learners.learner_config import LearnerConfig
from learners.multitask import MultiTaskConfig
from learners.neural import NeuralModel
from learners.online_learner import OnlineLearner

torch.set_num_threads(1)  # as the worker does; on a busy machine a second thread makes small products slower

SMALL: dict[str, Any] = {
    "dimension": 8,
    "encoder_length": 5,
    "event_types": 16,
    "negatives": 16,
    "candidates": 30,
    "nearest": 5,
    "ranker_memory": 32,
    "ranked_per_step": 4,
    "choices_per_step": 8,
    "labels_per_step": 8,
}


HEADS = frozenset(field.name for field in fields(MultiTaskConfig)) - {"seed", "learning_rate"}
"""What of a learner's settings belongs to the multi-task part."""


def learner(tasks: Any = TASKS, **config: Any) -> OnlineLearner:
    """A learner of the shop's tasks."""
    own = {name: config.pop(name) for name in HEADS & config.keys()}
    tried = ExplorationRules(probability=config.pop("exploration", 0.0))
    config.setdefault("filters", FilterRules(repeat_last=True))
    config.setdefault("slates", SlateRules(exploration=tried))
    return OnlineLearner(tasks, LearnerConfig(**{**SMALL, **config, "multitask": MultiTaskConfig(**own)}))


def neural(tasks: Any = TASKS, **differing: Any) -> NeuralModel:
    """A neural model of the shop's tasks, without the counts around it."""
    given: dict[str, Any] = {
        "event_types": 16,
        "dimension": 8,
        "pair_features": PAIR_FEATURES,
        "encoder": "attention",
        "encoder_length": 5,
        "learning_rate": 0.01,
        "embedding_learning_rate": 0.2,
        "negatives": 16,
        "seed": 0,
        "device": "cpu",
    }
    own = {"weighting": "equal", "learning_rate": 0.01}
    own |= {name: differing.pop(name) for name in HEADS & differing.keys()}
    return NeuralModel(tasks, **{**given, **differing, "multitask": MultiTaskConfig(**own)})


def taught(model: OnlineLearner, shop: list[tuple[EventBatch, Histories]]) -> list[Lesson]:
    """Predict and learn each of the shop's batches."""
    return [model.learn_many(batch, model.predict_many(batch)) for batch, _ in shop]
