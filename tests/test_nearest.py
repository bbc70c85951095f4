"""The search by piles finds what a search of everything finds."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.nearest import largest, nearest


@given(st.integers(0, 3), st.integers(1, 3_000), st.integers(1, 60), st.integers(0, 2**31))
@law(60)
def test_the_largest_scores_are_found_whatever_the_shape(S: int, N: int, count: int, seed: int) -> None:
    scores = torch.randn(S, N, generator=torch.Generator().manual_seed(seed))
    found = largest(scores, count)
    wanted = scores.topk(min(count, N), dim=1)
    assert found.shape == wanted.indices.shape
    assert torch.equal(scores.gather(1, found).sort(dim=1, descending=True).values, wanted.values)


@given(st.integers(1, 2_000), st.integers(1, 40), st.integers(0, 9))
@law(40)
def test_with_equal_scores_no_item_is_found_twice(N: int, count: int, levels: int) -> None:
    scores = torch.arange(N).remainder(levels + 1).float().expand(2, N)
    found = largest(scores, count)
    assert all(len(row.unique()) == len(row) for row in found)
    assert torch.equal(
        scores.gather(1, found).sort(dim=1).values, scores.topk(min(count, N), dim=1).values.flip(1)
    )


def test_nearest_is_by_inner_product() -> None:
    items = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    assert nearest(torch.tensor([[0.0, 3.0]]), items, 1).tolist() == [[2]]
    assert sorted(nearest(torch.tensor([[0.0, 3.0]]), items, 9)[0].tolist()) == [0, 1, 2]
