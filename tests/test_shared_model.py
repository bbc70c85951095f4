"""What workers tell each other of what they learned: everybody gets all of it, once, whoever dies in between."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from builders import NOW_MS, Record, event, records
from fakes import CountingLearner, in_one_portion, processor
from models import learner

from connectors.event import Event
from learners.learner import Learner
from stream.ownership import Assignment
from stream.processor import Processor
from stream.shared_model import SharedModel, Told

_HALF = [Assignment(frozenset({0}), share=0.5), Assignment(frozenset({1}), share=0.5)]


class Topic:
    """The model topic."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def take(self, told: Told | None) -> None:
        for value in told.records() if told is not None else ():
            self.records.append(Record(value=value, offset=len(self.records), topic="model"))

    def since(self, worker: Processor) -> list[Record]:
        return self.records[shared(worker).position :]


def shared(worker: Processor) -> SharedModel:
    assert worker.shared is not None
    return worker.shared


def worker(name: str, seed: int = 0, max_items: int = 1_000) -> Processor:
    made = processor(learner(seed=seed, choices_per_step=4), max_items=max_items)
    made.share("events-1", name)
    return made


def restored(name: str, from_: Processor, seed: int = 5) -> Processor:
    """Another process that begins with the state of a moment."""
    made = worker(name, seed)
    pieces = {piece: dict(portions[0]) for piece, portions in in_one_portion(from_).items()}
    made.load(from_.state_dicts() if pieces else {}, from_.totals_dict())
    return made


def clicks(partition: int, count: int, first: int = 0) -> list[Record]:
    rng = np.random.default_rng(partition + 10 * first)

    def one(n: int) -> Event:
        return event(
            f"u{partition}{rng.integers(4)}",
            f"i{rng.integers(12)}",
            event_id=f"{partition}-{n}",
            occurred_at_ms=NOW_MS + n * 1_000,
        )

    return records([one(n) for n in range(first, first + count)], partition=partition, first=first)


def vectors(one: Processor) -> dict[str, np.ndarray]:
    """Each item's output vector."""
    weight = one.pipeline.learner.state_dict()["neural.outputs.weight"]
    items = one.pipeline.items
    return {items.id(row): weight[row] for row in items.live_rows().tolist()}


def dense(one: Processor) -> np.ndarray:
    state = one.pipeline.learner.state_dict()
    names = sorted(name for name in state if "parameter." in name)
    return np.concatenate([state[name].ravel() for name in names])


def alike(one: Processor, other: Processor) -> None:
    """But for how numbers are rounded on their way."""
    np.testing.assert_allclose(dense(one), dense(other), atol=2e-5)
    mine, theirs = vectors(one), vectors(other)
    assert mine.keys() == theirs.keys()
    for item in mine:
        np.testing.assert_allclose(mine[item], theirs[item], atol=5e-3, err_msg=item)


def step_both(workers: Sequence[Processor], batch: Sequence[Record]) -> None:
    for one, assignment in zip(workers, _HALF, strict=True):
        one.process(batch, NOW_MS, assignment=assignment)


def exchange(workers: Sequence[Processor], topic: Topic, share: float = 0.5) -> None:
    for one in workers:
        topic.take(one.tell(share))
    for one in workers:
        one.merge(topic.since(one))


def test_two_workers_come_to_hold_one_model() -> None:
    workers, topic = [worker("ann"), worker("bea")], Topic()
    before = dense(workers[0])
    for first in range(0, 40, 8):
        step_both(workers, clicks(0, 8, first) + clicks(1, 8, first))
        if first:  # the very first step knows no negatives yet
            assert not np.allclose(dense(workers[0]), dense(workers[1]))
        exchange(workers, topic)
    alike(*workers)
    assert np.abs(dense(workers[0]) - before).max() > 1e-3
    assert shared(workers[0]).learned == shared(workers[1]).learned == {0: 40, 1: 40}


def test_where_nothing_was_learned_nothing_is_told() -> None:
    ann = worker("ann")
    assert ann.tell(1.0) is None
    ann.process(clicks(1, 8), NOW_MS, assignment=_HALF[0])  # followed
    assert ann.tell(0.5) is None


