"""What tasks have to go by, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from batches import START_S, TASKS, choices
from checkpointed import different
from models import learner

from learners.event_batch import EventBatch, Happenings
from learners.evidence import Evidence

CLICK = 0


def happening(at_s: float) -> Happenings:
    """An event that says nothing but when it is."""
    one = np.zeros(1, np.int64)
    no = np.zeros(1, np.bool_)
    return Happenings(
        users=one, items=one, now_s=np.array([at_s]), shown=no, acquired=no, supply=np.zeros(1, np.int8)
    )


def shown(at_s: float, labels: list[float], *, late: bool = False) -> EventBatch:
    """Clicks that are known of impressions of one moment."""
    batch = choices([[1]] * len(labels), [2] * len(labels), now_s=at_s)
    batch.target[:] = False
    batch.labels[:, CLICK], batch.label_mask[:, CLICK] = labels, True
    flags = np.zeros_like(batch.label_mask)
    flags[:, CLICK] = late
    return replace(batch, late=flags)


def test_a_task_has_as_much_to_go_by_as_labels_of_its_rarer_kind() -> None:
    evidence = Evidence(TASKS)
    evidence.learn_many(shown(START_S, [0.0, 0.0, 0.0]))
    assert not evidence.answered.any()
    assert evidence.amounts[CLICK] == 0.0
    evidence.learn_many(shown(START_S, [1.0, 0.0]))
    assert evidence.answered.tolist() == [True, False, False]
    assert evidence.amounts[CLICK] == 1.0


def test_only_a_negative_that_was_taught_is_corrected() -> None:
    """Nothing is taught by what closes before anybody has ever answered."""
    evidence = Evidence(TASKS)
    before = shown(START_S, [1.0], late=True)
    evidence.learn_many(shown(START_S, [0.0]))
    evidence.learn_many(shown(START_S + 300.0, [1.0]))
    assert not evidence.late(before).any()  # type: ignore[union-attr]
    after = shown(START_S + 301.0, [1.0], late=True)
    assert evidence.late(after)[:, CLICK].all()  # type: ignore[union-attr]
    again = Evidence(TASKS)
    again.load_state_dict(evidence.state_dict())
    assert not again.late(before).any()  # type: ignore[union-attr]
    assert again.late(after)[:, CLICK].all()  # type: ignore[union-attr]
    assert evidence.late(replace(after, late=None)) is None


def test_of_a_state_that_does_not_say_when_an_answer_corrects_whatever_it_is_said_to() -> None:
    evidence, again = Evidence(TASKS), Evidence(TASKS)
    evidence.learn_many(shown(START_S, [1.0, 0.0]))
    saved = evidence.state_dict()
    del saved["answered_s"]
    again.load_state_dict(saved)
    assert again.late(shown(START_S - 60.0, [1.0], late=True))[:, CLICK].all()  # type: ignore[union-attr]


def test_a_type_that_begins_to_be_sent_takes_nothing_back() -> None:
    """A model that is told of late answers learns what one does that is told of answers."""
    states = []
    for late in (True, False):
        model = learner(choices_per_step=4, labels_per_step=4)
        shown_then = [shown(START_S + second, [1.0, 0.0], late=late) for second in range(5)]
        shown_then[0] = replace(shown_then[0], happenings=happening(START_S + 300.0))
        for batch in (shown(START_S, [0.0] * 50), *shown_then):
            model.learn_many(batch, model.predict_many(batch))
        states.append({"learner": model.state_dict()})
    assert different(*states) == []
