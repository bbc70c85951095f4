"""Losses against their equations, written out in loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from learners.losses import sampled_softmax, served_softmax

SEEDS = range(5)


def tensor(array: object) -> torch.Tensor:
    return torch.tensor(np.asarray(array))


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
