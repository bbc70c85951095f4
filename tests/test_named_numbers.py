"""Numbers by name are a mapping to Python and an object in JSON."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.named_numbers import numbers_named

NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True), unique=True, max_size=12)


@given(NAMES, st.data())
def test_they_are_what_a_dict_of_them_is(names: list[str], data: st.DataObject) -> None:
    numbers = data.draw(
        st.lists(st.floats(allow_nan=False, width=32), min_size=len(names), max_size=len(names))
    )
    found, expected = numbers_named(tuple(names))(*numbers), dict(zip(names, numbers, strict=True))
    assert isinstance(found, Mapping)
    assert found == expected == dict(found)
    assert (list(found), list(found.values()), len(found)) == (names, numbers, len(names))
    assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == expected
    if all(abs(number) < 1e38 for number in numbers):
        assert msgspec.json.decode(msgspec.json.encode(found)) == expected


def test_what_has_no_such_name_is_no_key() -> None:
    found = numbers_named(("click", "purchase"))(0.5, 0.25)
    assert "click" in found
    assert found.get("number_0") is None
    with pytest.raises(KeyError):
        found["number_0"]


def test_as_many_numbers_as_names() -> None:
    with pytest.raises(TypeError):
        numbers_named(("click", "purchase"))(0.5)
