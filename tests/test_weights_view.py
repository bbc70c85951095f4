"""Weights in sentences."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from batches import shop
from models import learner, taught

from learners.weightings.weighting import Explanation
from stream.weights_view import sentence, weights_view

NAN = float("nan")
CLICK = Explanation(
    task="click",
    value=2.0,
    weight=1.4,
    coefficient=1.4,
    norm=2.1,
    loss=0.3,
    opposes=None,
    cosine=0.0,
    because="its gradient norm is 2.10 x the mean",
)


def test_a_weight_that_moved_says_from_where_and_why() -> None:
    assert sentence(CLICK) == "click 2.00 -> 1.40 because its gradient norm is 2.10 x the mean"


def test_what_conflicts_cost_is_told() -> None:
    found = sentence(replace(CLICK, coefficient=1.1))
    assert found.endswith("; 1.10 after conflicts in its last batch")


def test_a_weight_that_stays_says_so() -> None:
    found = sentence(replace(CLICK, weight=2.0, coefficient=2.0, because="every task counts by its value"))
    assert found == "click 2.00 stays because every task counts by its value"


def test_a_task_without_labels_says_so() -> None:
    found = sentence(replace(CLICK, norm=NAN, loss=NAN, because="it has had no labels yet"))
    assert found == "click 2.00: it has had no labels yet"


def test_the_view_of_a_learner_is_json_before_and_after_it_has_learned() -> None:
    model = learner(weighting="balanced")
    first = weights_view(model)
    assert json.loads(json.dumps(first, allow_nan=False)) == first
    assert [task["loss"] for task in first["tasks"]] == [None] * 3
    taught(model, shop())
    found = weights_view(model)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["model_step"] == len(shop())
    assert all("because its gradient norm is" in task["sentence"] for task in found["tasks"])
    assert np.allclose([task["weight"] for task in found["tasks"]], model._neural.multitask.weighting.weights)
