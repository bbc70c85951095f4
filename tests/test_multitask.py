"""The multi-task part alone: rows in, forecasts out, and what one step does to them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from learners.heads.heads import HEADS
from learners.label_rates import rates_width
from learners.multitask import MultiTask, MultiTaskConfig, TaskLabels
from learners.task import Task
from learners.weightings.registry import WEIGHTINGS

TASKS = (Task(name="click"), Task(name="buy", after="click"), Task(name="stars", kind="regression"))
K, INPUTS = len(TASKS), 6


def foresee(model: MultiTask, rows: torch.Tensor, position: np.ndarray) -> np.ndarray:
    """(B, K) what the model says in the end."""
    return model.calibrated(model.logits(rows, position))


def made(tasks: Any = TASKS, counts: int = 0, rates: bool = False, **config: Any) -> MultiTask:
    given = {"weighting": "equal", "width": 8, "learning_rate": 0.02, **config}
    return MultiTask(tasks, INPUTS, MultiTaskConfig(**given), counts=counts, rates=rates)


def given(seed: int, rows: int = 64, tasks: int = K) -> tuple[torch.Tensor, TaskLabels]:
    """Rows whose first two numbers decide: clicks by the sum, purchases of clicks by the second, stars by the first."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, INPUTS)).astype(np.float32)
    click = rng.random(rows) < 1.0 / (1.0 + np.exp(-2.0 * (x[:, 0] + x[:, 1])))
    buy = click & (rng.random(rows) < 1.0 / (1.0 + np.exp(-2.0 * x[:, 1])))
    stars = 1.0 / (1.0 + np.exp(-x[:, 0]))
    labels = np.stack([click, buy, stars], axis=1).astype(np.float32)[:, :tasks]
    mask = np.ones_like(labels, np.bool_)
    return torch.from_numpy(x), TaskLabels(
        labels=labels,
        mask=mask,
        late=np.zeros_like(mask),
        position=np.full(rows, -1),
        group=np.arange(rows),
    )


def taught(model: MultiTask, steps: int, first: int = 0) -> None:
    for seed in range(first, first + steps):
        rows, labels = given(seed)
        model.clear()
        model.learn(rows, labels)
        model.apply()


@pytest.mark.parametrize("heads", sorted(HEADS))
@pytest.mark.parametrize("chain", ["product", "gate", "both"])
def test_it_learns_what_can_be_known(heads: str, chain: str) -> None:
    model = made(heads=heads, chain=chain)
    taught(model, 150)
    rows, labels = given(10_000, 2_000)
    found = foresee(model, rows, labels.position)
    for k in range(2):
        positive = labels.labels[:, k] > 0.0
        assert found[positive, k].mean() - found[~positive, k].mean() > 0.25
    assert np.abs(found[:, 2] - labels.labels[:, 2]).mean() < 0.06
    assert found[:, :2].mean(axis=0) == pytest.approx(labels.labels[:, :2].mean(axis=0), abs=0.12)


@pytest.mark.parametrize("weighting", sorted(WEIGHTINGS))
def test_it_learns_under_every_weighting(weighting: str) -> None:
    model = made(weighting=weighting)
    taught(model, 80)
    rows, labels = given(10_000, 1_000)
    found = foresee(model, rows, labels.position)[:, 0]
    assert np.corrcoef(found, labels.labels[:, 0])[0, 1] > 0.5


def test_in_a_funnel_the_later_task_is_never_likelier() -> None:
    model = made(chain="product", calibrated=False)
    taught(model, 20)
    rows, labels = given(10_000)
    found = foresee(model, rows, labels.position)
    assert (found[:, 1] <= found[:, 0]).all()


def test_every_label_counts_alike_however_it_comes() -> None:
    """A positive alone in its step must not weigh as much as the sixty negatives of another."""

    def gradient(rows: torch.Tensor, labels: TaskLabels) -> torch.Tensor:
        model = made((Task(name="a"),), learning_rate=0.01)
        torch.nn.init.constant_(model.heads.towers.out, 0.3)
        model.learn(rows, labels)
        found = model.heads.towers.out.grad
        assert found is not None
        return found.flatten()

    rows, labels = given(0, tasks=1)
    halves = [
        gradient(
            rows[some],
            TaskLabels(
                labels=labels.labels[some],
                mask=labels.mask[some],
                late=labels.late[some],
                position=labels.position[some],
                group=labels.group[some],
            ),
        )
        for some in (slice(0, 1), slice(1, 64))
    ]
    torch.testing.assert_close(gradient(rows, labels), halves[0] + halves[1], rtol=1e-4, atol=1e-5)


