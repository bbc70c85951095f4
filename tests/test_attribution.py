"""Labels from events, against a reference of plain lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from builders import NOW_MS
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.context_fields import NO_CONTEXT
from learners.task import Task
from stream.attribution import Attribution, LabelRows, LabelSource
from stream.event_columns import EventColumns
from stream.user_states import UserStates

IMPRESSION, CLICK, CART, BUY, RATE, OTHER = range(6)
TASKS = (
    Task(name="click", window_s=10.0),
    Task(name="cart", window_s=30.0),
    Task(name="buy", window_s=30.0),
    Task(name="rating", kind="regression", window_s=20.0),
)
SOURCES = {
    "click": LabelSource(event_types=frozenset({CLICK})),
    "cart": LabelSource(event_types=frozenset({CART, BUY})),  # who buys has put it into the cart
    "buy": LabelSource(event_types=frozenset({BUY})),
    "rating": LabelSource(event_types=frozenset({RATE}), scale=5.0),
}
K = len(TASKS)
NOTICED = frozenset({CLICK})
OTHER_TASKS = (
    Task(name="click", window_s=10.0, late_s=15.0, negative="impression"),
    Task(name="cart", window_s=20.0, kind="ranking"),
    Task(name="buy", window_s=30.0, late_s=25.0),
    Task(name="rating", kind="regression", window_s=60.0, negative="none"),
)
"""The same with late answers, a ranking, negatives from impressions alone, and a value that is waited for longest."""
IMPATIENT_TASKS = (
    Task(name="click", window_s=10.0, wait_s=4.0, negative="impression"),
    Task(name="cart", window_s=30.0, wait_s=0.0),
    Task(name="buy", window_s=20.0, wait_s=10.0, late_s=15.0),
    Task(name="rating", kind="regression", window_s=20.0),
)
"""The same that take silence for a no before their windows close."""


@dataclass(frozen=True)
class Act:
    """One event: who, what, how, when (seconds after the start), where shown, how much."""

    kind: int
    item: int = 0
    at_s: float = 0.0
    user: int = 0
    value: float = float("nan")
    position: int = -1


@dataclass(frozen=True, order=True)
class Label:
    """One label: of which impression, for which task, its value, and whether it corrects a negative."""

    user: int
    item: int
    shown_s: float
    task: str
    value: float
    position: int = -1
    late: bool = False


def partition_of(user: int) -> int:
    return user % 2


class Stage:
    """Users' states and attribution, fed with acts; users' rows are their numbers."""

    def __init__(self, tasks: Sequence[Task] = TASKS, users: int = 4, max_pending: int = 1_000) -> None:
        self.tasks = tasks
        self.states = UserStates(history_length=5, max_users=50, slate_size=1, max_pending=max_pending)
        self.states.admit([str(n) for n in range(users)], [partition_of(n) for n in range(users)])
        self.attribution = Attribution(tasks, SOURCES, IMPRESSION, NOTICED)
        self.observed = 0

    def observe(self, *acts: Act) -> LabelRows:
        users = np.array([act.user for act in acts], np.int64)
        remembered = np.array([act.kind != IMPRESSION for act in acts], np.bool_)
        columns = EventColumns(
            users=users,
            items=np.array([act.item for act in acts], np.int64),
            types=np.array([act.kind for act in acts], np.int64),
            times_ms=np.array([NOW_MS + int(act.at_s * 1000) for act in acts], np.int64),
            remembered=remembered,
            as_of=self.states.as_of(users, remembered),
            context=NO_CONTEXT.empty(len(acts)),
        )
        position = np.array([act.position for act in acts], np.int64)
        values = np.array([act.value for act in acts], np.float32)
        number = self.observed + np.arange(len(acts), dtype=np.float32)[:, None]
        self.observed += len(acts)
        rows = self.attribution.observe(columns, position, values, self.states, number)
        self.states.apply(columns)
        return rows

    def labels(self, *acts: Act) -> list[Label]:
        """What became known by these acts, in one step."""
        rows = self.observe(*acts)
        assert (rows.mask.sum(axis=1) > 0).all(), "no row without a label"
        assert (rows.labels[~rows.mask] == 0.0).all()
        assert (rows.delay_s >= 0.0).all()
        return sorted(
            Label(
                user=int(rows.users[n]),
                item=int(rows.items[n]),
                shown_s=(int(rows.moments_ms[n]) - NOW_MS) / 1000.0,
                task=self.tasks[k].name,
                value=round(float(rows.labels[n, k]), 5),
                position=int(rows.position[n]),
                late=bool(rows.late[n, k]),
            )
            for n, k in zip(*np.nonzero(rows.mask), strict=True)
        )


def label(
    task: str,
    value: float,
    item: int = 0,
    shown_s: float = 0.0,
    user: int = 0,
    position: int = -1,
    late: bool = False,
) -> Label:
    return Label(user, item, shown_s, task, value, position, late)


# --- by example


def test_an_impression_alone_says_nothing_yet() -> None:
    assert Stage().labels(Act(IMPRESSION), Act(IMPRESSION, item=1, at_s=9.0)) == []


def test_a_click_is_a_positive_when_it_comes() -> None:
    stage = Stage()
    stage.labels(Act(IMPRESSION, position=3))
    rows = stage.observe(Act(CLICK, at_s=4.0))
    assert rows.labels.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert rows.mask.tolist() == [[True, False, False, False]]
    assert (rows.users.tolist(), rows.items.tolist(), rows.position.tolist()) == ([0], [0], [3])
    assert (rows.delay_s.tolist(), rows.moments_ms.tolist()) == ([4.0], [NOW_MS])


def test_one_event_may_answer_several_tasks() -> None:
    assert Stage().labels(Act(IMPRESSION), Act(BUY, at_s=1.0)) == [label("buy", 1.0), label("cart", 1.0)]


def test_a_second_click_is_no_second_label() -> None:
    found = Stage().labels(Act(IMPRESSION), Act(CLICK, at_s=1.0), Act(CLICK, at_s=2.0))
    assert found == [label("click", 1.0)]


def test_a_label_belongs_to_the_latest_impression() -> None:
    acts = Act(IMPRESSION), Act(IMPRESSION, at_s=3.0), Act(CLICK, at_s=5.0)
    assert Stage().labels(*acts) == [label("click", 1.0, shown_s=3.0)]


def test_who_comes_again_begins_anew_though_a_value_is_still_waited_for() -> None:
    tasks = (*TASKS[:3], Task(name="rating", kind="regression", window_s=500.0))
    acts = Act(OTHER), Act(OTHER, at_s=100.0), Act(BUY, at_s=105.0), Act(RATE, at_s=400.0, value=5.0)
    found = Stage(tasks).labels(*acts)
    assert label("buy", 1.0, shown_s=100.0) in found
    assert label("rating", 1.0, shown_s=100.0) in found


def test_what_happened_before_an_impression_does_not_answer_it() -> None:
    tasks = (Task(name="buy", window_s=36_000.0), Task(name="rating", kind="regression", window_s=36_000.0))
    stage = Stage(tasks)
    stage.labels(Act(IMPRESSION, at_s=9_000.0))
    assert stage.labels(Act(BUY, at_s=1_000.0), Act(RATE, at_s=1_000.0, value=5.0)) == [], "it came late"
    assert stage.labels(Act(BUY, at_s=8_999.0)) == [label("buy", 1.0, shown_s=9_000.0)], (
        "clocks differ by seconds"
    )


def test_what_comes_late_answers_what_was_shown_when_it_happened() -> None:
    """The item was shown again before its click arrived."""
    stage = Stage((Task(name="click", window_s=600.0, wait_s=60.0, late_s=600.0),))
    stage.labels(Act(IMPRESSION), Act(IMPRESSION, at_s=300.0))
    assert label("click", 1.0, late=True) in stage.labels(Act(CLICK, at_s=30.0))
    assert stage.labels(Act(CLICK, at_s=-200.0)) == [], "before it was shown at all"


def test_silence_is_a_negative_only_after_the_window() -> None:
    stage = Stage()
    assert stage.labels(Act(IMPRESSION)) == []
    assert stage.labels(Act(IMPRESSION, item=1, at_s=10.0)) == [], "the window's last moment is inside"
    assert stage.labels(Act(IMPRESSION, item=2, at_s=10.001)) == [label("click", 0.0)]
    assert stage.labels(Act(IMPRESSION, item=3, at_s=30.001)) == [
        label("buy", 0.0),
        label("cart", 0.0),
        *[label("click", 0.0, item=item, shown_s=at_s) for item, at_s in ((1, 10.0), (2, 10.001))],
    ]
    assert stage.states.pending == 3, "what all windows have closed is let go"


@pytest.mark.parametrize(
    ("at_s", "expected"), [(10.0, [label("click", 1.0)]), (10.001, [label("click", 0.0)])]
)
def test_the_window_is_sharp(at_s: float, expected: list[Label]) -> None:
    assert Stage().labels(Act(IMPRESSION), Act(CLICK, at_s=at_s)) == expected


def test_a_positive_that_comes_after_its_negative_is_too_late() -> None:
    stage = Stage()
    stage.labels(Act(IMPRESSION), Act(OTHER, item=1, at_s=11.0))
    assert stage.labels(Act(CLICK, at_s=12.0)) == []
    assert stage.labels(Act(CLICK, at_s=9.0)) == [], "its time lies in the window, but the window was closed"


def test_a_window_is_closed_by_the_users_own_partition() -> None:
    stage = Stage()
    stage.labels(Act(IMPRESSION, user=0), Act(IMPRESSION, user=1))
    assert stage.labels(Act(OTHER, item=9, user=1, at_s=500.0)) == sorted(
        label(task, 0.0, user=1) for task in ("click", "cart", "buy")
    ), "partition 1 is far ahead; user 0 of partition 0 still has time"
    assert stage.labels(Act(CLICK, user=0, at_s=5.0)) == [label("click", 1.0)]


def test_an_event_without_impression_stands_for_one() -> None:
    stage = Stage()
    assert stage.labels(Act(CLICK, position=2)) == [], (
        "it answers nobody, and who clicks was not just shown it"
    )
    assert stage.labels(Act(BUY, at_s=3.0)) == [
        label("buy", 1.0, position=2),
        label("cart", 1.0, position=2),
    ]
    assert stage.labels(Act(OTHER, item=1, at_s=100.0)) == [], "nothing of the click waits for an answer"


def test_what_was_clicked_without_impression_and_not_bought_is_a_negative() -> None:
    stage = Stage()
    stage.labels(Act(CLICK))
    assert stage.labels(Act(OTHER, item=1, at_s=31.0)) == [label("buy", 0.0), label("cart", 0.0)]


def test_long_after_an_impression_an_event_stands_for_itself() -> None:
    stage = Stage()
    stage.labels(Act(IMPRESSION))
    found = stage.labels(Act(CLICK, at_s=31.0))
    assert found == sorted(label(task, 0.0) for task in ("click", "cart", "buy"))
    assert stage.labels(Act(BUY, at_s=33.0)) == [
        label("buy", 1.0, shown_s=31.0),
        label("cart", 1.0, shown_s=31.0),
    ]


def test_a_value_is_scaled_and_bounded() -> None:
    stage = Stage()
    found = [
        stage.labels(Act(RATE, item=n, value=value))
        for n, value in enumerate([4.0, 0.0, -3.0, 99.0, float("inf")])
    ]
    assert found == [[label("rating", v, item=n)] for n, v in enumerate([0.8, 0.0, 0.0, 1.0, 1.0])]


def test_a_rating_without_value_says_nothing() -> None:
    assert Stage().labels(Act(IMPRESSION), Act(RATE, at_s=1.0)) == []


def test_silence_is_no_rating() -> None:
    stage = Stage(tasks=TASKS[3:])
    stage.labels(Act(IMPRESSION))
    assert stage.labels(Act(OTHER, item=1, at_s=500.0)) == []


def test_every_rating_counts() -> None:
    found = Stage().labels(Act(IMPRESSION), Act(RATE, at_s=1.0, value=5.0), Act(RATE, at_s=2.0, value=1.0))
    assert found == [label("rating", 0.2), label("rating", 1.0)]


def test_a_rating_after_its_window_is_none() -> None:
    stage = Stage()
    stage.labels(Act(IMPRESSION))
    assert label("rating", 1.0) not in stage.labels(Act(RATE, at_s=21.0, value=5.0))


def test_labels_know_how_long_the_history_was_when_the_item_was_shown() -> None:
    stage = Stage()
    stage.observe(Act(OTHER, item=8), Act(OTHER, item=9), Act(IMPRESSION))
    stage.observe(Act(OTHER, item=10))
    assert stage.observe(Act(CLICK, at_s=1.0)).as_of.tolist() == [2]


def test_the_oldest_leave_without_label_when_there_are_too_many() -> None:
    stage = Stage(max_pending=2)
    stage.labels(*[Act(IMPRESSION, item=n) for n in range(3)])
    assert stage.states.pending_of(0).expired_early == 1
    found = stage.labels(Act(OTHER, item=9, at_s=15.0))
    assert found == [label("click", 0.0, item=2)], "item 1 left for the other event's own impression"


def test_forgotten_items_and_users_get_no_labels() -> None:
    stage = Stage()
    stage.labels(Act(IMPRESSION, item=1), Act(IMPRESSION, item=2), Act(IMPRESSION, item=1, user=2))
    stage.states.forget_items(np.array([1]))
    assert stage.labels(Act(CLICK, item=1, at_s=1.0)) == [], "a new item may have the row: it was not shown"
    stage.states.pending_of(0).forget(users=np.array([0]))
    assert stage.labels(Act(OTHER, item=9, at_s=100.0, user=2)) == []


def test_a_restart_between_impression_and_answer_loses_nothing() -> None:
    stage, restarted = Stage(), Stage()
    stage.labels(Act(IMPRESSION), Act(IMPRESSION, item=1, user=1), Act(CLICK, at_s=1.0))
    restarted.states.load_state_dict(stage.states.state_dict())
    later = [Act(BUY, at_s=2.0), Act(CLICK, item=1, user=1, at_s=3.0), Act(OTHER, item=5, at_s=60.0)]
    expected = stage.labels(*later)
    assert len(expected) == 3
    assert restarted.labels(*later) == expected


def test_a_step_without_events_has_no_labels() -> None:
    assert len(Stage().observe()) == 0


# --- against a reference


@dataclass
class Shown:
    """One impression of the reference: what needs no further answer, what was said of it."""

    act: Act
    order_s: float
    done: set[str]
    yes: set[str] = field(default_factory=set)
    no: set[str] = field(default_factory=set)


class Reference:
    """The rules in plain lists: one partition after the other, one event after the other."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.shown: dict[int, list[Shown]] = {0: [], 1: []}
        self.clock: dict[int, float] = {0: -1e12, 1: -1e12}
        self.kept_s = max(task.window_s + (task.late_s if task.kind == "binary" else 0.0) for task in tasks)
        self.ended: list[tuple[set[str], set[str]]] = []

    def observe(self, acts: Sequence[Act]) -> list[Label]:
        found: list[Label] = []
        for act in acts:
            partition = partition_of(act.user)
            self.clock[partition] = max(self.clock[partition], act.at_s)
            self._answer(self.shown[partition], act, found)
            self._close(partition, found)
        return sorted(found)

    def _answer(self, shown: list[Shown], act: Act, found: list[Label]) -> None:
        order_s = max(act.at_s, shown[-1].order_s if shown else -1e12, self.clock[partition_of(act.user)])
        if act.kind == IMPRESSION:
            shown.append(Shown(act, order_s, {"rating"}))
            return
        answered = [task for task in self.tasks if act.kind in SOURCES[task.name].event_types]
        mine = [one for one in shown if (one.act.user, one.act.item) == (act.user, act.item)]
        if mine and act.at_s < mine[-1].act.at_s - 60.0:
            mine = sorted(
                (one for one in mine if one.act.at_s <= act.at_s + 60.0), key=lambda one: one.act.at_s
            )
            if not mine or not self._belongs(mine[-1], answered, act):
                return
        if not mine or not self._belongs(mine[-1], answered, act):
            own = {task.name for task in answered}
            own |= {task.name for task in self.tasks if task.negative == "impression"}
            mine = [Shown(act, order_s, {"rating", "click"} | own)]
            shown.append(mine[0])
        latest = mine[-1]
        for task in answered:
            in_time = act.at_s - latest.act.at_s <= task.window_s
            if task.kind == "regression":
                if in_time and act.value == act.value:
                    found.append(self._label(latest, task, min(max(act.value / 5.0, 0.0), 1.0)))
            elif task.name not in latest.done and in_time:
                latest.yes.add(task.name)
                if task.kind != "ranking":
                    latest.done.add(task.name)
                    found.append(self._label(latest, task, 1.0))
            elif self._corrected_s(task) > 0.0:
                if task.name not in latest.done:
                    latest.done.add(task.name)
                    latest.no.add(task.name)
                    found.append(self._label(latest, task, 0.0))
                if self._is_late(latest, task, act):
                    latest.no.remove(task.name)
                    latest.yes.add(task.name)
                    found.append(self._label(latest, task, 1.0, late=True))

    def _belongs(self, shown: Shown, answered: Sequence[Task], act: Act) -> bool:
        age_s = act.at_s - shown.act.at_s
        waiting = [task.window_s for task in self.tasks if task.kind != "regression"]
        return age_s <= max(waiting) or any(
            age_s <= task.window_s or self._is_late(shown, task, act) for task in answered
        )

    def _is_late(self, shown: Shown, task: Task, act: Act) -> bool:
        no = task.name in shown.no or task.name not in shown.done
        return no and act.at_s - shown.act.at_s <= self._corrected_s(task)

    def _corrected_s(self, task: Task) -> float:
        may = task.kind == "binary" and (task.late_s > 0.0 or task.wait_s < task.window_s)
        return task.window_s + task.late_s if may else -1.0

    def _close(self, partition: int, found: list[Label]) -> None:
        clock = self.clock[partition]
        for one in self.shown[partition]:
            for task in self.tasks:
                wait_s = task.window_s if task.kind == "ranking" else min(task.wait_s, task.window_s)
                over = clock - one.order_s > wait_s
                if over and task.name not in one.done and task.kind != "regression":
                    one.done.add(task.name)
                    if task.name not in one.yes:
                        one.no.add(task.name)
                    found.append(self._label(one, task, float(task.name in one.yes)))
        gone = [one for one in self.shown[partition] if clock - one.order_s > self.kept_s]
        self.ended += [(one.yes, one.no) for one in gone]
        self.shown[partition] = [one for one in self.shown[partition] if clock - one.order_s <= self.kept_s]

    def _label(self, shown: Shown, task: Task, value: float, late: bool = False) -> Label:
        act = shown.act
        return Label(act.user, act.item, act.at_s, task.name, round(value, 5), act.position, late)


