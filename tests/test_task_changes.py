"""A checkpoint of other tasks: what is known stays known, task by task. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batches import shop
from builders import NOW_MS, event, numbered, records
from checkpointed import Shop, built, deltas_are_right, different, restored, write
from hypothesis import given
from hypothesis import strategies as st
from laws import law
from models import learner, taught

from learners.label_rates import rates_width
from learners.online_learner import OnlineLearner
from learners.task import Task, funnel
from stream.checkpoints.store import CheckpointStore
from stream.processor import Processor

TASKS = (
    Task(name="click", window_s=60.0),
    Task(name="purchase", window_s=300.0, after="click"),
    Task(name="rating", kind="regression", value=0.5, window_s=300.0),
)
NEW = (Task(name="like"), Task(name="stars", kind="regression"), Task(name="share", after="click"))
HEADS = ("mmoe", "cgc", "shared_bottom", "single_task")
CHAINS = ("product", "gate", "both")


def in_order(tasks: Sequence[Task]) -> bool:
    try:
        funnel(tasks)
    except ValueError:
        return False
    return True


def sets(tasks: Sequence[Task]) -> st.SearchStrategy[list[Task]]:
    return st.permutations(tasks).filter(in_order)


@cache
def trained(heads: str, chain: str) -> OnlineLearner:
    model = learner(TASKS, heads=heads, chain=chain)
    taught(model, shop())
    return model


def forecasts(model: OnlineLearner) -> dict[str, Any]:
    """By task the logits and what they mean, for the shop's users and items."""
    moments = shop()[-1][1]
    S, I = len(moments), 12  # noqa: E741
    said = model.describe(moments, np.repeat(np.arange(S), I), np.tile(np.arange(I), S), np.arange(S * I) % 5)
    K = len(model.tasks)
    return {task.name: np.stack([said[:, n - 2 * K], said[:, n - K]]) for n, task in enumerate(model.tasks)}


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("chain", CHAINS)
@given(tasks=st.lists(st.sampled_from(NEW), unique=True).flatmap(lambda new: sets([*TASKS, *new])))
@law(8)
def test_what_is_foreseen_of_a_task_is_the_same_in_any_order_and_beside_new_ones(
    heads: str, chain: str, tasks: list[Task]
) -> None:
    """To the last digits: the same numbers are added up in another order."""
    model = trained(heads, chain)
    other = learner(tasks, heads=heads, chain=chain, seed=5)
    other.load_state_dict(model.state_dict())
    before, after = forecasts(model), forecasts(other)
    assert np.std(before["click"][0]) > 0.01, "there is something to lose"
    for task in TASKS:
        np.testing.assert_allclose(after[task.name], before[task.name], atol=2e-4, err_msg=task.name)


def test_nobody_reads_what_is_counted_of_a_new_task_before_it_has_learned_to() -> None:
    other = learner([NEW[0], *TASKS])
    other.load_state_dict(trained("mmoe", "product").state_dict())
    arrays = other.state_dict()
    first = arrays["neural.tasks.heads.parameter.experts.trunk.weight"].shape[1] - rates_width(4)
    own = [first, first + 4]  # lifts of the user and of the item
    for moment in ("parameter", "exp_avg", "exp_avg_sq"):
        trunk, gate = (
            arrays[f"neural.tasks.heads.{moment}.experts.{name}.weight"] for name in ("trunk", "gate")
        )
        assert not trunk[:, own].any()
        assert trunk[:, first + 1].any()
        assert not gate[4:, own].any(), "of the others"
        assert gate[:4].any() == (moment == "parameter"), "the new task's is as it was drawn"


@pytest.mark.parametrize("heads", HEADS)
def test_there_and_back_nothing_is_lost(heads: str) -> None:
    model = trained(heads, "gate")
    other = learner([NEW[0], TASKS[2], TASKS[0], NEW[2], TASKS[1]], heads=heads, chain="gate")
    other.load_state_dict(model.state_dict())
    back = learner(TASKS, heads=heads, chain="gate", seed=3)
    back.load_state_dict(other.state_dict())
    assert different({"learner": back.state_dict()}, {"learner": model.state_dict()}) == []