def test_who_restarts_hears_what_it_had_told_since_its_checkpoint_and_learns_none_of_it_again() -> None:
    """Killed after telling and before the checkpoint that would have held it."""
    topic, (ann, bea) = Topic(), (worker("ann"), worker("bea"))
    ann.process(clicks(0, 8), NOW_MS, assignment=_HALF[0])
    topic.take(ann.tell(0.5))
    back = restored("ann again", ann)
    ann.process(clicks(0, 8, 8), NOW_MS, assignment=_HALF[0])
    topic.take(ann.tell(0.5))

    back.merge(topic.since(back))
    assert shared(back).learned == {0: 16}
    told_before = len(topic.records)
    done = back.process(clicks(0, 8, 8), NOW_MS, assignment=_HALF[0])
    assert done.step is not None
    assert (done.step.events, done.step.followed) == (0, 8)
    topic.take(back.tell(0.5))
    assert len(topic.records) == told_before
    back.process(clicks(0, 8, 16), NOW_MS, assignment=_HALF[0])
    topic.take(back.tell(0.5))
    for one in (back, bea):
        for log in (clicks(0, 24), clicks(1, 0)):
            one.process(log, NOW_MS, assignment=Assignment(frozenset(), share=0.0))
        one.merge(topic.since(one))
    assert shared(bea).learned == {0: 24}
    np.testing.assert_allclose(dense(back), dense(bea), atol=2e-5)


def test_what_a_checkpoint_holds_is_not_heard_again() -> None:
    topic, ann = Topic(), worker("ann")
    ann.process(clicks(0, 8), NOW_MS)
    topic.take(ann.tell(1.0))
    back = restored("ann again", ann)
    before = dense(back)
    merged = back.merge(topic.since(back))
    assert (merged.updates, merged.refused) == (0, 0)
    np.testing.assert_array_equal(dense(back), before)


def test_who_takes_over_does_not_learn_what_the_former_owner_told() -> None:
    topic, (ann, bea) = Topic(), (worker("ann"), worker("bea"))
    ann.process(clicks(0, 12), NOW_MS, assignment=_HALF[0])
    topic.take(ann.tell(0.5))
    bea.merge(topic.since(bea))
    both = Assignment(frozenset({0, 1}))
    done = bea.process(clicks(0, 16), NOW_MS, assignment=both)
    assert done.step is not None
    assert (done.step.events, done.step.followed) == (4, 12)


def test_events_that_wait_for_a_step_are_told_of_and_nobody_else_learns_them() -> None:
    """Else whoever takes their partition over learns them too, and those who wait for their offsets wait for ever."""
    (ann, bea), topic = (worker("ann"), worker("bea")), Topic()
    step_both((ann, bea), clicks(0, 2))
    topic.take(ann.tell(0.5))
    assert shared(ann).learned == {0: 2}
    bea.merge(topic.since(bea))
    assert shared(bea).learned == {0: 2}
    assert not shared(bea).learns(0, 1)
    assert ann.tell(0.5) is None, "there is nothing new"


def test_offsets_of_a_former_topic_mean_nothing_and_its_model_does() -> None:
    topic, ann = Topic(), worker("ann")
    ann.process(clicks(0, 12), NOW_MS)
    topic.take(ann.tell(1.0))
    bea = processor(learner(choices_per_step=4))
    bea.share("events-2", "bea")
    assert bea.merge(topic.since(bea)).updates == 1
    assert shared(bea).learned == {}


def test_a_new_worker_begins_where_the_others_are() -> None:
    topic, ann = Topic(), worker("ann", seed=1)
    for first in range(0, 48, 8):
        ann.process(clicks(0, 8, first), NOW_MS)
        topic.take(ann.tell(1.0, beginning=first == 24))
    new = worker("bea", seed=2)
    new.merge(topic.since(new))
    np.testing.assert_allclose(dense(new), dense(ann), atol=2e-5)
    mine, theirs = vectors(new), vectors(ann)
    assert mine.keys() == theirs.keys()
    for item in theirs:
        np.testing.assert_allclose(mine[item], theirs[item], atol=5e-3)
    scaled = new.pipeline.learner.state_dict()["standardiser.mean"]
    assert scaled.any()