def acts_of(elapsed: Sequence[float]) -> st.SearchStrategy[list[Act]]:
    """Acts of four users in two partitions whose clocks differ; `elapsed` are the steps of time."""
    drawn = st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(0, 2),
            st.integers(0, 3),
            st.sampled_from(elapsed),
            st.sampled_from([float("nan"), 0.0, 2.5, 7.0]),
            st.integers(-1, 3),
        ),
        max_size=25,
    )

    def timed(steps: list[tuple[int, int, int, float, float, int]]) -> list[Act]:
        acts, clocks = [], {0: 0.0, 1: 3_600.0}
        for kind, item, user, ahead, value, position in steps:
            clocks[partition_of(user)] += ahead
            acts.append(Act(kind, item, clocks[partition_of(user)], user, value, position))
        return acts

    return drawn.map(timed)


OUT_OF_ORDER = (0.0, 1.0, 5.0, 10.0, 20.0, 30.0, -4.0, -12.0, -25.0, -70.0)


def steps_of(acts: list[Act], cut: set[int]) -> list[list[Act]]:
    edges = [0, *sorted(at for at in cut if at < len(acts)), len(acts)]
    return [acts[edges[n] : edges[n + 1]] for n in range(len(edges) - 1)]


task_sets = st.sampled_from([TASKS, OTHER_TASKS, IMPATIENT_TASKS])


