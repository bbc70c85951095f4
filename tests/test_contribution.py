"""What several learners learned becomes one model: the order does not matter, and nothing counts twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from learners.embedding_table import EmbeddingTable
from learners.untold_changes import DenseChanges

_D = 4


def table(rows: int = 8, seed: int = 0) -> EmbeddingTable:
    made = EmbeddingTable(_D, scale=0.1, generator=torch.Generator().manual_seed(seed))
    made.ensure(rows)
    made.share()
    return made


def learn(one: EmbeddingTable, rows: Sequence[int], rng: np.random.Generator) -> None:
    gradient = torch.from_numpy(rng.normal(size=(len(rows), _D)).astype(np.float32))
    one.learn_many(torch.tensor(rows), gradient, 0.2)


def touch_all(one: EmbeddingTable) -> None:
    """Every row counts as learned, by both, alike."""
    learn(one, range(len(one.weight)), np.random.default_rng(9))
    one.cut()


@settings(deadline=None)
@given(st.data())
def test_tables_of_several_workers_become_alike_in_whatever_order_they_hear(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1_000)))
    workers = [table() for _ in range(3)]
    for one in workers:
        touch_all(one)
    begin = workers[0].weight.clone()
    accumulators = workers[0].state_dict()["accumulator"]
    unheard: list[list] = [[], [], []]
    added, accumulated = torch.zeros_like(begin), np.zeros(len(begin), np.float32)
    for _ in range(data.draw(st.integers(1, 12))):
        who = data.draw(st.integers(0, 2))
        what = data.draw(st.sampled_from(["learn", "tell", "hear"]))
        if what == "learn":
            learn(workers[who], data.draw(st.lists(st.integers(0, 7), min_size=1, max_size=4)), rng)
        elif what == "tell":
            changes = workers[who].cut()
            added[changes.rows] += torch.from_numpy(changes.change).float()
            accumulated[changes.rows] += changes.accumulated
            for other in {0, 1, 2} - {who}:
                unheard[other].append(changes)
        elif unheard[who]:
            workers[who].merge(unheard[who].pop(0), over=False)
    for who, one in enumerate(workers):
        changes = one.cut()
        added[changes.rows] += torch.from_numpy(changes.change).float()
        accumulated[changes.rows] += changes.accumulated
        for other in {0, 1, 2} - {who}:
            unheard[other].append(changes)
    for one, waiting in zip(workers, unheard, strict=True):
        for changes in waiting:
            one.merge(changes, over=False)
        torch.testing.assert_close(one.weight, begin + added, atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(one.state_dict()["accumulator"], accumulators + accumulated, rtol=1e-4)


def test_only_what_was_touched_since_is_told() -> None:
    one, rng = table(), np.random.default_rng(0)
    learn(one, [1, 3, 3], rng)
    assert sorted(one.cut().rows.tolist()) == [1, 3]
    assert len(one.cut().rows) == 0
    learn(one, [3], rng)
    assert one.cut().rows.tolist() == [3]


def test_what_is_heard_is_not_told_again() -> None:
    one, other, rng = table(), table(), np.random.default_rng(0)
    touch_all(one)
    touch_all(other)
    learn(one, [2], rng)
    learn(other, [2], rng)
    before = other.weight[2].clone()
    other.merge(one.cut(), over=False)
    assert not torch.equal(other.weight[2], before)
    changes = other.cut()
    assert changes.rows.tolist() == [2]
    own = torch.from_numpy(changes.change[0]).float()
    torch.testing.assert_close(other.weight[2] - own, one.weight[2], atol=1e-3, rtol=0.0)


def test_a_row_that_only_others_have_learned_becomes_as_it_is_there() -> None:
    one, other = table(seed=0), table(seed=1)
    assert not torch.equal(one.weight[5], other.weight[5])
    learn(one, [5], np.random.default_rng(0))
    other.merge(one.cut(), over=False)
    torch.testing.assert_close(other.weight[5], one.weight[5], atol=1e-3, rtol=0.0)
    assert other.cut().rows.tolist() == []


def test_who_is_behind_takes_over_whatever_it_had() -> None:
    one, other, rng = table(seed=0), table(seed=1), np.random.default_rng(0)
    learn(one, [5], rng)
    learn(other, [5, 6], rng)
    kept = other.weight[6].clone()
    other.merge(one.cut(), over=True)
    torch.testing.assert_close(other.weight[5], one.weight[5], atol=1e-3, rtol=0.0)
    torch.testing.assert_close(other.weight[6], kept)
    assert other.cut().rows.tolist() == [6]


def test_a_row_that_went_to_another_item_is_not_told_as_the_former() -> None:
    one, rng = table(), np.random.default_rng(0)
    learn(one, [1, 2], rng)
    one.forget(np.array([2]))
    assert one.cut().rows.tolist() == [1]
    learn(one, [2], rng)
    one.forget(np.array([2]))
    learn(one, [2], rng)
    changes = one.cut()
    assert changes.rows.tolist() == [2]
    assert changes.accumulated == pytest.approx(changes.accumulator)


def test_a_table_that_grows_goes_on_telling() -> None:
    one, other, rng = table(2), table(2), np.random.default_rng(0)
    learn(one, [1], rng)
    one.ensure(5_000)
    learn(one, range(5_000), rng)
    changes = one.cut()
    assert len(changes.rows) == 5_000
    other.ensure(5_000)
    other.merge(changes, over=False)
    torch.testing.assert_close(other.weight[:5_000], one.weight[:5_000], atol=2e-3, rtol=0.0)


def parameters(value: float) -> nn.Linear:
    module = nn.Linear(2, 2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)
    return module


def test_dense_parameters_are_averaged_by_shares() -> None:
    modules = [parameters(1.0), parameters(1.0)]
    workers = [DenseChanges({"net": module}) for module in modules]
    with torch.no_grad():
        modules[0].weight += 4.0
        modules[1].weight += 8.0
    told = [worker.cut(share) for worker, share in zip(workers, (0.25, 0.75), strict=True)]
    workers[0].merge(told[1], 0.75)
    workers[1].merge(told[0], 0.25)
    for module in modules:
        torch.testing.assert_close(module.weight, torch.full((2, 2), 1.0 + 0.25 * 4.0 + 0.75 * 8.0))
        torch.testing.assert_close(module.bias, torch.ones(2))


def test_who_is_alone_keeps_all_it_learned() -> None:
    module = parameters(1.0)
    worker = DenseChanges({"net": module})
    with torch.no_grad():
        module.weight += 4.0
    assert worker.cut(1.0)["net.weight"].tolist() == [[4.0, 4.0], [4.0, 4.0]]
    torch.testing.assert_close(module.weight, torch.full((2, 2), 5.0))
    assert not worker.cut(1.0)["net.weight"].any()


def test_dense_changes_of_others_are_not_told_as_own() -> None:
    module = parameters(0.0)
    worker = DenseChanges({"net": module})
    with torch.no_grad():
        module.weight += 1.0
    worker.merge({"net.weight": np.full((2, 2), 10.0, np.float32)}, 0.5)
    assert worker.cut(0.5)["net.weight"].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    torch.testing.assert_close(module.weight, torch.full((2, 2), 5.5))


def test_a_change_that_half_precision_cannot_hold_stays_finite() -> None:
    one = table()
    learn(one, [1], np.random.default_rng(0))
    one.weight[1] += 1e6
    changes = one.cut()
    assert np.isfinite(changes.change).all()
    assert bool(torch.isfinite(one.weight).all())
