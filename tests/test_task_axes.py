"""Saved arrays laid out for other tasks, by literal arrays; and that every array that has to do with tasks says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from batches import shop
from checkpointed import Shop, built
from models import learner, taught
from numpy.testing import assert_array_equal

from learners.task import Task
from learners.task_axes import BY_TASK, COUNTED, Bits, Each, Rest, TaskAxes, carried_over, width
from learners.task_map import TaskMap, named
from learners.weightings.registry import WEIGHTINGS

CLICK, CART, BUY = Task(name="click"), Task(name="cart", after="click"), Task(name="buy")
NEW, RATED = Task(name="new"), Task(name="rated", kind="regression")

DROPPED_AND_NEW = TaskMap(sources=(2, -1, 0), saved=3)
"""buy, new, click; cart is gone."""


def carried(array: Any, of: Any, begun: Any = None, tasks: TaskMap = DROPPED_AND_NEW) -> Any:
    begun = {} if begun is None else {"a": np.array(begun)}
    return carried_over({"a": np.array(array)}, begun, {"a": of}, tasks)["a"].tolist()


def test_tasks_are_known_by_their_names() -> None:
    saved = named([CLICK, CART, BUY])
    tasks = TaskMap.of(saved, [BUY, NEW, CLICK])
    assert (tasks.sources, tasks.saved) == ((2, -1, 0), 3)
    assert (tasks.new, tasks.dropped, tasks.changed) == (("new",), ("cart",), True)
    assert str(tasks) == "new: new; dropped: cart"
    assert str(TaskMap.of(saved, [BUY, CART, CLICK])) == "another order"
    assert not TaskMap.of(saved, [CLICK, CART, BUY]).changed
    assert TaskMap.of(saved, [CLICK, CART]).changed


def test_a_task_whose_head_means_something_else_is_given_up_and_begins() -> None:
    saved = named([CLICK, CART, RATED], "product")
    binary = TaskMap.of(saved, [CLICK, CART, Task(name="rated")], "product")
    assert (binary.new, binary.dropped) == (("rated",), ("rated",))
    assert TaskMap.of(saved, [CLICK, Task(name="cart"), RATED], "product").new == ("cart",)
    assert TaskMap.of(saved, [CLICK, CART, RATED], "gate").new == ("cart",)
    assert not TaskMap.of(
        saved, [CLICK, Task(name="cart", after="click", value=9.0), RATED], "product"
    ).changed


def test_what_older_states_do_not_say_is_as_it_is_now() -> None:
    saved = {name: array for name, array in named([CLICK, RATED]).items() if name.startswith("tasks.")}
    assert not TaskMap.of(saved, [CLICK, Task(name="rated")]).changed
    assert not TaskMap.of({}, [CLICK, RATED]).changed


def test_one_number_a_task() -> None:
    assert carried([1, 2, 3], {0: BY_TASK}, [7, 8, 9]) == [3, 8, 1]
    assert carried([1, 2, 3], {0: COUNTED}, [7, 8, 9]) == [3, 0, 1]
    assert carried([[1, 2, 3], [4, 5, 6]], {1: COUNTED}) == [[3, 0, 1], [6, 0, 4]]


def test_groups_between_what_is_no_tasks() -> None:
    axis = (Rest(1), Each(2, fill=0.5), Rest(1))
    assert width(axis, 3) == 8
    assert carried([9.0, 1, 1, 2, 2, 3, 3, 8], {0: axis}) == [9.0, 3, 3, 0.5, 0.5, 1, 1, 8]


def test_what_a_new_task_has_may_be_that_nothing_is_known() -> None:
    axis = (Each(fill=np.nan), Each(fill=0.5))
    assert carried(np.arange(6.0), {0: axis}, np.zeros(6))[::2] == [2.0, 0.0, 0.5]
    assert np.isnan(carried(np.arange(6.0), {0: axis}, np.zeros(6))[1])


def test_a_new_task_begins_whole_and_others_read_nothing_of_it() -> None:
    """As the weights of a gate: rows are whose it is, columns are what it reads."""
    saved = [[11, 12, 13], [21, 22, 23], [31, 32, 33]]
    begun = [[-1, -2, -3], [-4, -5, -6], [-7, -8, -9]]
    assert carried(saved, {0: BY_TASK, 1: COUNTED}, begun) == [[33, 0, 31], [-4, -5, -6], [13, 0, 11]]


def test_bits() -> None:
    assert carried([0b101, 0b010, -1], Bits(fill=True)) == [0b111, 0b010, 0b111]
    assert carried([0b101, 0b010, 0b100], Bits(fill=False)) == [0b101, 0b000, 0b001]


def test_what_was_never_kept_stays_away_and_what_is_missing_begins() -> None:
    assert carried(np.zeros((2, 0)), {1: BY_TASK}) == [[], []]
    assert carried_over({}, {"a": np.array([4])}, {"a": {0: BY_TASK}}, DROPPED_AND_NEW)["a"].tolist() == [4]


def test_another_shape_is_refused_not_guessed() -> None:
    with pytest.raises(ValueError, match=r"a is of shape \(4,\) for 3 tasks"):
        carried([1, 2, 3, 4], {0: BY_TASK})


# --- every array


def undeclared(before: Any, after: Any, axes: TaskAxes) -> list[str]:
    """Arrays of two states that more tasks make longer, but for those that name the tasks."""
    return [
        name
        for name in before
        if name in after
        and before[name].shape != after[name].shape
        and name not in axes
        and not name.startswith(("tasks.", "meanings."))
    ]


@pytest.mark.parametrize("heads", ["mmoe", "cgc", "shared_bottom", "single_task"])
@pytest.mark.parametrize("chain", ["product", "gate", "both"])
def test_every_array_of_every_head_is_declared_as_it_is(heads: str, chain: str) -> None:
    tasks = (CLICK, CART, RATED)
    few, many = (learner(some, heads=heads, chain=chain) for some in (tasks, (NEW, *tasks, BUY)))
    assert undeclared(few.state_dict(), many.state_dict(), many.task_axes) == []
    taught(few, shop())
    before, after = few.state_dict(), many.state_dict()
    carried = carried_over(before, after, many.task_axes, many.tasks_saved(before))
    for name in many.task_axes:
        if name in carried and name in after and not name.startswith(("pairs.", "backlog.")):
            assert carried[name].shape == after[name].shape, name


@pytest.mark.parametrize("weighting", sorted(WEIGHTINGS))
def test_every_array_of_every_weighting_is_declared(weighting: str) -> None:
    before, after = (
        WEIGHTINGS[weighting](tasks, 0).state_dict() for tasks in ((CLICK, BUY), (CLICK, BUY, NEW))
    )
    assert undeclared(before, after, WEIGHTINGS[weighting]((CLICK, BUY), 0).task_axes) == []


def test_every_array_of_a_processor_is_declared() -> None:
    names = [{"name": f"t{n}", "event_types": ["like"]} for n in range(5)]
    few, many = (built(tasks=names[:count]) for count in (3, 5))
    for processor in (few, many):
        shop = Shop(1)
        for _ in range(12):
            shop.step(processor)
    before, after = few.state_dicts(), many.state_dicts()
    partitions = before["users"]["pending_partitions"].tolist()
    assert len(partitions) == 2
    axes = {
        "users": many.states.task_axes(partitions, many.pipeline.learner.shown_axis),
        "learner": many.pipeline.learner.task_axes,  # type: ignore[attr-defined]
        "ledger": many.pipeline.ledger.task_axes,
        "items": {},
        "statistics": many.statistics.task_axes,
    }
    assert axes.keys() == before.keys()
    for piece, of in axes.items():
        assert undeclared(before[piece], after[piece], of) == []
    bits = {name for name, of in axes["users"].items() if isinstance(of, Bits)}
    assert {name.split(".")[-1] for name in bits} == {"resolved", "positive", "negative"}
    learned = many.pipeline.learner
    carried = carried_over(before["users"], {}, axes["users"], learned.tasks_saved(before["learner"]))
    for name in axes["users"]:
        assert carried[name].shape[1:] == after["users"][name].shape[1:], name
    assert_array_equal(carried["remembered"], before["users"]["remembered"])