@given(acts_of(OUT_OF_ORDER), st.sets(st.integers(1, 24)), task_sets)
@law(300)
def test_labels_are_those_of_the_reference(acts: list[Act], cut: set[int], tasks: Sequence[Task]) -> None:
    stage, reference = Stage(tasks), Reference(tasks)
    for some in steps_of(acts, cut):
        assert stage.labels(*some) == reference.observe(some)
        held = sum(len(shown) for shown in reference.shown.values())
        assert stage.states.pending == held


@given(acts_of(OUT_OF_ORDER), st.sets(st.integers(1, 24)), task_sets)
@law(150)
def test_the_cut_into_steps_changes_no_label(acts: list[Act], cut: set[int], tasks: Sequence[Task]) -> None:
    """Once everything is closed, the same labels have come, whoever stood with whom in a step."""
    end = [Act(OTHER, item=9, at_s=1e6, user=user) for user in range(2)]

    def all_labels(steps: list[list[Act]]) -> Counter[Label]:
        stage = Stage(tasks)
        return Counter(one for some in [*steps, end] for one in stage.labels(*some))

    assert all_labels(steps_of(acts, cut)) == all_labels([[act] for act in acts])


@given(acts_of(OUT_OF_ORDER), task_sets)
@law(60)
def test_what_came_of_an_impression_is_told_when_it_ends(acts: list[Act], tasks: Sequence[Task]) -> None:
    stage, reference = Stage(tasks), Reference(tasks)
    found: list[tuple[set[str], set[str]]] = []
    for act in [*acts, *[Act(OTHER, item=9, at_s=1e6, user=user) for user in range(2)]]:
        outcomes = stage.observe(act).outcomes
        reference.observe([act])
        names = np.array([task.name for task in tasks])
        for yes, known in zip(outcomes.labels, outcomes.known, strict=True):
            found.append((set(names[yes].tolist()), set(names[known & ~yes].tolist())))
    assert found == reference.ended


