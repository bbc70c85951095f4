"""The tasks' losses against their equations, written out, and what their minima mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from learners.task import Task
from learners.task_losses import (
    TaskLosses,
    cross_entropy,
    focal,
    focal_logits,
    huber,
    listwise,
    squared,
    weighted_cross_entropy,
)

CASES = [(z, y) for z in (-3.0, -0.4, 0.0, 0.7, 2.5) for y in (0.0, 1.0)]


def logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def tensor(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


@pytest.mark.parametrize(("z", "y"), CASES)
def test_losses_are_their_equations(z: float, y: float) -> None:
    p = logistic(z)
    right = p if y else 1.0 - p
    error = abs(p - y)
    assert float(cross_entropy(tensor(z), tensor(y))) == pytest.approx(-math.log(right))
    assert float(focal(tensor(z), tensor(y), 2.0)) == pytest.approx(-((1.0 - right) ** 2) * math.log(right))
    weighted = -(5.0 * y * math.log(p) + (1.0 - y) * math.log(1.0 - p))
    assert float(weighted_cross_entropy(tensor(z), tensor(y), tensor(5.0))) == pytest.approx(weighted)
    assert float(squared(tensor(z), tensor(y))) == pytest.approx(error**2)
    expected = error**2 / 2 if error <= 0.2 else 0.2 * (error - 0.1)
    assert float(huber(tensor(z), tensor(y), 0.2)) == pytest.approx(expected)


def test_focal_without_focus_is_cross_entropy() -> None:
    z, y = tensor(-2.0, 0.3), tensor(1.0, 0.0)
    torch.testing.assert_close(focal(z, y, 0.0), cross_entropy(z, y))


def minimum(loss: str, rate: float) -> torch.Tensor:
    """The logit at which a loss's mean over labels of a given rate is least, by a fine grid."""
    z = torch.linspace(-8.0, 8.0, 160_001, dtype=torch.float64)[:, None]
    one, zero = torch.ones_like(z), torch.zeros_like(z)
    losses = TaskLosses([Task(name="t", loss=loss)])  # type: ignore[arg-type]
    known, group = torch.ones_like(z, dtype=torch.bool), torch.zeros(len(z), dtype=torch.long)
    weight = tensor(4.0)
    mean = rate * losses.rows(z, one, known, weight, group)
    mean += (1.0 - rate) * losses.rows(z, zero, known, weight, group)
    return losses.probability_logits(z[mean.argmin()][None], weight)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "weighted"])
@pytest.mark.parametrize("rate", [0.02, 0.3, 0.5, 0.9])
def test_bent_back_the_minimum_of_every_loss_is_the_probability(loss: str, rate: float) -> None:
    assert float(torch.sigmoid(minimum(loss, rate))) == pytest.approx(rate, abs=2e-3)


@pytest.mark.parametrize("logit", [-9.0, -4.25, -3.0, 0.0, 0.5, 4.0])
def test_a_tower_starts_where_its_probability_is_the_base_rate(logit: float) -> None:
    losses = TaskLosses([Task(name="a"), Task(name="b", loss="weighted"), Task(name="c", loss="focal")])
    weights = np.array([1.0, 4.0, 9.0], np.float32)
    start = losses.start(np.full(3, logit, np.float32), weights)
    found = losses.probability_logits(torch.from_numpy(start)[None], torch.from_numpy(weights))
    assert found[0].tolist() == pytest.approx([logit] * 3, abs=5e-3)


def test_heads_that_say_the_same_compare_alike_whatever_they_find_a_positive_to_count() -> None:
    losses = TaskLosses([Task(name="a"), Task(name="b", loss="weighted")])
    labels = torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    mask = torch.tensor([[True, True], [True, True], [True, False]])
    group = torch.zeros(3, dtype=torch.long)
    found = []
    for weight in (torch.tensor([1.0, 5.0]), torch.tensor([1.0, 3.0])):
        outputs = torch.full((3, 2), -2.0) + weight.log()
        rows = losses.rows(outputs, labels, mask, weight, group)
        found.append(losses.compared(rows, outputs, labels, mask, weight))
    torch.testing.assert_close(found[0], found[1])
    expected = torch.where(mask, cross_entropy(torch.full((3, 2), -2.0), labels), 0.0)
    torch.testing.assert_close(found[0], expected)


