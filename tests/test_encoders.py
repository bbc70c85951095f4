"""What every encoder of histories owes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import torch
from torch import Tensor

from learners.encoders import ENCODERS, Encoder, age_bucket, hour_and_weekday, session_place

S, H, D, TYPES, F, BUCKETS = 6, 5, 8, 4, 2, 9
Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
NOW_S = 1_700_000_000.0


@pytest.fixture(params=sorted(ENCODERS))
def encoder(request: pytest.FixtureRequest) -> Encoder:
    """Biases drawn as well: they begin at zero, and do not stay there."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = ENCODERS[request.param](D, TYPES, BUCKETS)
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        assert made.context is not None
        made.context.weight.data[0] = 0.0  # of nothing, which never learns
    return made.eval()


def histories(lengths: list[int], slots: int = H) -> Inputs:
    """Items, types, ages, moments, mask and contexts; the filled slots stand at the right end."""
    rng = torch.Generator().manual_seed(1)
    shape = (len(lengths), H)
    items = torch.randn(*shape, D, generator=rng)
    types = torch.randint(0, TYPES, shape, generator=rng)
    age_s = torch.rand(shape, generator=rng) * 1e5
    context = torch.randint(0, BUCKETS, (*shape, F), generator=rng)
    mask = torch.arange(H) >= H - torch.tensor(lengths)[:, None]
    # Whatever stands in an empty slot: the vector of row 0 for one.
    wider = slots - H
    return (
        torch.cat([torch.ones(len(lengths), wider, D), items], dim=1),
        torch.cat([torch.ones(len(lengths), wider, dtype=torch.long), types], dim=1),
        torch.cat([torch.zeros(len(lengths), wider), age_s], dim=1),
        NOW_S + torch.arange(len(lengths), dtype=torch.float64),
        torch.cat([torch.zeros(len(lengths), wider, dtype=torch.bool), mask], dim=1),
        torch.cat([torch.ones(len(lengths), wider, F, dtype=torch.long), context], dim=1),
    )


LENGTHS = [0, 1, 2, 3, 4, 5]


def test_an_empty_history_is_zero(encoder: Encoder) -> None:
    vectors = encoder(*histories(LENGTHS))
    assert vectors.shape == (S, D)
    assert (vectors[0] == 0.0).all()
    assert (vectors[1:].abs().sum(dim=1) > 0.0).all()


def test_more_empty_slots_change_nothing(encoder: Encoder) -> None:
    torch.testing.assert_close(encoder(*histories(LENGTHS)), encoder(*histories(LENGTHS, slots=H + 7)))


def test_what_stands_in_an_empty_slot_changes_nothing(encoder: Encoder) -> None:
    items, types, age_s, now_s, mask, context = histories(LENGTHS)
    expected = encoder(items, types, age_s, now_s, mask, context)
    items = torch.where(mask[..., None], items, 9.0)
    types = torch.where(mask, types, TYPES - 1)
    age_s = torch.where(mask, age_s, 1e9)
    context = torch.where(mask[..., None], context, BUCKETS - 1)
    torch.testing.assert_close(encoder(items, types, age_s, now_s, mask, context), expected)


def test_a_batch_is_its_sequences_one_by_one(encoder: Encoder) -> None:
    inputs = histories(LENGTHS)
    alone = [encoder(*(column[n : n + 1] for column in inputs)) for n in range(S)]
    torch.testing.assert_close(encoder(*inputs), torch.cat(alone))


@pytest.mark.parametrize("column", [0, 1, 2, 5], ids=["item", "type", "age", "context"])
@pytest.mark.parametrize("slot", [H - 1, H - 3], ids=["newest", "older"])
def test_every_slot_counts_by_item_type_age_and_context(encoder: Encoder, column: int, slot: int) -> None:
    inputs = histories([5])
    before = encoder(*inputs)
    changed = [part.clone() for part in inputs]
    if column == 0:
        changed[0][:, slot] += torch.linspace(0.0, 2.0, D)  # a constant would be normalised away
    elif column == 1:
        changed[1][:, slot] = (changed[1][:, slot] + 1) % TYPES
    elif column == 5:
        changed[5][:, slot, 1] = (changed[5][:, slot, 1] + 1) % BUCKETS
    else:
        changed[2][:, slot] = changed[2][:, slot] * 100.0 + 1e4
    assert (encoder(*changed) - before).abs().max() > 1e-4


def test_order_matters(encoder: Encoder) -> None:
    items, types, age_s, now_s, mask, context = histories([5])
    swapped = items[:, [1, 2, 3, 4, 0]]
    difference = encoder(swapped, types, age_s, now_s, mask, context) - encoder(
        items, types, age_s, now_s, mask, context
    )
    assert difference.abs().max() > 1e-3


def test_the_time_of_day_and_week_matters(encoder: Encoder) -> None:
    items, types, age_s, now_s, mask, context = histories([5])
    before = encoder(items, types, age_s, now_s, mask, context)
    for later_s in (3_600.0, 86_400.0):
        assert (encoder(items, types, age_s, now_s + later_s, mask, context) - before).abs().max() > 1e-4
    torch.testing.assert_close(encoder(items, types, age_s, now_s + 7 * 86_400.0, mask, context), before)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_context_that_says_nothing_changes_nothing(name: str) -> None:
    """Neither by what is drawn at the beginning, nor by what is learned, nor by a bit."""

    def made(buckets: int) -> Encoder:
        torch.manual_seed(3)
        return ENCODERS[name](D, TYPES, buckets)

    with torch.random.fork_rng(devices=[]):
        with_context, without = made(BUCKETS), made(0)
    inputs = histories(LENGTHS)
    assert torch.equal(with_context(*inputs), without(*inputs)), "a value that was never met says nothing yet"
    (with_context(*inputs[:-1], torch.zeros_like(inputs[-1])).sum()).backward()
    assert with_context.context is not None
    assert not with_context.context.weight.grad.any(), "and nothing is learned where nothing is said"
    with_context(*inputs).sum().backward()
    assert with_context.context.weight.grad[1:].any()
    assert not with_context.context.weight.grad[0].any()
    assert "context.weight" not in dict(without.named_parameters())


def test_no_sequences_are_no_vectors(encoder: Encoder) -> None:
    assert encoder(*(column[:0] for column in histories([1]))).shape == (0, D)


def test_ages_are_on_a_logarithmic_scale() -> None:
    ages = torch.tensor([[-5.0, 0.0, 29.0, 30.0, 90.0, 3_600.0, 1e12, 1e30]])
    assert age_bucket(ages).tolist() == [[0, 0, 0, 1, 2, 6, 31, 31]]


def test_hours_and_weekdays_are_those_of_the_calendar() -> None:
    moments = ["1970-01-01T00:00", "2024-02-29T23:59", "2026-11-22T12:00", "2026-11-23T00:00"]
    times = [datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in moments]
    hour, weekday = hour_and_weekday(torch.tensor([time.timestamp() for time in times], dtype=torch.float64))
    assert hour.tolist() == [time.hour for time in times]
    assert weekday.tolist() == [time.weekday() for time in times]


def test_places_in_a_session_begin_anew_after_half_an_hour() -> None:
    age_s = torch.tensor([[0.0, 9_000.0, 8_000.0, 2_000.0, 1_000.0, 10.0]])
    mask = torch.tensor([[False, True, True, True, True, True]])
    assert session_place(age_s, mask).tolist() == [[0, 0, 1, 0, 1, 2]]
    long = torch.arange(40, 0, -1, dtype=torch.float32)[None]
    assert session_place(long, torch.ones(1, 40, dtype=torch.bool))[0, -1] == 15