@given(acts_of(OUT_OF_ORDER), st.sets(st.integers(1, 24)), task_sets)
@law(100)
def test_what_is_settled_is_what_the_labels_come_to_when_the_window_closes(
    acts: list[Act], cut: set[int], tasks: Sequence[Task]
) -> None:
    """Each once, and a yes no sooner than a no: forecasts could not be examined by a part of what comes."""
    end = [Act(OTHER, item=9, at_s=1e6, user=user) for user in range(2)]
    stage, clock = Stage(tasks), {0: -1e12, 1: -1e12}
    labels: dict[tuple[int, int], float] = {}
    settled: dict[tuple[int, int], float] = {}
    for some in [*steps_of(acts, cut), end]:
        rows = stage.observe(*some)
        for act in some:
            clock[partition_of(act.user)] = max(clock[partition_of(act.user)], act.at_s)
        values = [(n, k) for n, k in zip(*np.nonzero(rows.mask), strict=True) if _is_value(tasks[k])]
        for n, k in zip(*np.nonzero(rows.mask), strict=True):
            if not _is_value(tasks[k]):
                labels[int(rows.shown[n, 0]), int(k)] = float(rows.labels[n, k])
        known = rows.settled
        assert known.mask[:, [_is_value(task) for task in tasks]].sum() == len(values), "a value is, at once"
        for n, k in zip(*np.nonzero(known.mask), strict=True):
            if _is_value(tasks[k]):
                continue
            shown = int(known.shown[n, 0])
            assert (shown, int(k)) not in settled
            settled[shown, int(k)] = labels[shown, int(k)]
            assert known.labels[n, k] == labels[shown, int(k)]
            opener = [*acts, *end][shown]
            assert clock[partition_of(opener.user)] - opener.at_s > tasks[k].window_s
    assert settled.keys() == labels.keys(), "a late yes is a label, and settles nothing"


