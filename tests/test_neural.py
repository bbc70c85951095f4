"""The neural model: exact where it is exact, balanced where the tasks meet, and unmoved by what is no number."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from batches import TASKS, choices, histories, shop
from models import neural

from learners.embedding_table import EmbeddingTable
from learners.encoders import ENCODERS
from learners.event_batch import EventBatch, FloatArray, IntArray
from learners.features import PAIR_FEATURES
from learners.neural import NeuralLesson, NeuralModel
from learners.task_losses import cross_entropy, squared

K = len(TASKS)


class SpyWeighting:
    """Writes down the Gram matrix and answers with given coefficients."""

    def __init__(self, coefficients: list[float]) -> None:
        self.weights = np.array(coefficients)
        self.grams: list[np.ndarray] = []

    def weigh(self, gram: np.ndarray, losses: np.ndarray, present: np.ndarray) -> np.ndarray:
        self.grams.append(gram)
        return self.weights


def labelled_batch(seed: int = 0, rows: int = 12) -> tuple[EventBatch, IntArray, FloatArray]:
    """Rows with some labels of each task, and their counts."""
    rng = np.random.default_rng(seed)
    batch = choices(rng.integers(0, 10, (rows, 4)).tolist(), rng.integers(0, 10, rows))
    batch.labels[:] = rng.random((rows, K)).astype(np.float32)
    batch.labels[:, :2] = batch.labels[:, :2].round()
    batch.label_mask[:] = rng.random((rows, K)) < 0.5
    batch.label_mask[:3, :] = True
    batch.position[:] = rng.integers(-1, 5, rows)
    labelled = np.flatnonzero(batch.label_mask.any(axis=1))
    return batch, labelled, rng.normal(size=(len(labelled), PAIR_FEATURES)).astype(np.float32)


NO_ROWS: IntArray = np.zeros(0, np.int64)
NO_FEATURES: FloatArray = np.zeros((0, PAIR_FEATURES), np.float32)


def stirred(weighting: str = "equal", **differing: Any) -> NeuralModel:
    """A model whose heads have left their beginning, where some parameters are zero."""
    model = neural(weighting=weighting, **differing)
    model.ensure(16)
    generator = torch.Generator().manual_seed(7)
    for parameter in model.multitask.heads.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    return model


# --- predicting


def test_the_nearest_are_those_with_the_largest_products() -> None:
    model = neural()
    model.ensure(40)
    users = model.user_vectors(histories([[1, 2], [3], [4, 5, 6]]))
    known = np.array([3, 5, 8, 13, 21, 34])
    products = users.numpy() @ model._outputs.weight.numpy()[known].T
    found = model.nearest(users, known, 3)
    for n in range(3):
        assert set(found[n].tolist()) == set(known[np.argsort(-products[n])[:3]].tolist())
    assert model.nearest(users, known, 99).shape == (3, 6)
    assert model.nearest(users, known[:0], 3).shape == (3, 0)
    assert model.nearest(users, known, 0).shape == (3, 0)


def test_the_nearest_of_nobody_are_not_sought(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of impressions alone has nobody to rank for, and to take all items' vectors would be most of it."""
    model = neural()
    model.ensure(40)
    users = model.user_vectors(histories([[1, 2]]))
    monkeypatch.setattr(EmbeddingTable, "take", None)
    assert len(model.nearest(users[:0], np.arange(40), 3)) == 0


def test_scores_are_inner_products() -> None:
    model = neural()
    model.ensure(16)
    users = model.user_vectors(histories([[1, 2], [3]]))
    rows = np.array([[4, 5, 6], [7, -1, 8]])
    found = model.scores(users, rows)
    items = model._outputs.weight.numpy()
    assert found == pytest.approx(
        np.einsum("sd,scd->sc", users.numpy(), items[np.maximum(rows, 0)]), abs=1e-6
    )


def test_only_the_newest_slots_are_encoded() -> None:
    model = neural(encoder_length=2)
    model.ensure(16)
    long, short = model.user_vectors(histories([[9, 9, 1, 2], [1, 2]]))
    torch.testing.assert_close(long, short)


# --- balancing


