"""Losses against their equations, written out in loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from learners.losses import masked_task_losses, sampled_softmax, served_softmax

SEEDS = range(5)


def tensor(array: object) -> torch.Tensor:
    return torch.tensor(np.asarray(array))


def logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


# --- sampled softmax


@pytest.mark.parametrize("seed", SEEDS)
def test_sampled_softmax_is_its_equation(seed: int) -> None:
    """-log( e^(s_t - log q_t) / sum over candidates that are not the same item again )."""
    rng = np.random.default_rng(seed)
    T, C = 4, 9
    targets = rng.integers(0, 5, T)
    candidates = np.concatenate([targets, rng.integers(0, 5, C - T)])  # many accidental hits
    scores, log_expected = rng.normal(size=(T, C)), rng.normal(size=C)
    losses = []
    for t in range(T):
        parts = [
            math.exp(scores[t, c] - log_expected[c])
            for c in range(C)
            if c == t or candidates[c] != targets[t]
        ]
        losses.append(-math.log(math.exp(scores[t, t] - log_expected[t]) / sum(parts)))
    found = sampled_softmax(tensor(scores), tensor(log_expected), tensor(targets), tensor(candidates))
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-6)


def test_with_every_item_sampled_once_it_is_the_full_softmax() -> None:
    scores = torch.tensor([[1.0, 2.0, -1.0]])
    found = sampled_softmax(scores, torch.zeros(3), torch.tensor([7]), torch.tensor([7, 8, 9]))
    assert float(found) == pytest.approx(-math.log(math.e / (math.e + math.e**2 + math.e**-1)))


def test_the_correction_makes_the_sampled_gradient_that_of_the_full_softmax() -> None:
    """Draw skewed samples with replacement: with logQ the mean gradient is the full one, without it is not."""
    rng = np.random.default_rng(0)
    scores = torch.tensor([0.5, -0.5, 1.0, 0.0], dtype=torch.float64, requires_grad=True)
    full = torch.autograd.grad(torch.nn.functional.cross_entropy(scores[None], torch.tensor([0])), scores)[0]
    share = np.array([0.0, 0.7, 0.2, 0.1])  # the target itself comes as the target
    n = 400
    sample = np.concatenate([[0], rng.choice(4, n, p=share)])
    expected = np.log(np.where(np.arange(4) == 0, 1.0, np.maximum(share * n, 1e-9)))

    def gradient(log_expected: np.ndarray) -> torch.Tensor:
        loss = sampled_softmax(
            scores[sample][None], tensor(log_expected[sample]), torch.tensor([0]), tensor(sample)
        )
        return torch.autograd.grad(loss, scores)[0]

    assert gradient(expected).numpy() == pytest.approx(full.numpy(), abs=0.03)
    assert abs(gradient(np.zeros(4)).numpy() - full.numpy()).max() > 0.2


def test_an_accidental_hit_is_no_negative() -> None:
    scores = torch.zeros(1, 3, requires_grad=True)
    loss = sampled_softmax(scores, torch.zeros(3), torch.tensor([5]), torch.tensor([5, 5, 6]))
    loss.backward()
    assert scores.grad is not None
    assert scores.grad[0, 1] == 0.0
    assert scores.grad[0, 2] > 0.0


def test_a_batch_of_one_and_the_same_item_stays_finite() -> None:
    scores = torch.zeros(3, 3, requires_grad=True)
    loss = sampled_softmax(scores, torch.zeros(3), torch.full((3,), 5), torch.full((3,), 5))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


# --- served softmax


def test_served_softmax_is_its_equation() -> None:
    scores = np.array([[1.0, 0.0, 2.0], [0.5, -1.0, 9.0]])
    weights = np.array([[1.0, 1.0, 4.0], [1.0, 2.0, 1e-30]])  # the last stands for nothing: padding
    losses = [
        -math.log(math.exp(s[0]) / sum(w * math.exp(x) for w, x in zip(ws, s, strict=True)))
        for ws, s in zip(weights.tolist(), scores.tolist(), strict=True)
    ]
    found = served_softmax(tensor(scores), tensor(np.log(weights)))
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-6)


# --- tasks


@pytest.mark.parametrize("seed", SEEDS)
def test_task_losses_are_their_equations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    B, K = 7, 4
    outputs, labels = rng.normal(size=(B, K)), rng.random((B, K))
    binary = np.array([True, False, True, True])
    labels[:, binary] = labels[:, binary].round()
    mask = rng.random((B, K)) < 0.5
    mask[:, 3] = False  # nothing known of the last task
    expected = []
    for k in range(K):
        known = []
        for b in range(B):
            if mask[b, k]:
                p, y = logistic(outputs[b, k]), labels[b, k]
                cross_entropy = -(y * math.log(p) + (1 - y) * math.log(1 - p))
                known.append(cross_entropy if binary[k] else (p - y) ** 2)
        expected.append(sum(known) / len(known) if known else 0.0)
    found = masked_task_losses(tensor(outputs), tensor(labels), tensor(mask), tensor(binary))
    assert found.numpy() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("pretended", [0.0, 1.0])
def test_a_label_that_is_not_known_teaches_nothing(pretended: float) -> None:
    """'Not yet known' is not 'negative': whatever stands there, losses and gradients are the same."""
    rng = np.random.default_rng(3)
    outputs, labels = rng.normal(size=(6, 2)), (rng.random((6, 2)) < 0.5).astype(float)
    mask = rng.random((6, 2)) < 0.5
    binary = torch.tensor([True, False])

    def learned(stated: np.ndarray) -> tuple[list[float], np.ndarray]:
        leaf = tensor(outputs).requires_grad_()
        losses = masked_task_losses(leaf, tensor(stated), tensor(mask), binary)
        losses.sum().backward()
        assert leaf.grad is not None
        return losses.tolist(), leaf.grad.numpy()

    losses, gradient = learned(labels)
    assert (gradient[~mask] == 0.0).all()
    assert (gradient[mask] != 0.0).all()
    other_losses, other_gradient = learned(np.where(mask, labels, pretended))
    assert losses == other_losses
    assert (gradient == other_gradient).all()
