"""State as named arrays: strings, nesting, growth, and a generator's state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.random_state import generator_array, restore_generator
from learners.state_arrays import grown, nest, pack_strings, unnest, unpack_strings

# Half surrogates too: they come from no decoder, but a checkpoint must not be the place that fails on them.
texts = st.text(st.characters(), max_size=6)


@given(st.lists(texts, max_size=8))
@law(80)
def test_packed_strings_come_back(strings: list[str]) -> None:
    assert unpack_strings(pack_strings(strings)) == strings


def test_packed_strings_are_bytes_and_lengths() -> None:
    packed = pack_strings(["a", "", "é"])
    assert packed["bytes"].tobytes() == "aé".encode()
    assert packed["lengths"].tolist() == [1, 0, 2]


def test_nested_names_come_back_and_similar_prefixes_stay_apart() -> None:
    arrays = nest("a", {"x": np.zeros(1)}) | nest("a.b", {"x": np.ones(1)}) | nest("ab", {"x": np.ones(2)})
    assert set(arrays) == {"a.x", "a.b.x", "ab.x"}
    assert set(unnest("a", arrays)) == {"x", "b.x"}
    assert set(unnest("a.b", arrays)) == {"x"}
    assert len(unnest("ab", arrays)["x"]) == 2


def test_growth_doubles_and_keeps_what_was_there() -> None:
    table = np.arange(40.0).reshape(20, 2)
    assert grown(table, 20) is table
    bigger = grown(table, 21, fill=-1)
    assert bigger.shape == (32, 2)
    assert (bigger[:20] == table).all()
    assert (bigger[20:] == -1).all()
    assert grown(table, 100).shape == (128, 2)
    assert grown(table, 128).shape == (128, 2)
    assert grown(np.zeros(0, np.int64), 1).shape == (16,)


def test_a_restored_generator_draws_what_the_other_would_have_drawn() -> None:
    one, other = np.random.default_rng(1), np.random.default_rng(2)
    one.random(7)
    one.integers(0, 3, dtype=np.int32)  # half a word is left over, and is part of the state
    restore_generator(other, generator_array(one))
    assert (
        one.integers(0, 99, 5, dtype=np.int32).tolist() == other.integers(0, 99, 5, dtype=np.int32).tolist()
    )
    assert one.random() == other.random()


def test_another_kind_of_generator_is_refused() -> None:
    saved = generator_array(np.random.Generator(np.random.PCG64DXSM(1)))
    with pytest.raises(ValueError, match="PCG64"):
        restore_generator(np.random.default_rng(1), saved)