def _is_value(task: Task) -> bool:
    return task.kind == "regression"


def test_a_yes_is_settled_when_its_window_closes() -> None:
    stage = Stage(TASKS[:1])
    assert not len(stage.observe(Act(IMPRESSION), Act(IMPRESSION, item=1), Act(CLICK, at_s=1.0)).settled)
    settled = stage.observe(Act(OTHER, item=9, at_s=11.0)).settled
    assert settled.labels.tolist() == [[1.0], [0.0]]
    assert settled.shown.tolist() == [[0.0], [1.0]]
    assert settled.mask.all()


# --- late answers


def test_a_late_positive_corrects_the_negative_that_was_taught() -> None:
    stage = Stage(OTHER_TASKS)
    stage.labels(Act(IMPRESSION))
    assert stage.labels(Act(OTHER, item=1, at_s=11.0)) == [label("click", 0.0)]
    assert stage.labels(Act(CLICK, at_s=20.0)) == [label("click", 1.0, late=True)]
    assert stage.labels(Act(CLICK, at_s=21.0)) == [label("cart", 0.0)], "it is corrected once"


def test_after_the_late_time_nothing_is_corrected() -> None:
    stage = Stage(OTHER_TASKS)
    stage.labels(Act(IMPRESSION), Act(OTHER, item=1, at_s=24.0))
    assert stage.labels(Act(CLICK, at_s=25.001)) == []