def test_a_task_that_is_given_up_takes_nothing_of_the_others_with_it() -> None:
    model = trained("mmoe", "product")
    other = learner(TASKS[:2])
    other.load_state_dict(model.state_dict())
    before, after = model.state_dict(), other.state_dict()
    for name in ("neural.tasks.calibration.scale", "neural.tasks.rates.known", "positives", "negatives"):
        assert after[name].tolist() == before[name][:2].tolist()
    for name in ("neural.inputs.weight", "neural.network.parameter.encoder.query.weight", "ranker.version"):
        if name in before:
            assert after[name].tobytes() == before[name].tobytes()
    assert after["pairs.users.counts"].tolist() == before["pairs.users.counts"][:, :, :2].tolist()
    said = forecasts(other)
    assert set(said) == {"click", "purchase"}
    np.testing.assert_allclose(said["click"][1], forecasts(model)["click"][1], atol=0.1)


def test_who_comes_after_a_task_that_begins_keeps_what_it_knows_given_that_task() -> None:
    """By products its probability is that of the former times its own; the former begins, its own stays."""
    steps = (Task(name="seen"), Task(name="click", after="seen"), Task(name="purchase", after="click"))
    loose = (Task(name="seen"), Task(name="click"), Task(name="purchase", after="click"))
    model = learner(steps, calibrated=False)
    taught(model, shop())
    other = learner(loose, calibrated=False)
    other.load_state_dict(model.state_dict())
    before, after = forecasts(model), forecasts(other)
    np.testing.assert_allclose(after["seen"], before["seen"], atol=0.1)  # lifts over all tasks lack one's
    assert np.abs(after["click"][1] - before["click"][1]).mean() > 0.05, "it means something else now"
    shares = [said["purchase"][1] / said["click"][1] for said in (before, after)]
    # The base rates that towers start from are shares of the former's rate, which begins anew too.
    logits = [np.log(share / (1.0 - share)) for share in shares]
    assert np.std(logits[1] - logits[0]) < 0.2 * np.std(logits[0])


def test_a_state_that_was_saved_before_kinds_were_named_is_taken_as_it_is() -> None:
    model = trained("mmoe", "product")
    former = {name: array for name, array in model.state_dict().items() if not name.startswith("meanings.")}
    other = learner(TASKS, seed=4)
    other.load_state_dict(former)
    assert different({"learner": other.state_dict()}, {"learner": model.state_dict()}) == []


# --- the blend


def with_answers(model: OnlineLearner) -> OnlineLearner:
    """What its blend would have learned from places."""
    rng = np.random.default_rng(0)
    blend, K = model._blend, len(model.tasks)
    inputs = rng.normal(size=(600, blend._inputs)).astype(np.float32)
    foreseen = rng.uniform(0.05, 0.6, size=(600, K)).astype(np.float32)
    labels = (rng.random((600, K)) < foreseen).astype(np.float32)
    mask = np.ones((600, K), np.bool_)
    blend.learn_many(inputs, foreseen, rng.integers(0, 5, 600), labels, mask, ~mask, np.full(K, 100.0))
    return model


def test_the_blend_keeps_its_weights_by_name_and_falls_back_where_the_leading_task_is_gone() -> None:
    model = with_answers(learner(TASKS))
    assert model._blend.trust > 0.3
    assert 0 < model._blend._waiting < 256
    leading = int(model._blend._prior.argmax()) - model._blend._inputs
    other = learner([TASKS[0], NEW[0], TASKS[1], TASKS[2]])
    other.load_state_dict(model.state_dict())
    assert other._blend.trust == model._blend.trust
    assert other._blend._waiting == model._blend._waiting
    own = [other._blend.weights[other._blend._inputs :][n] for n in (0, 2, 3)]
    assert own == model._blend.weights[model._blend._inputs :].tolist()
    without = learner([Task(name=t.name, kind=t.kind) for n, t in enumerate(TASKS) if n != leading])
    without.load_state_dict(model.state_dict())
    assert without._blend.trust == 0.0, "the formula serves"
    assert without._blend._waiting < model._blend._waiting
    with_answers(without)
    assert without._blend.trust > 0.3
    assert without._blend._prior.max() == 1.0


