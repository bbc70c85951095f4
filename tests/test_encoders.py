"""What every encoder of histories owes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from learners.encoders import ENCODERS, Encoder
from learners.slot_traits import slot_traits

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


def encoded(
    encoder: Encoder,
    items: Tensor,
    types: Tensor,
    age_s: Tensor,
    now_s: Tensor,
    mask: Tensor,
    context: Tensor,
) -> Tensor:
    traits = slot_traits(types.numpy(), age_s.numpy(), now_s.numpy(), mask.numpy())
    vectors: Tensor = encoder(items, torch.from_numpy(traits), mask, context)
    return vectors


def test_an_empty_history_is_zero(encoder: Encoder) -> None:
    vectors = encoded(encoder, *histories(LENGTHS))
    assert vectors.shape == (S, D)
    assert (vectors[0] == 0.0).all()
    assert (vectors[1:].abs().sum(dim=1) > 0.0).all()


def test_more_empty_slots_change_nothing(encoder: Encoder) -> None:
    torch.testing.assert_close(
        encoded(encoder, *histories(LENGTHS)), encoded(encoder, *histories(LENGTHS, slots=H + 7))
    )


def test_what_stands_in_an_empty_slot_changes_nothing(encoder: Encoder) -> None:
    items, types, age_s, now_s, mask, context = histories(LENGTHS)
    expected = encoded(encoder, items, types, age_s, now_s, mask, context)
    items = torch.where(mask[..., None], items, 9.0)
    types = torch.where(mask, types, TYPES - 1)
    age_s = torch.where(mask, age_s, 1e9)
    context = torch.where(mask[..., None], context, BUCKETS - 1)
    torch.testing.assert_close(encoded(encoder, items, types, age_s, now_s, mask, context), expected)


def test_a_batch_is_its_sequences_one_by_one(encoder: Encoder) -> None:
    inputs = histories(LENGTHS)
    alone = [encoded(encoder, *(column[n : n + 1] for column in inputs)) for n in range(S)]
    torch.testing.assert_close(encoded(encoder, *inputs), torch.cat(alone))


@pytest.mark.parametrize("column", [0, 1, 2, 5], ids=["item", "type", "age", "context"])
@pytest.mark.parametrize("slot", [H - 1, H - 3], ids=["newest", "older"])
def test_every_slot_counts_by_item_type_age_and_context(encoder: Encoder, column: int, slot: int) -> None:
    inputs = histories([5])
    before = encoded(encoder, *inputs)
    changed = [part.clone() for part in inputs]
    if column == 0:
        changed[0][:, slot] += torch.linspace(0.0, 2.0, D)  # a constant would be normalised away
    elif column == 1:
        changed[1][:, slot] = (changed[1][:, slot] + 1) % TYPES
    elif column == 5:
        changed[5][:, slot, 1] = (changed[5][:, slot, 1] + 1) % BUCKETS
    else:
        changed[2][:, slot] = changed[2][:, slot] * 100.0 + 1e4
    assert (encoded(encoder, *changed) - before).abs().max() > 1e-4


def test_order_matters(encoder: Encoder) -> None:
    items, *others = histories([5])
    swapped = items[:, [1, 2, 3, 4, 0]]
    difference = encoded(encoder, swapped, *others) - encoded(encoder, items, *others)
    assert difference.abs().max() > 1e-3


def test_the_time_of_day_and_week_matters(encoder: Encoder) -> None:
    items, types, age_s, now_s, mask, context = histories([5])
    before = encoded(encoder, items, types, age_s, now_s, mask, context)
    for later_s in (3_600.0, 86_400.0):
        assert (
            encoded(encoder, items, types, age_s, now_s + later_s, mask, context) - before
        ).abs().max() > 1e-4
    torch.testing.assert_close(
        encoded(encoder, items, types, age_s, now_s + 7 * 86_400.0, mask, context), before
    )


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_context_that_says_nothing_changes_nothing(name: str) -> None:
    """Neither by what is drawn at the beginning, nor by what is learned, nor by a bit."""

    def made(buckets: int) -> Encoder:
        torch.manual_seed(3)
        return ENCODERS[name](D, TYPES, buckets)

    with torch.random.fork_rng(devices=[]):
        with_context, without = made(BUCKETS), made(0)
    inputs = histories(LENGTHS)
    assert torch.equal(encoded(with_context, *inputs), encoded(without, *inputs)), (
        "a value that was never met says nothing yet"
    )
    (encoded(with_context, *inputs[:-1], torch.zeros_like(inputs[-1])).sum()).backward()
    assert with_context.context is not None
    assert not with_context.context.weight.grad.any(), "and nothing is learned where nothing is said"
    encoded(with_context, *inputs).sum().backward()
    assert with_context.context.weight.grad[1:].any()
    assert not with_context.context.weight.grad[0].any()
    assert "context.weight" not in dict(without.named_parameters())


def test_no_sequences_are_no_vectors(encoder: Encoder) -> None:
    assert encoded(encoder, *(column[:0] for column in histories([1]))).shape == (0, D)
