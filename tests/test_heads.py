"""The vectorised mixture of experts, against loops over experts and tasks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from learners.heads import MixtureOfExperts

B, INPUTS, K, E, W = 5, 6, 3, 4, 8


@pytest.fixture
def heads() -> MixtureOfExperts:
    """All parameters drawn, since some begin at zero and would hide mistakes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = MixtureOfExperts(INPUTS, K, experts=E, width=W)
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return made


@pytest.fixture
def rows() -> Tensor:
    return torch.randn(B, INPUTS, generator=torch.Generator().manual_seed(1))


def looped(heads: MixtureOfExperts, rows: Tensor, position: Tensor) -> Tensor:
    logits = torch.zeros(B, K)
    for b in range(B):
        experts = []
        for e in range(E):
            own = slice(e * W, (e + 1) * W)
            output = F.silu(heads.trunk.weight[own] @ rows[b] + heads.trunk.bias[own])
            experts.append(F.layer_norm(output, (W,), heads.norm.weight, heads.norm.bias))
        for k in range(K):
            own = slice(k * E, (k + 1) * E)
            gates = (heads.gate.weight[own] @ rows[b] + heads.gate.bias[own]).softmax(dim=0)
            mixed = sum((gates[e] * experts[e] for e in range(E)), torch.zeros(W))
            hidden = F.silu(mixed @ heads.hidden[k] + heads.hidden_bias[k, 0])
            place = min(max(int(position[b]), 0), 63)
            logits[b, k] = hidden @ heads.out[k, :, 0] + heads.out_bias[k, 0, 0]
            logits[b, k] += heads.position.weight[place, k]
    return logits


def test_vectorised_is_looped(heads: MixtureOfExperts, rows: Tensor) -> None:
    position = torch.tensor([-1, 0, 1, 63, 1_000])
    with torch.no_grad():
        torch.testing.assert_close(heads(rows, position), looped(heads, rows, position))


def test_gates_share_out_one(heads: MixtureOfExperts, rows: Tensor) -> None:
    mixture = heads.mix(rows)
    assert mixture.mixed.shape == (B, K, W)
    torch.testing.assert_close(mixture.gates.sum(dim=2), torch.ones(B, K))
    assert (mixture.gates > 0.0).all()


def test_a_tower_sees_its_own_tasks_mixture_only(heads: MixtureOfExperts, rows: Tensor) -> None:
    mixed = heads.mix(rows).mixed.detach().requires_grad_()
    heads.towers(mixed, torch.zeros(B, dtype=torch.long))[:, 1].sum().backward()
    assert mixed.grad is not None
    assert (mixed.grad[:, [0, 2]] == 0.0).all()
    assert (mixed.grad[:, 1] != 0.0).any()


def test_new_heads_foresee_a_half_whatever_they_see(rows: Tensor) -> None:
    assert (MixtureOfExperts(INPUTS, K)(rows, torch.arange(B)) == 0.0).all()


def test_no_rows_are_no_logits(heads: MixtureOfExperts) -> None:
    assert heads(torch.zeros(0, INPUTS), torch.zeros(0, dtype=torch.long)).shape == (0, K)