# --- all of it

BEFORE: list[dict[str, Any]] = [
    {"name": "view", "window_s": 60, "event_types": ["view"]},
    {"name": "purchase", "window_s": 600, "event_types": ["purchase"], "after": "view"},
    {"name": "rating", "kind": "regression", "window_s": 600, "event_types": ["rating"], "scale": 5},
]
LIKE = {"name": "like", "window_s": 60, "event_types": ["like"], "late_s": 0}


@pytest.mark.parametrize(
    "tasks",
    [
        [*BEFORE, LIKE],
        [LIKE, *BEFORE],
        BEFORE[:2],
        [BEFORE[2], BEFORE[0], BEFORE[1]],
        [LIKE, BEFORE[2], BEFORE[0]],
        [BEFORE[0], BEFORE[1], {**BEFORE[2], "kind": "binary"}],
    ],
)
def test_through_a_store_with_deltas_before_and_after(tmp_path: Path, tasks: list[dict[str, Any]]) -> None:
    shop, processor = Shop(9), built(tasks=BEFORE)
    store = CheckpointStore(tmp_path, longest_chain=5)
    for _ in range(4):
        for _ in range(6):
            shop.step(processor)
        write(processor, store)
    assert store.chain_length == 3
    other = restored(store, tasks=tasks)
    assert other.states.pending == processor.states.pending > 0
    users = [name for name in processor.state_dicts()["users"] if not name.startswith("pending.")]
    for name in users:
        assert (
            different(
                {"users": {name: other.state_dicts()["users"][name]}},
                {"users": {name: processor.state_dicts()["users"][name]}},
            )
            == []
        )
    deltas_are_right(tmp_path, store, shop, other)
    again = restored(CheckpointStore(tmp_path), tasks=tasks)
    assert different(again.state_dicts(), other.state_dicts()) == []
    assert store.merge() is not None
    merged = CheckpointStore(tmp_path).latest()
    assert merged is not None
    assert merged.deltas == ()
    assert different(merged.pieces, other.state_dicts()) == []


def labels(processor: Processor) -> dict[str, list[int]]:
    tasks = processor.pipeline.learner.tasks
    return {
        task.name: counts
        for task, counts in zip(tasks, processor.pipeline.ledger.labels.tolist(), strict=True)
    }


def shown(count: int, first: int, start_s: int) -> list[Any]:
    """Impressions of items to users, ten a second."""
    return [
        event(
            f"user {n % 10}",
            f"item {n % 8}",
            "impression",
            event_id=f"i{first + n}",
            occurred_at_ms=NOW_MS + 1_000 * start_s + 100 * n,
            position=n % 4,
        )
        for n in range(count)
    ]


def test_impressions_from_before_a_task_say_nothing_of_it(tmp_path: Path) -> None:
    processor = built(tasks=BEFORE)
    opened = shown(20, 0, 0)
    processor.process(records(opened), NOW_MS + 10**9)
    store = CheckpointStore(tmp_path)
    write(processor, store)
    other = restored(store, tasks=[LIKE, *BEFORE])
    answers = [
        event("user 1", "item 1", kind, event_id=kind, occurred_at_ms=NOW_MS + 5_000)
        for kind in ("like", "view")
    ]
    later = event("user 0", "item 0", "impression", event_id="later", occurred_at_ms=NOW_MS + 4_000_000)
    other.process(records([*answers, later], first=20), NOW_MS + 10**9)
    counted = labels(other)
    assert counted["like"] == [0, 0, 0], "neither yes nor no"
    assert counted["view"] == [1, 19, 0]
    fresh = [
        event("user 3", "item 3", kind, event_id=f"{kind} 2", occurred_at_ms=NOW_MS + 4_001_000 + n)
        for n, kind in enumerate(("impression", "like"))
    ]
    end = event("user 0", "item 0", "impression", event_id="end", occurred_at_ms=NOW_MS + 9_000_000)
    other.process(records([*fresh, end], first=23), NOW_MS + 10**9)
    assert labels(other)["like"] == [1, 1, 0]