def test_a_late_positive_by_which_the_window_closes_brings_its_negative_along() -> None:
    """Otherwise the labels would depend on whether another event had come in between."""
    stage = Stage(OTHER_TASKS)
    stage.labels(Act(IMPRESSION))
    assert stage.labels(Act(CLICK, at_s=12.0)) == [label("click", 0.0), label("click", 1.0, late=True)]


def test_a_restart_forgets_no_negative_that_may_be_corrected() -> None:
    stage, restarted = Stage(OTHER_TASKS), Stage(OTHER_TASKS)
    stage.labels(Act(IMPRESSION), Act(OTHER, item=1, at_s=11.0))
    restarted.states.load_state_dict(stage.states.state_dict())
    assert restarted.labels(Act(CLICK, at_s=12.0)) == [label("click", 1.0, late=True)]


def test_silence_is_taught_as_a_no_before_the_window_closes_and_settled_when_it_does() -> None:
    """Nobody waits an hour for the negatives of purchases, while their positives come within minutes."""
    stage = Stage(IMPATIENT_TASKS[:1])
    stage.labels(Act(IMPRESSION), Act(IMPRESSION, item=1))
    taught = stage.observe(Act(OTHER, item=9, at_s=4.5))
    assert (taught.labels.tolist(), len(taught.settled)) == ([[0.0], [0.0]], 0)
    corrected = stage.observe(Act(CLICK, at_s=9.0))
    assert (corrected.labels.tolist(), corrected.late.tolist()) == ([[1.0]], [[True]])
    assert not len(corrected.settled)
    settled = stage.observe(Act(OTHER, item=9, at_s=11.0)).settled
    assert settled.labels.tolist() == [[1.0], [0.0]]
    assert stage.labels(Act(CLICK, item=1, at_s=12.0)) == [], (
        "its window has closed, and there is no late time"
    )