def test_the_loss_that_heads_are_compared_by_is_larger_where_more_is_promised_than_comes() -> None:
    """A head must not look better for calling its negatives unimportant."""
    model = made((Task(name="a"),))
    late_stream(model, corrected=True)
    rng = np.random.default_rng(1)
    rows = torch.zeros(4_000, INPUTS)
    yes = rng.random(len(rows)) < 0.4
    labels = TaskLabels(
        labels=yes.astype(np.float32)[:, None],
        mask=np.ones((len(rows), 1), np.bool_),
        late=(yes & (rng.random(len(rows)) < 0.5))[:, None],
        position=np.zeros(len(rows), np.int64),
        group=np.arange(len(rows)),
    )
    told = []
    for promised in (0.0, 1.0, 2.0, 4.0, 8.0):
        generous = deepcopy(model)
        with torch.no_grad():
            generous.heads.towers.out_bias += promised
        told.append(float(generous.learn(rows, labels).plain_losses[0]))
    assert told == sorted(told)
    assert told[-1] > 2.0 * told[0]


def test_while_nothing_comes_late_late_answers_cost_nothing() -> None:
    _, labels = given(0)
    with_none = made()
    assert (with_none._importance(np.zeros((64, K), np.float32), labels.labels, labels.late) == 1.0).all()


def late_stream(model: MultiTask, corrected: bool, share: float = 0.5) -> float:
    """Labels of rate .4, half of whose positives come as negatives first; what is foreseen in the end."""
    rng = np.random.default_rng(0)
    foreseen = []
    for _ in range(150):
        yes = rng.random(64) < 0.4
        late = yes & (rng.random(64) < share)
        label = np.concatenate([yes & ~late, np.ones(int(late.sum()), np.bool_)]).astype(np.float32)[:, None]
        is_late = np.concatenate([np.zeros(64, np.bool_), np.ones(int(late.sum()), np.bool_)])[:, None]
        if not corrected:
            label, is_late = label[:64], is_late[:64]
        rows = torch.zeros(len(label), INPUTS)
        model.clear()
        foreseen.append(float(foresee(model, rows[:1], np.zeros(1, np.int64))[0, 0]))
        logits = model.logits(rows, np.zeros(len(label), np.int64))
        model.calibrate(logits, label, np.ones_like(label, np.bool_), is_late)
        model.learn(
            rows,
            TaskLabels(
                labels=label,
                mask=np.ones_like(label, np.bool_),
                late=is_late,
                position=np.full(len(label), -1),
                group=np.arange(len(label)),
            ),
        )
        model.apply()
    return float(np.mean(foreseen[-30:]))


@pytest.mark.parametrize("calibrated", [True, False])
def test_late_positives_are_made_up_for(calibrated: bool) -> None:
    task = (Task(name="a", late_s=60.0),)
    assert late_stream(made(task, calibrated=calibrated), corrected=True) == pytest.approx(0.4, abs=0.04)
    assert late_stream(made(task, calibrated=calibrated), corrected=False) < 0.26


def test_with_label_rates_a_task_begins_with_an_opinion() -> None:
    tasks = (Task(name="a"), Task(name="b"))
    width = rates_width(2)
    model = MultiTask(tasks, width, MultiTaskConfig(), counts=width, rates=True)
    lifts = torch.zeros(3, width)
    lifts[1, 0], lifts[2, 3] = 1.0, 1.0  # the user's lift for a; the item's lift for b
    found = foresee(model, lifts, np.zeros(3, np.int64))
    assert found[1, 0] > found[0, 0] == found[2, 0]
    assert found[2, 1] > found[0, 1] == found[1, 1]


# --- the lookahead


def opposed(seed: int) -> tuple[torch.Tensor, TaskLabels]:
    """Two tasks that want the same, and a third that wants the opposite."""
    rows, labels = given(seed)
    click = labels.labels[:, :1]
    return rows, replace(labels, labels=np.concatenate([click, click, 1.0 - click], axis=1))


