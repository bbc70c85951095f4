"""Row-wise Adagrad, against one row at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from learners.embedding_table import EmbeddingTable

D = 3


def table(seed: int = 0, rows: int = 16) -> EmbeddingTable:
    made = EmbeddingTable(D, scale=0.1, generator=torch.Generator().manual_seed(seed))
    made.ensure(rows)
    return made


@pytest.mark.parametrize("seed", range(3))
def test_steps_are_those_of_the_equation(seed: int) -> None:
    """G_r += mean_d g_rd^2, then w_r -= lr g_r / sqrt(G_r), with g_r summed over the step."""
    rng = np.random.default_rng(seed)
    learned = table(seed)
    weight, squares = learned.weight.numpy().astype(np.float64), np.zeros(16)
    for _ in range(5):
        rows = rng.integers(0, 16, 10)  # some twice, some not at all
        gradient = rng.normal(size=(10, D)).astype(np.float32)
        for row in set(rows.tolist()):
            total = gradient[rows == row].sum(axis=0)
            squares[row] += (total**2).mean()
            weight[row] -= 0.2 * total / (np.sqrt(squares[row]) + 1e-6)
        learned.learn_many(torch.from_numpy(rows), torch.from_numpy(gradient), 0.2)
    assert learned.weight.numpy() == pytest.approx(weight, abs=1e-5)
    assert learned.state_dict()["accumulator"] == pytest.approx(squares, rel=1e-5)


def test_rows_that_are_not_named_stay_bit_for_bit() -> None:
    learned = table()
    before = learned.weight.clone()
    learned.learn_many(torch.tensor([2, 5]), torch.ones(2, D), 0.5)
    untouched = [row for row in range(16) if row not in (2, 5)]
    assert torch.equal(learned.weight[untouched], before[untouched])
    assert not torch.equal(learned.weight[[2, 5]], before[[2, 5]])


def test_a_zero_gradient_moves_nothing() -> None:
    learned = table()
    before = learned.weight.clone()
    learned.learn_many(torch.tensor([1]), torch.zeros(1, D), 0.5)
    learned.learn_many(torch.zeros(0, dtype=torch.long), torch.zeros(0, D), 0.5)
    assert torch.equal(learned.weight, before)


def test_growth_keeps_what_was_learned_and_doubles() -> None:
    learned = table()
    learned.learn_many(torch.tensor([3]), torch.ones(1, D), 0.5)
    before = learned.state_dict()
    learned.ensure(17)
    assert learned.weight.shape == (32, D)
    assert (learned.weight[:16].numpy() == before["weight"]).all()
    assert (learned.state_dict()["accumulator"][:16] == before["accumulator"]).all()
    learned.ensure(5)
    assert learned.weight.shape == (32, D)
    assert learned.weight.std() == pytest.approx(0.1, rel=0.5), "new rows are drawn, not zero"


def test_a_forgotten_row_starts_anew() -> None:
    learned = table()
    learned.learn_many(torch.tensor([3, 4]), torch.full((2, D), 100.0), 5.0)
    kept = learned.weight[4].clone()
    learned.forget(np.array([3, 999]))
    assert learned.weight[3].abs().max() < 1.0
    assert learned.state_dict()["accumulator"][3] == 0.0
    assert torch.equal(learned.weight[4], kept)
    assert learned.weight.shape == (16, D)


def test_a_restored_table_goes_on_alike() -> None:
    one, other = table(1), table(2, rows=40)
    one.learn_many(torch.tensor([3]), torch.ones(1, D), 0.5)
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    for learned in (one, other):
        learned.learn_many(torch.tensor([3, 7]), torch.ones(2, D), 0.5)
    assert torch.equal(one.weight, other.weight)


def test_the_state_is_a_copy() -> None:
    learned = table()
    saved = learned.state_dict()["weight"]
    kept = saved.copy()
    learned.learn_many(torch.tensor([3]), torch.ones(1, D), 0.5)
    assert (saved == kept).all()


def test_another_dimension_is_refused() -> None:
    other = EmbeddingTable(D + 1, scale=0.1, generator=torch.Generator())
    with pytest.raises(ValueError, match="saved with dimension 3, configured is 4"):
        other.load_state_dict(table().state_dict())