def test_a_beginning_takes_nothing_away_that_its_writer_had_not_heard_yet() -> None:
    """Two tell at once: what each tells stands on the topic before it hears the other."""
    topic, workers = Topic(), [worker("ann"), worker("bea")]
    for first in (0, 8):
        step_both(workers, clicks(0, 8, first) + clicks(1, 8, first))
        exchange(workers, topic)
    ann, bea = workers
    step_both(workers, clicks(0, 8, 16) + clicks(1, 8, 16))
    topic.take(bea.tell(0.5))
    topic.take(ann.tell(0.5, beginning=True))
    new = worker("cleo", seed=3)
    new.merge(topic.since(new))
    for one in workers:
        one.merge(topic.since(one))
    alike(ann, bea)
    alike(new, ann)
    assert shared(new).learned == {0: 24, 1: 24}


def test_a_beginning_that_does_not_say_what_its_writer_had_heard_holds_everything() -> None:
    """As versions told it that did not say."""
    topic, (ann, bea) = Topic(), (worker("ann"), worker("bea"))
    step_both((ann, bea), clicks(0, 8) + clicks(1, 8))
    topic.take(bea.tell(0.5))
    ann.merge(topic.since(ann))
    told = ann.tell(0.5, beginning=True)
    assert told is not None
    arrays = {name: array for name, array in told.arrays.items() if not name.startswith("heard.")}
    assert len(arrays) < len(told.arrays)
    topic.take(Told(told.update, arrays))
    new = worker("cleo", seed=3)
    new.merge(topic.since(new))
    np.testing.assert_allclose(dense(new), dense(ann), atol=2e-5)


def test_a_new_worker_that_has_learned_keeps_what_it_learned() -> None:
    topic, (ann, bea) = Topic(), (worker("ann", seed=1), worker("bea", seed=2))
    for first in (0, 8):  # the very first step knows no negatives yet
        ann.process(clicks(0, 8, first), NOW_MS, assignment=_HALF[0])
        bea.process(clicks(1, 8, first), NOW_MS, assignment=_HALF[1])
    topic.take(ann.tell(0.5, beginning=True))
    bea.tell(0.5)
    before = dense(bea)
    bea.merge(topic.since(bea))
    assert not np.allclose(dense(bea), dense(ann), atol=1e-4)
    assert not np.array_equal(dense(bea), before)


def test_who_missed_something_takes_over_what_the_others_have() -> None:
    topic, workers = Topic(), [worker("ann"), worker("bea")]
    step_both(workers, clicks(0, 8) + clicks(1, 8))
    exchange(workers, topic)
    ann, bea = workers
    ann.process(clicks(0, 16, 8), NOW_MS, assignment=_HALF[0])
    bea.process(clicks(0, 16, 8), NOW_MS, assignment=_HALF[1])
    ann.tell(0.5)  # which bea never hears
    ann.process(clicks(0, 16, 24), NOW_MS, assignment=_HALF[0])
    bea.process(clicks(0, 16, 24), NOW_MS, assignment=_HALF[1])
    topic.take(ann.tell(0.5, beginning=True))
    bea.fall_behind()
    bea.merge(topic.since(bea))
    np.testing.assert_allclose(dense(bea), dense(ann), atol=2e-5)
    ann.process(clicks(0, 0), NOW_MS)


def test_a_model_of_other_settings_is_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    topic, ann = Topic(), worker("ann")
    ann.process(clicks(0, 8), NOW_MS)
    topic.take(ann.tell(1.0))
    other = processor(learner(dimension=12))
    other.share("events-1", "bea")
    before = dense(other)
    with caplog.at_level(logging.ERROR):
        merged = other.merge(topic.since(other))
    assert (merged.updates, merged.refused) == (0, 1)
    assert "of a model with other settings" in caplog.text
    np.testing.assert_array_equal(dense(other), before)
    assert shared(other).learned == {}
    assert shared(other).position == len(topic.records)


