"""The vectorised heads, against loops over experts and tasks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from learners.heads.heads import HEADS, Heads
from learners.heads.mmoe import MixtureOfExperts
from learners.heads.towers import chained_logits

B, INPUTS, K, E, W = 5, 6, 3, 4, 8
FUNNEL = (-1, 0, 1)


def made(kind: str, after: tuple[int, ...] = (), chain: str = "product") -> Heads:
    """All parameters drawn, since some begin at zero and would hide mistakes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        heads = Heads(kind, INPUTS, K, experts=E, width=W, after=after, chain=chain)
        for parameter in heads.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return heads


@pytest.fixture
def rows() -> Tensor:
    return torch.randn(B, INPUTS, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=sorted(HEADS))
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


PLACES = torch.tensor([-1, 0, 1, 63, 1_000])


def looped_mixtures(kind: str, experts: torch.nn.Module, rows: Tensor) -> Tensor:
    """(B, K, W) written out: which experts a task has, and how it mixes them."""
    mixed = torch.zeros(B, K, W)
    for b in range(B):
        for k in range(K):
            if kind == "shared_bottom":
                hidden = experts.narrow(F.silu(experts.trunk(rows[b])))
                mixed[b, k] = F.layer_norm(hidden, (W,), experts.norm.weight, experts.norm.bias)
                continue
            gates = experts.gate(rows[b])[k * E : (k + 1) * E].softmax(dim=0)
            for e in range(E):
                own = kind == "single_task" or (kind == "cgc" and e == E - 1)
                if kind == "cgc" and own:
                    output = F.silu(experts.own(rows[b])[k * W : (k + 1) * W])
                else:
                    start = ((k * E if own else 0) + e) * W
                    output = F.silu(experts.trunk(rows[b])[start : start + W])
                scale = experts.scale[k].flatten() if own else experts.norm.weight
                shift = experts.shift[k].flatten() if own else experts.norm.bias
                mixed[b, k] += gates[e] * F.layer_norm(output, (W,), scale, shift)
    return mixed


def looped_towers(heads: Heads, mixed: Tensor, position: Tensor) -> Tensor:
    towers, logits = heads.towers, torch.zeros(B, K)
    for b in range(B):
        place = min(max(int(position[b]), 0), 63)
        for k in range(K):
            hidden = F.silu(mixed[b, k] @ towers.hidden[k] + towers.hidden_bias[k, 0])
            logits[b, k] = hidden @ towers.out[k, :, 0] + towers.out_bias[k, 0, 0]
            logits[b, k] += towers.position.weight[place, k]
    return logits


def test_vectorised_is_looped(kind: str, rows: Tensor) -> None:
    heads = made(kind)
    with torch.no_grad():
        mixed = looped_mixtures(kind, heads.experts, rows)
        torch.testing.assert_close(heads.mix(rows).mixed, mixed)
        torch.testing.assert_close(heads(rows, PLACES), looped_towers(heads, mixed, PLACES))


def test_gates_share_out_one(kind: str, rows: Tensor) -> None:
    mixture = made(kind).mix(rows)
    assert mixture.mixed.shape == (B, K, W)
    torch.testing.assert_close(mixture.gates.sum(dim=2), torch.ones(B, K))
    assert (mixture.gates > 0.0).all()
    assert (mixture.shared.sum(dim=2) <= 1.0 + 1e-6).all()


def test_a_tower_sees_its_own_tasks_mixture_only(kind: str, rows: Tensor) -> None:
    for after, chain in (((), "product"), (FUNNEL, "product"), (FUNNEL, "gate"), (FUNNEL, "both")):
        heads = made(kind, after, chain)
        mixed = heads.mix(rows).mixed.detach().requires_grad_()
        heads.towers(mixed, torch.zeros(B, dtype=torch.long))[:, 1].sum().backward()
        assert mixed.grad is not None
        assert (mixed.grad[:, [0, 2]] == 0.0).all()
        assert (mixed.grad[:, 1] != 0.0).any()


def test_new_heads_foresee_a_half_whatever_they_see(kind: str, rows: Tensor) -> None:
    assert (Heads(kind, INPUTS, K)(rows, torch.arange(B)) == 0.0).all()


def test_no_rows_are_no_logits(kind: str) -> None:
    assert made(kind)(torch.zeros(0, INPUTS), torch.zeros(0, dtype=torch.long)).shape == (0, K)


def touched(heads: Heads, rows: Tensor, task: int) -> dict[str, Tensor]:
    """Which of the experts' parameters one task's loss reaches."""
    heads.zero_grad()
    heads(rows, torch.zeros(B, dtype=torch.long))[:, task].sum().backward()
    return {name: p.grad != 0.0 for name, p in heads.experts.named_parameters() if p.grad is not None}


def test_single_tasks_share_nothing(rows: Tensor) -> None:
    heads = made("single_task")
    first, second = touched(heads, rows, 0), touched(heads, rows, 1)
    assert not any(bool((first[name] & second[name]).any()) for name in first)


def test_experts_of_ones_own_are_never_reached_by_others(rows: Tensor) -> None:
    heads = made("cgc")
    first, second = touched(heads, rows, 0), touched(heads, rows, 1)
    assert not (first["own.weight"] & second["own.weight"]).any()
    assert (first["trunk.weight"] & second["trunk.weight"]).any()


def test_mixtures_of_experts_have_as_many_outputs_as_asked_for() -> None:
    assert MixtureOfExperts(INPUTS, K, experts=2, width=16).trunk.out_features == 32


# --- funnels


def test_chained_probabilities_multiply() -> None:
    logits = torch.tensor([[0.0, 1.0, -2.0], [3.0, -1.0, 0.5]], dtype=torch.float64)
    p = torch.sigmoid(logits)
    found = torch.sigmoid(chained_logits(logits, FUNNEL))
    torch.testing.assert_close(found[:, 0], p[:, 0])
    torch.testing.assert_close(found[:, 1], p[:, 0] * p[:, 1])
    torch.testing.assert_close(found[:, 2], p[:, 0] * p[:, 1] * p[:, 2])


def test_a_chain_keeps_its_digits_at_both_ends() -> None:
    found = chained_logits(torch.tensor([[40.0, 40.0], [-40.0, -40.0]], dtype=torch.float64), (-1, 0))
    assert found[0, 1] == pytest.approx(40.0 - math.log(2.0))
    assert found[1, 1] == pytest.approx(-80.0)


def test_without_a_funnel_a_chain_is_nothing() -> None:
    logits = torch.randn(2, 3)
    assert chained_logits(logits, (-1, -1, -1)) is logits


def test_the_gate_passes_on_what_the_former_tower_knows(rows: Tensor) -> None:
    """A chained task's logit moves with the former task's hidden units, another task's does not."""
    heads = made("mmoe", (-1, 0, -1), "gate")
    with torch.no_grad():
        before = heads(rows, PLACES)
        heads.towers.hidden_bias[0] += 1.0
        after = heads(rows, PLACES)
    assert (before[:, 0] != after[:, 0]).all()
    assert (before[:, 1] != after[:, 1]).all()
    assert (before[:, 2] == after[:, 2]).all()