# --- where negatives come from, and lists


def test_only_what_was_really_shown_is_a_negative_where_impressions_say_so() -> None:
    tasks = (Task(name="buy", window_s=30.0, negative="impression"),)
    stage = Stage(tasks)
    end = Act(OTHER, item=1, at_s=100.0)
    assert stage.labels(Act(OTHER), Act(BUY, at_s=1.0), end) == [], "nor a positive, or all would be"
    assert Stage(tasks).labels(Act(IMPRESSION), end) == [label("buy", 0.0)]


def test_a_list_is_labelled_at_once_when_its_window_closes() -> None:
    stage = Stage((Task(name="buy", window_s=30.0, kind="ranking"),))
    assert (
        stage.labels(*[Act(IMPRESSION, item=n, position=n) for n in range(3)], Act(BUY, item=1, at_s=5.0))
        == []
    )
    assert stage.labels(Act(OTHER, item=9, at_s=31.0)) == [
        label("buy", float(n == 1), item=n, position=n) for n in range(3)
    ]


def test_labels_of_some_tasks_can_be_taken_alone() -> None:
    rows = Stage().observe(Act(IMPRESSION), Act(BUY, at_s=1.0), Act(OTHER, item=1, at_s=11.0))
    assert rows.mask.sum(axis=0).tolist() == [1, 1, 1, 0]
    only = rows.only(np.array([False, True, False, False]))
    assert only.mask.tolist() == [[False, True, False, False]]
    assert len(rows.only(np.zeros(K, np.bool_))) == 0
    assert rows.only(np.ones(K, np.bool_)) is rows