def test_the_lookahead_tells_friends_from_foes_and_moves_nothing() -> None:
    tasks = tuple(Task(name=name) for name in "abc")
    model = made(tasks, heads="shared_bottom", lookahead_every=1, learning_rate=0.001)
    towers = model.heads.towers
    with (
        torch.no_grad()
    ):  # one tower for all, which foresees about a half: opposite labels have opposite gradients
        towers.hidden[:] = towers.hidden[:1].clone()
        towers.out[:] = 0.05
    before = {name: array.copy() for name, array in model.state_dict().items()}
    affinity = model._lookahead(*opposed(99))
    assert (affinity[[0, 1, 2], [0, 1, 2]] > 0.0).all(), "a step on a task helps itself"
    assert affinity[0, 1] > 0.0
    assert affinity[0, 2] < 0.0
    after = model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_the_lookahead_comes_every_so_often() -> None:
    model = made(lookahead_every=3)
    found = [model.learn(*given(seed)).affinity is not None for seed in range(7)]
    assert found == [False, False, True, False, False, True, False]
    assert made(lookahead_every=0).learn(*given(0)).affinity is None


def test_an_absent_task_has_no_affinity() -> None:
    rows, labels = given(0)
    mask = labels.mask.copy()
    mask[:, 1] = False
    found = made(lookahead_every=1).learn(rows, replace(labels, mask=mask)).affinity
    assert found is not None
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1]).all()


# --- state


@pytest.mark.parametrize("heads", sorted(HEADS))
def test_a_restored_one_goes_on_bit_for_bit(heads: str) -> None:
    one, other = made(heads=heads, weighting="random"), made(heads=heads, weighting="random", seed=9)
    taught(one, 5)
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    for model in (one, other):
        taught(model, 5, first=5)
    assert all(np.array_equal(array, other.state_dict()[name]) for name, array in one.state_dict().items())


@torch.no_grad()
def test_a_task_that_begins_anew_has_nothing_left_of_its_own() -> None:
    rows, labels = given(99)
    position = torch.from_numpy(labels.position)
    alone, fresh = made(heads="single_task"), made(heads="single_task")
    with torch.enable_grad():
        taught(alone, 20)
    alone.reset(0)
    said, at_first = alone.heads(rows, position), fresh.heads(rows, position)
    assert torch.equal(said[:, 0], at_first[:, 0])
    assert not torch.allclose(said[:, 2], at_first[:, 2]), "and nobody else does"

    together, fresh = made(heads="mmoe"), made(heads="mmoe")
    with torch.enable_grad():
        taught(together, 20)
    together.reset(0)
    gates, at_first = together.heads.mix(rows).gates, fresh.heads.mix(rows).gates
    assert torch.equal(gates[:, 0], at_first[:, 0])
    assert not torch.allclose(gates[:, 2], at_first[:, 2])


def test_a_funnel_in_the_wrong_order_is_refused() -> None:
    with pytest.raises(ValueError, match="task 'buy' comes after 'click'"):
        made((Task(name="buy", after="click"), Task(name="click")))
    with pytest.raises(ValueError, match="must be binary"):
        made((Task(name="stars", kind="regression"), Task(name="buy", after="stars")))


def test_a_task_that_nothing_ever_says_no_to_is_refused() -> None:
    with pytest.raises(ValueError, match="learns from yes and no, and negative is 'none'"):
        Task(name="buy", negative="none")


def test_it_tells_its_gradients_norms_and_the_present_step_size() -> None:
    model = made(learning_rate=0.02)
    taught(model, 3)  # the towers begin at nothing
    rows, labels = given(0)
    absent = replace(labels, mask=labels.mask & [True, True, False])
    lesson = model.learn(rows, absent)
    assert lesson.norms is not None
    assert (lesson.norms[:2] > 0.0).all()
    assert np.isnan(lesson.norms[2])
    model.clear()
    twice = model.learn(
        torch.cat([rows, rows]),
        TaskLabels(
            **{
                name: np.concatenate([getattr(absent, name)] * 2)
                for name in ("labels", "mask", "late", "position", "group")
            }
        ),
    )
    assert twice.norms is not None
    assert twice.norms[:2] == pytest.approx(2.0 * lesson.norms[:2], rel=0.2), "a sum over labels"
    model.apply()
    first = model.learning_rate
    for _ in range(20):
        taught(model, 1)
    assert 0.02 < model.learning_rate < first