def explicit_gradients(
    model: NeuralModel, batch: EventBatch, labelled: IntArray, features: FloatArray
) -> torch.Tensor:
    """(K, E W I): each task's gradient at a linear map from the heads' input to the experts' outputs, by autograd."""
    heads: Any = model.multitask.heads
    mmoe = heads.experts
    with torch.no_grad():
        users, _, _ = model._encode(batch.histories)
        items = model._outputs.weight[torch.from_numpy(batch.item_rows[labelled])]
        own = users[torch.from_numpy(batch.sequence[labelled])]
        inputs = torch.cat([own, items, own * items, torch.from_numpy(features)], dim=1)
        outputs = torch.nn.functional.silu(mmoe.trunk(inputs)).view(-1, mmoe.experts, mmoe.width)
        experts = mmoe.norm(outputs)  # (B, E, W)
        gates = heads.mix(inputs).gates
        start = heads.shortcut(inputs) + model.multitask._offset()
    gradients = []
    labels, known = torch.from_numpy(batch.labels[labelled]), torch.from_numpy(batch.label_mask[labelled])
    for task in range(K):
        linear = torch.zeros(mmoe.experts * mmoe.width, inputs.shape[1], requires_grad=True)
        moved = experts + (inputs @ linear.T).view_as(experts)
        logits = heads.towers(gates @ moved, torch.from_numpy(batch.position[labelled]), start)
        loss = (cross_entropy if TASKS[task].kind == "binary" else squared)(logits[:, task], labels[:, task])
        gradients.append(torch.autograd.grad(loss[known[:, task]].sum(), linear)[0].flatten())
    return torch.stack(gradients)


@pytest.mark.parametrize("seed", range(3))
def test_the_gram_matrix_is_that_of_the_explicit_gradients(seed: int) -> None:
    model = stirred()
    batch, labelled, features = labelled_batch(seed)
    gradients = explicit_gradients(model, batch, labelled, features)
    spy = SpyWeighting([1.0] * K)
    model.multitask.weighting = spy  # type: ignore[assignment]
    model.learn_many(batch, NO_ROWS, labelled, features)
    expected = (gradients @ gradients.T).numpy()
    assert spy.grams[0] == pytest.approx(expected, rel=1e-3, abs=1e-5 * float(np.abs(expected).max()))