def test_a_new_task_learns_from_its_first_answers_on(tmp_path: Path) -> None:
    """Everybody likes even items and nobody odd ones; the checkpoint knew of views only."""

    def visits(first: int, rounds: int) -> list[Any]:
        made = []
        for n in range(first, first + rounds):
            for item in range(8):
                at_ms = NOW_MS + 120_000 * n + 2_000 * item
                one = {"user": f"user {(n + item) % 12}", "item": f"item {item}"}
                made.append(event(**one, kind="impression", event_id=f"i{n}-{item}", occurred_at_ms=at_ms))
                if item % 2 == 0:
                    made.append(
                        event(**one, kind="like", event_id=f"l{n}-{item}", occurred_at_ms=at_ms + 1_000)
                    )
                if item < 4:
                    made.append(
                        event(**one, kind="view", event_id=f"v{n}-{item}", occurred_at_ms=at_ms + 1_500)
                    )
        return made

    def play(processor: Processor, events: list[Any], first: int) -> int:
        for start in range(0, len(events), 64):
            some = events[start : start + 64]
            processor.process(records(some, first=first + start), NOW_MS + 10**10)
        return first + len(events)

    def foreseen(processor: Processor, task: int) -> Any:
        model: Any = processor.pipeline.learner
        users, items = np.arange(12), np.arange(8)
        moments = processor.states.histories(
            users, processor.states.remembered(users), np.full(12, NOW_MS + 10**9)
        )
        said = model.describe(moments, np.repeat(users, 8), np.tile(items, 12), np.full(96, -1))
        return said[:, said.shape[1] - len(model.tasks) + task].reshape(12, 8).mean(axis=0)

    processor = built(tasks=BEFORE[:1])
    offset = play(processor, visits(0, 30), 0)
    write(processor, CheckpointStore(tmp_path))
    other = restored(CheckpointStore(tmp_path), tasks=[LIKE, BEFORE[0]])
    rows = [other.pipeline.items.row(f"item {n}") for n in range(8)]
    assert rows == list(range(8))
    views = foreseen(processor, 0)
    np.testing.assert_allclose(foreseen(other, 1), views, atol=1e-4)
    assert views[:4].mean() > views[4:].mean() + 0.2
    np.testing.assert_allclose(foreseen(other, 0), foreseen(other, 0)[0], atol=0.1)
    play(other, visits(30, 60), offset)
    likes = foreseen(other, 0)
    assert likes[::2].mean() > likes[1::2].mean() + 0.3
    views = foreseen(other, 1)
    assert views[:4].mean() > views[4:].mean() + 0.2


def test_labels_are_not_compared_with_a_recount_once_tasks_have_changed(tmp_path: Path) -> None:
    processor = built(tasks=BEFORE)
    processor.process(records(numbered(shown(3, 0, 0))), NOW_MS + 10**9)
    reordered, more = built(tasks=[BEFORE[2], *BEFORE[:2]]), built(tasks=[*BEFORE, LIKE])
    for other in (reordered, more):
        other.load(processor.state_dicts(), processor.totals_dict())
    assert not reordered.pipeline.ledger.other_tasks
    assert more.pipeline.ledger.other_tasks
    later = built(tasks=[*BEFORE, LIKE])
    later.load(more.state_dicts(), more.totals_dict())
    assert later.pipeline.ledger.other_tasks, "for ever"