def test_a_focal_minimum_is_no_probability_by_itself() -> None:
    found = torch.sigmoid(tensor(float(minimum("focal", 0.02))))
    assert float(found) == pytest.approx(0.02, abs=2e-3)
    assert float(focal_logits(tensor(-1.0))) < -1.5, "it is far nearer to a half"


# --- lists


def test_listwise_is_softmax_cross_entropy_within_each_list() -> None:
    z = tensor(1.0, 0.0, 2.0, 0.5, -1.0)
    y = tensor(1.0, 0.0, 0.0, 1.0, 1.0)
    group = torch.tensor([7, 7, 7, 3, 3])
    found = listwise(z, y, torch.ones(5, dtype=torch.bool), group)
    first = -math.log(math.e / (math.e + 1.0 + math.e**2))
    shares = [math.exp(v) / (math.exp(0.5) + math.exp(-1.0)) for v in (0.5, -1.0)]
    assert found[:3].sum().item() == pytest.approx(first)
    assert found[3:].sum().item() == pytest.approx(-0.5 * sum(math.log(share) for share in shares))


def test_a_list_without_a_positive_or_of_one_row_says_nothing() -> None:
    z = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    found = listwise(z, tensor(0.0, 0.0, 1.0), torch.ones(3, dtype=torch.bool), torch.tensor([0, 0, 1]))
    found.sum().backward()
    assert found.tolist() == [0.0, 0.0, 0.0]
    assert z.grad is not None
    assert z.grad.tolist() == [0.0, 0.0, 0.0]


def test_what_is_not_known_is_in_no_list() -> None:
    z, group = tensor(1.0, 0.0, 50.0), torch.zeros(3, dtype=torch.long)
    known = torch.tensor([True, True, False])
    found = listwise(z, tensor(1.0, 0.0, 0.0), known, group)
    torch.testing.assert_close(found[:2], listwise(z[:2], tensor(1.0, 0.0), known[:2], group[:2]))
    assert listwise(z[:0], z[:0], known[:0], group[:0]).shape == (0,)


# --- side by side

TASKS = (
    Task(name="a"),
    Task(name="b", kind="regression"),
    Task(name="c", loss="focal"),
    Task(name="d", loss="weighted"),
    Task(name="e", kind="regression", loss="huber"),
    Task(name="f", kind="ranking"),
)
K = len(TASKS)


def drawn(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    B = 9
    labels = rng.random((B, K))
    labels[:, [0, 2, 3, 5]] = labels[:, [0, 2, 3, 5]].round()
    mask = rng.random((B, K)) < 0.6
    return (
        torch.tensor(rng.normal(size=(B, K))),
        torch.tensor(labels),
        torch.tensor(mask),
        torch.tensor(rng.uniform(1.0, 5.0, K)),
        torch.tensor(rng.integers(0, 3, B)),
    )


def test_each_task_learns_by_its_own_loss() -> None:
    z, y, known, weight, group = drawn()
    found = TaskLosses(TASKS).rows(z, y, known, weight, group)
    expected = torch.stack(
        [
            cross_entropy(z[:, 0], y[:, 0]),
            squared(z[:, 1], y[:, 1]),
            focal(z[:, 2], y[:, 2]),
            weighted_cross_entropy(z[:, 3], y[:, 3], weight[3]),
            huber(z[:, 4], y[:, 4]),
            listwise(z[:, 5], y[:, 5], known[:, 5], group),
        ],
        dim=1,
    )
    torch.testing.assert_close(found, torch.where(known, expected, 0.0))


@pytest.mark.parametrize("pretended", [0.0, 1.0])
def test_a_label_that_is_not_known_teaches_nothing(pretended: float) -> None:
    """'Not yet known' is not 'negative': whatever stands there, losses and gradients are the same."""
    z, y, known, weight, group = drawn(3)

    def learned(stated: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        leaf = z.clone().requires_grad_()
        losses = TaskLosses(TASKS).rows(leaf, stated, known, weight, group)
        losses.sum().backward()
        assert leaf.grad is not None
        return losses.detach(), leaf.grad

    losses, gradient = learned(y)
    assert (gradient[~known] == 0.0).all()
    other_losses, other_gradient = learned(torch.where(known, y, pretended))
    assert torch.equal(losses, other_losses)
    assert torch.equal(gradient, other_gradient)
