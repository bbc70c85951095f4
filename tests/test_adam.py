"""Adam: what torch's class does, without what that brings along."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from learners.adam import Adam, Group, adam_of

RATES = (0.1, 0.02)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))


def test_it_moves_as_torchs_class_does() -> None:
    ours, torchs = network(), network()
    parts = [list(layer.parameters()) for layer in (ours[0], ours[2])]
    mine = Adam(*(Group(part, rate) for part, rate in zip(parts, RATES, strict=True)))
    theirs = torch.optim.Adam(
        [
            {"params": list(layer.parameters()), "lr": rate}
            for layer, rate in zip((torchs[0], torchs[2]), RATES, strict=True)
        ],
        betas=(0.9, 0.99),
    )
    for _ in range(20):
        rows = torch.randn(3, 5)
        for net, optimiser in ((ours, mine), (torchs, theirs)):
            optimiser.zero_grad()
            net(rows).square().sum().backward()
            optimiser.step()
    for moved, expected in zip(ours.parameters(), torchs.parameters(), strict=True):
        assert moved.detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-6)


def test_what_has_no_gradient_stays_and_remembers_nothing() -> None:
    net = network()
    optimiser = adam_of(net.parameters(), 0.1)
    before = net[2].weight.detach().clone()
    net[0](torch.ones(1, 5)).sum().backward()
    optimiser.step()
    assert torch.equal(net[2].weight, before)
    assert set(optimiser.state) == set(net[0].parameters())
    optimiser.zero_grad()
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_step_size_may_be_set_between_two_steps() -> None:
    layer = nn.Linear(1, 1, bias=False)
    optimiser = adam_of(layer.parameters(), 0.5)
    optimiser.groups[0].learning_rate = 0.25
    before = float(layer.weight.detach())
    layer(torch.ones(1, 1)).sum().backward()
    optimiser.step()
    assert float(layer.weight.detach()) == pytest.approx(before - 0.25, abs=1e-6), "the first step of Adam"


def test_who_learns_imports_no_compiler() -> None:
    code = """
        import sys
        from benchmarks.step import shop
        from stream.assembly import build_pipeline, build_states
        from stream.settings import load

        settings = load()
        pipeline = build_pipeline(settings)
        pipeline.step(shop(400), build_states(settings), 0)
        assert pipeline.learner.step > 0
        print([name for name in ("torch._dynamo", "sympy", "triton") if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
