"""Contexts are hashed: alike in every process, within bounds, and carried over where they mean the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.context_fields import ABSENT_BUCKET, NO_CONTEXT, ContextFields

texts = st.text(st.characters(), max_size=20)
FIELDS = ContextFields(names=("device", "country"), buckets=1_024)


def test_a_value_has_the_same_bucket_for_ever() -> None:
    """Histories and vectors in checkpoints are by these numbers."""
    values = [("device", "mobile"), ("device", "desktop"), ("country", "BR"), ("country", "\ud800")]
    assert [FIELDS.bucket(name, text) for name, text in values] == [653, 470, 722, 526]


@given(texts, texts, st.integers(2, 65_536))
@law(100)
def test_buckets_are_within_their_bounds_and_the_empty_text_has_none(
    name: str, text: str, buckets: int
) -> None:
    fields = ContextFields(names=(name,), buckets=buckets)
    bucket = fields.bucket(name, text)
    assert np.uint16(bucket) == bucket < buckets
    assert (bucket == ABSENT_BUCKET) == (text == "")
    assert fields.bucket(name, text) == bucket == ContextFields(buckets=buckets).bucket(name, text)


def test_values_are_spread_and_the_same_text_differs_between_fields() -> None:
    numbers = [str(n) for n in range(400)]
    device, country = ([FIELDS.bucket(name, text) for text in numbers] for name in FIELDS.names)
    expected = 1_023 * (1 - (1 - 1 / 1_023) ** 400)  # filled by 400 throws
    assert abs(len(set(device)) - expected) < 30
    assert sum(one == other for one, other in zip(device, country, strict=True)) < 5


def test_what_was_saved_is_taken_over_by_name() -> None:
    saved = FIELDS.state_dict()
    context = np.array([[[1, 2], [3, 4]]], np.uint16)
    turned = ContextFields(names=("country", "channel", "device"))
    assert turned.taken_over(context, saved, 1, 2).tolist() == [[[2, 0, 1], [4, 0, 3]]]
    assert FIELDS.taken_over(context, saved, 1, 2).tolist() == context.tolist()
    rebuilt = ContextFields(names=FIELDS.names, buckets=512)
    assert rebuilt.taken_over(context, saved, 1, 2).tolist() == [[[0, 0], [0, 0]]]
    assert FIELDS.taken_over(None, {}, 1, 2).tolist() == [[[0, 0], [0, 0]]], "before there were fields"
    assert FIELDS.taken_over(None, NO_CONTEXT.state_dict(), 1).tolist() == [[0, 0]]


def test_who_made_a_context_is_known() -> None:
    saved = FIELDS.state_dict()
    assert FIELDS.made(saved)
    assert not ContextFields(names=("country", "device")).made(saved)
    assert not ContextFields(names=FIELDS.names, buckets=512).made(saved)
    assert not NO_CONTEXT.made(saved)
    assert not FIELDS.made({})
    assert NO_CONTEXT.made({})
    assert ContextFields(buckets=7).made(NO_CONTEXT.state_dict()), "of no fields, buckets mean nothing"