def test_the_coefficients_weigh_what_reaches_the_experts() -> None:
    """The trunk's gradient is the weighted sum over tasks; each tower learns its own task at full weight."""
    batch, labelled, features = labelled_batch()

    def gradients(coefficients: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
        model = stirred()
        model.multitask.weighting = SpyWeighting(coefficients)  # type: ignore[assignment]
        model.learn_many(batch, NO_ROWS, labelled, features)
        heads: Any = model.multitask.heads
        return heads.experts.trunk.weight.grad, heads.towers.hidden.grad

    single = [gradients([float(n == k) for n in range(K)])[0] for k in range(K)]
    trunk, towers = gradients([2.0, 0.0, -0.5])
    torch.testing.assert_close(trunk, 2.0 * single[0] - 0.5 * single[2], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(towers, gradients([1.0, 1.0, 1.0])[1])
    assert all(float(one.abs().max()) > 0.0 for one in single)


def test_what_a_row_teaches_does_not_depend_on_its_company() -> None:
    """Item vectors follow the sum over rows: the row of another item changes nothing for this one."""
    alone, with_another = neural(), neural()
    one = choices([[1]], [2])
    two = choices([[1], [3]], [2, 4])
    for model, batch in ((alone, one), (with_another, two)):
        model.ensure(16)
        batch.label_mask[:, 0] = True
        batch.labels[:, 0] = 1.0
        rows = np.arange(len(batch))
        heads: Any = model.multitask.heads
        torch.nn.init.constant_(heads.towers.out, 0.3)
        model.learn_many(batch, NO_ROWS, rows, np.zeros((len(rows), PAIR_FEATURES), np.float32))
    fresh = neural()
    fresh.ensure(16)
    moved = alone._outputs.weight[2] - fresh._outputs.weight[2]
    assert moved.abs().max() > 1e-3
    torch.testing.assert_close(moved, with_another._outputs.weight[2] - fresh._outputs.weight[2])


# --- learning


def test_labels_that_are_not_known_change_nothing() -> None:
    batch, labelled, features = labelled_batch()
    one, other = stirred("balanced"), stirred("balanced")
    first = one.learn_many(batch, NO_ROWS, labelled, features)
    pretended = copy.deepcopy(batch)
    pretended.labels[~pretended.label_mask] = 1.0
    second = other.learn_many(pretended, NO_ROWS, labelled, features)
    assert (first.task_losses == second.task_losses).all()
    for name, array in one.state_dict().items():
        assert (array == other.state_dict()[name]).all(), name


def test_a_task_without_labels_reports_none_and_moves_nothing() -> None:
    model = stirred()
    batch, labelled, features = labelled_batch()
    batch.label_mask[:, 1] = False
    towers = model.multitask.heads.towers
    before = towers.hidden.detach().clone()
    lesson = model.learn_many(batch, NO_ROWS, labelled, features)
    assert np.isnan(lesson.task_losses).tolist() == [False, True, False]
    assert torch.equal(towers.hidden[1], before[1])
    assert not torch.equal(towers.hidden[0], before[0])


def chain(items: int, rng: np.random.Generator) -> list[list[int]]:
    """Walks in a ring: after n comes n + 1."""
    starts = rng.integers(0, items, 32)
    return [[int(start + back) % items for back in range(4)] for start in starts]


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_it_learns_what_follows_what(encoder: str) -> None:
    model, rng, items = neural(encoder=encoder), np.random.default_rng(0), 20
    model.ensure(items)
    hits: list[float] = []
    for _ in range(60):
        walks = chain(items, rng)
        batch = choices([walk[:-1] for walk in walks], [walk[-1] for walk in walks])
        users = model.user_vectors(batch.histories)
        found = model.nearest(users, np.arange(items), 1)[:, 0]
        hits.append(float((found == batch.item_rows).mean()))
        model.learn_many(batch, np.arange(32), NO_ROWS, NO_FEATURES)
    assert np.mean(hits[:3]) < 0.3
    assert np.mean(hits[-5:]) > 0.9


DEVICES = 4


def by_device(rng: np.random.Generator, told: bool) -> EventBatch:
    """Choices that follow from the device of the event before and from nothing else: device d, item d."""
    walks = rng.integers(0, DEVICES, (32, 4))
    batch = choices(walks[:, :-1].tolist(), walks[:, -1])
    context = np.zeros((*batch.histories.item_rows.shape, 1), np.uint16)
    if told:
        context[:, :, 0] = rng.integers(1, DEVICES + 1, context.shape[:2])
        context[:, -1, 0] = walks[:, -1] + 1
    return replace(batch, histories=replace(batch.histories, context=context))


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
def test_it_learns_what_follows_a_context_and_without_it_guesses(encoder: str, told: bool) -> None:
    model, rng = neural(encoder=encoder, context_buckets=DEVICES + 1), np.random.default_rng(0)
    model.ensure(DEVICES)
    hits: list[float] = []
    for _ in range(70):
        batch = by_device(rng, told)
        found = model.nearest(model.user_vectors(batch.histories), np.arange(DEVICES), 1)[:, 0]
        hits.append(float((found == batch.item_rows).mean()))
        model.learn_many(batch, np.arange(32), NO_ROWS, NO_FEATURES)
    assert np.mean(hits[:5]) < 0.4
    if told:
        assert np.mean(hits[-10:]) > 0.95
    else:
        assert np.mean(hits[-40:]) == pytest.approx(1.0 / DEVICES, abs=0.04)


# --- what is no number


def poisoned(part: str) -> tuple[NeuralLesson, NeuralModel, dict[str, np.ndarray]]:
    """A lesson in which something is no number; the model after it and its state before."""
    model = stirred("balanced")
    batch, labelled, features = labelled_batch()
    everything = np.arange(len(batch))
    model.learn_many(batch, everything, NO_ROWS, NO_FEATURES)  # so that there are negatives
    if part == "gradient":
        next(model.multitask.heads.parameters()).register_hook(lambda gradient: gradient * torch.nan)
    elif part == "retrieval":
        model._outputs.weight[9] = torch.nan
        batch.item_rows[labelled] = 1
        batch.item_rows[everything[-1]] = 9
        batch.label_mask[-1] = False
        labelled, features = labelled[:5], features[:5]
    elif part == "balance":
        # losses that are numbers, of gradients whose products are none
        model.multitask.heads.towers.out.data *= 1e21
    else:
        features[0, 0] = np.nan
    before = model.state_dict()
    return model.learn_many(batch, everything, labelled, features), model, before


def changed(model: NeuralModel, before: dict[str, np.ndarray], prefix: str) -> bool:
    after = model.state_dict()
    return any(
        not np.array_equal(after[name], before[name], equal_nan=True)
        for name in after
        if name.startswith(prefix)
    )


def test_gradients_that_cannot_be_balanced_are_left_out_and_not_remembered() -> None:
    lesson, model, before = poisoned("balance")
    assert lesson.skipped == ("tasks",)
    assert not changed(model, before, "tasks.heads")
    assert changed(model, before, "network.parameter.encoder"), "the choices were learned all the same"
    assert np.isfinite(model.multitask.weighting.weights).all()
    assert np.isfinite(model.state_dict()["tasks.weighting.norms"]).all()


@pytest.mark.parametrize("part", ["retrieval", "tasks"])
def test_a_loss_that_is_no_number_is_left_out_and_the_other_goes_on(part: str) -> None:
    lesson, model, before = poisoned(part)
    assert lesson.skipped == (part,)
    assert np.isnan(lesson.retrieval_loss) == (part == "retrieval")
    assert np.isnan(lesson.task_losses).all() == (part == "tasks")
    assert changed(model, before, "tasks.heads") == (part == "retrieval")
    state = model.state_dict()
    assert all(
        np.isfinite(array).all() for name, array in state.items() if name.startswith(("network", "tasks"))
    )


def test_a_gradient_that_is_no_number_moves_nothing_and_is_told() -> None:
    lesson, model, before = poisoned("gradient")
    assert lesson.skipped
    assert set(lesson.skipped) <= {"retrieval", "tasks"}
    for prefix in ("network", "tasks.heads", "inputs", "outputs"):
        assert not changed(model, before, prefix), prefix


# --- state


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_a_restored_model_goes_on_alike(encoder: str) -> None:
    one, other = (
        neural(encoder=encoder, weighting="balanced"),
        neural(encoder=encoder, weighting="balanced", seed=9),
    )
    for model in (one, other):
        model.ensure(16)
    batch, labelled, features = labelled_batch()
    everything = np.arange(len(batch))
    for _ in range(2):
        one.learn_many(batch, everything, labelled, features)
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    for model in (one, other):
        model.ensure(40)  # new vectors are drawn
        model.learn_many(batch, everything, labelled, features)  # and negatives
        model.forget(np.array([3]))
    for name, array in one.state_dict().items():
        assert (array == other.state_dict()[name]).all(), name


def test_vectors_of_contexts_begin_anew_where_the_buckets_are_others_and_all_else_stays() -> None:
    rng, saved = np.random.default_rng(0), neural(context_buckets=DEVICES + 1)
    saved.ensure(DEVICES)
    for _ in range(3):
        saved.learn_many(by_device(rng, True), np.arange(32), NO_ROWS, NO_FEATURES)
    arrays, name = saved.state_dict(), "network.parameter.encoder.context.weight"
    assert arrays[name].any()
    for buckets in (DEVICES + 1, 50, 0):
        model = neural(context_buckets=buckets)
        model.load_state_dict(arrays)
        found = model.state_dict()
        assert all((found[other] == arrays[other]).all() for other in found if "encoder.context" not in other)
        if buckets == DEVICES + 1:
            assert (found[name] == arrays[name]).all()
        else:
            assert not found.get(name, np.zeros(1)).any()
        model.learn_many(by_device(rng, True), np.arange(32), NO_ROWS, NO_FEATURES)
    begun = neural(context_buckets=50)
    begun.load_state_dict(model.state_dict())  # saved when none was declared
    assert not begun.state_dict()[name].any()


@pytest.mark.parametrize("differing", [{"dimension": 16}, {"encoder": "gru"}])
def test_other_settings_are_refused(differing: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"saved|parameter"):
        neural(**differing).load_state_dict(neural().state_dict())


def test_the_shop_is_learned_without_a_skip() -> None:
    model = neural(weighting="balanced")
    model.ensure(40)
    for batch, _ in shop():
        labelled = np.flatnonzero(batch.label_mask.any(axis=1))
        lesson = model.learn_many(
            batch,
            np.flatnonzero(batch.target),
            labelled,
            np.zeros((len(labelled), PAIR_FEATURES), np.float32),
        )
        assert lesson.skipped == ()
