"""Copies of a table's latest rows are what the table has, whatever was written in between."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.embedding_table import EmbeddingTable
from learners.recent_vectors import RecentVectors

STEPS = st.lists(
    st.tuples(st.sampled_from(["learn", "forget", "list", "shrink", "load"]), st.integers(0, 59)), max_size=30
)


def table_of(rows: int) -> EmbeddingTable:
    table = EmbeddingTable(4, scale=1.0, generator=torch.Generator().manual_seed(0))
    table.ensure(rows)
    return table


@given(STEPS, st.integers(1, 20))
@law(120)
def test_they_are_the_tables_own(steps: list[tuple[str, int]], most: int) -> None:
    table = table_of(8)
    recent, listed = RecentVectors(table, most), np.zeros(0, np.int64)
    for what, row in steps:
        table.ensure(row + 1)
        if what == "learn":
            table.learn_many(torch.tensor([row, 0]), torch.ones(2, 4), 0.1)
        elif what == "forget":
            table.forget(np.array([row]))
            listed = listed[listed != row]
        elif what == "list":
            listed = np.append(listed[listed != row], row)
        elif what == "shrink":
            listed = listed[: row // 2]
        else:
            table.load_state_dict(
                {name: array + 1.0 for name, array in table.state_dict().items() if array.ndim}
            )
        rows, vectors = recent.take(listed)
        assert sorted(rows.tolist()) == sorted(listed[-most:].tolist())
        assert torch.equal(vectors, table.weight[torch.from_numpy(rows)])


def test_where_a_row_stands_depends_on_the_list_alone() -> None:
    table = table_of(40)
    first = RecentVectors(table, 7)
    for n in range(1, 33):
        rows = first.take(np.arange(n))[0]
    again = RecentVectors(table, 7)
    assert (again.take(np.arange(32))[0] == rows).all()


def test_only_what_is_new_or_was_written_is_copied() -> None:
    table = table_of(60)
    recent, copied = RecentVectors(table, 50), []
    take = table.take
    table.take = lambda rows: copied.append(rows.tolist()) or take(rows)  # type: ignore[method-assign, func-returns-value]
    recent.take(np.arange(50))
    recent.take(np.arange(50))
    table.learn_many(torch.tensor([55, 3]), torch.ones(2, 4), 0.1)
    recent.take(np.arange(50))
    recent.take(np.arange(51))
    assert copied == [list(range(50)), [3], [50]]