def test_a_writer_whose_numbers_went_wrong_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    ann, bea = worker("ann"), worker("bea")
    ann.process(clicks(0, 8), NOW_MS)
    told = ann.tell(1.0)
    assert told is not None
    name = next(name for name in told.arrays if name.startswith("dense."))
    told.arrays[name].flat[0] = np.nan
    before = dense(bea)
    merged = bea.merge([Record(value=value, offset=n) for n, value in enumerate(told.records())])
    assert (merged.updates, merged.refused) == (0, 1)
    assert "numbers that are not finite" in caplog.text
    np.testing.assert_array_equal(dense(bea), before)
    assert shared(bea).learned == {}


def test_garbage_on_the_topic_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    topic, ann = Topic(), worker("ann")
    ann.process(clicks(0, 8), NOW_MS)
    topic.take(ann.tell(1.0))
    bea = worker("bea")
    junk = Record(value=b"\x93junk", offset=0, topic="model")
    told = Record(value=topic.records[0].value, offset=1, topic="model")
    merged = bea.merge([junk, told])
    assert (merged.updates, merged.refused) == (1, 1)
    [said] = [record for record in caplog.records if "is left out" in record.getMessage()]
    assert (said.topic, said.partition, said.offset) == ("model", 0, 0)  # type: ignore[attr-defined]


def test_items_that_are_not_known_here_get_rows_only_while_there_is_room() -> None:
    topic, ann = Topic(), worker("ann")
    ann.process(clicks(0, 40), NOW_MS)
    topic.take(ann.tell(1.0))
    full = worker("bea", max_items=5)
    full.process(records([event(item="mine", event_id="m")], partition=1), NOW_MS, assignment=_HALF[0])
    full.merge(topic.since(full))
    assert len(full.pipeline.items) == 5
    assert "mine" in full.pipeline.items
    assert full.pipeline.items.evictions == 0


def test_an_item_that_others_name_is_not_the_newer_for_it() -> None:
    topic, ann, bea = Topic(), worker("ann"), worker("bea", max_items=20)
    ann.process(records([event(item=f"i{n}", event_id=f"e{n}") for n in range(8)]), NOW_MS)
    bea.process(records([event(item="i0", event_id="e")], partition=1), NOW_MS)
    bea.process(records([event(item=f"o{n}", event_id=f"o{n}") for n in range(19)], partition=2), NOW_MS)
    topic.take(ann.tell(0.5))
    bea.merge(topic.since(bea))
    bea.process(records([event(item="new", event_id="n")], partition=3), NOW_MS)
    assert "i0" not in bea.pipeline.items


def test_writers_are_remembered_and_bounded() -> None:
    ann, bea = worker("ann"), worker("bea")
    ann.process(clicks(0, 8), NOW_MS)
    told = ann.tell(1.0)
    assert told is not None
    for n in range(300):
        renamed = Told(msgspec.structs.replace(told.update, writer=f"writer {n}"), told.arrays)
        assert bea.merge([Record(value=value, offset=n) for value in renamed.records()]).updates == 1
    assert len(shared(bea).state_dict()["sequences"]) == 256


def test_a_learner_that_cannot_share_is_told() -> None:
    model: Learner = CountingLearner()
    with pytest.raises(TypeError, match="a CountingLearner cannot share what it learns"):
        processor(model).share("events-1", "ann")


def test_the_state_comes_back_as_it_was() -> None:
    topic, workers = Topic(), [worker("ann"), worker("bea")]
    step_both(workers, clicks(0, 8) + clicks(1, 8))
    exchange(workers, topic)
    back = restored("cleo", workers[0])
    assert shared(back).learned == {0: 8, 1: 8}
    assert shared(back).position == len(topic.records)
    for name, array in shared(workers[0]).state_dict().items():
        np.testing.assert_array_equal(array, shared(back).state_dict()[name])


def test_who_restarts_while_it_is_behind_still_takes_over_what_the_others_have() -> None:
    topic, ann, bea = Topic(), worker("ann", seed=1), worker("bea", seed=2)
    for first in range(0, 48, 8):
        ann.process(clicks(0, 8, first), NOW_MS)
        topic.take(ann.tell(1.0, beginning=first == 40))
        if first == 8:
            bea.merge(topic.since(bea))
            bea = restored("bea", bea)
    bea.merge(topic.since(bea))
    np.testing.assert_allclose(dense(bea), dense(ann), atol=2e-5)
