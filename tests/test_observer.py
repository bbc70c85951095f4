"""What the engine tells becomes numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, event, numbered, records
from fakes import TASKS, CountingLearner, processor, statistics
from prometheus_client.parser import text_string_to_metric_families

from learners.relatedness import Relatedness
from monitoring.drift import DriftFinding
from stream.checkpoints.manifest import FileRecord, Manifest
from stream.observer import WorkerObserver, worker_metrics
from stream.pipeline import Forecasts
from stream.processor import Processed, Processor
from stream.statistics import Noticed
from stream.trials import DriftDecision, DriftOutcome, Trial

NAN = float("nan")


def observer(working: Processor | None = None) -> WorkerObserver:
    """Of a processor that has seen nothing, or of this one as it is."""
    return WorkerObserver(worker_metrics(TASKS), working or processor())


def shown(watching: WorkerObserver, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(watching.render().decode()):
        for sample in family.samples:
            if sample.name == f"freshet_{name}" and sample.labels == labels:
                return sample.value
    raise KeyError(name, labels)


def worked(*rounds: list[Any]) -> tuple[Processor, WorkerObserver]:
    """A processor, and an observer of what it made of each round of events."""
    working, offset = processor(), 0
    watching = observer(working)
    for some in rounds:
        watching.step(working.process(records(some, first=offset), NOW_MS), working)
        offset += len(some)
    return working, watching


def step(**differing: Any) -> Processed:
    """A step whose labels and lesson a test chooses: two click labels, foreseen too low."""
    processed = processor().process(records(numbered([event()])), NOW_MS)
    assert processed.step is not None
    lesson = replace(processed.step.lesson, **differing.pop("lesson", {}))
    labels = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
    mask = np.array([[True, False], [True, False]])
    given: dict[str, Any] = {
        "labels": labels,
        "label_mask": mask,
        "forecasts": Forecasts(
            foreseen=np.array([[0.3, 0.9], [0.1, 0.9]], np.float32), came=labels, mask=mask
        ),
        "label_late": np.zeros((2, 2), np.bool_),
        "label_delay_s": np.array([5.0, 60.0], np.float32),
        "lesson": lesson,
    }
    return replace(processed, step=replace(processed.step, **{**given, **differing}))


class Told:
    """An observer of a processor whose steps a test makes up."""

    def __init__(self, drift: bool = True) -> None:
        self.working = processor()
        self.working.statistics = statistics(drift=drift)
        self.watching = observer(self.working)

    def __call__(self, processed: Processed) -> Sequence[DriftFinding]:
        assert processed.step is not None
        noticed = self.working.statistics.count(processed.step, NOW_MS)
        self.watching.step(replace(processed, noticed=noticed), self.working)
        return noticed.findings


def test_a_step_is_counted() -> None:
    _, watching = worked([*numbered([event(), event("bob")]), b"garbage"])
    assert shown(watching, "events_learned_total") == 2.0
    assert shown(watching, "recommendations_total") == 2.0
    assert shown(watching, "dead_letters_total", reason="not_json") == 1.0
    assert shown(watching, "applied_offset", partition="0") == 2.0
    assert (shown(watching, "users"), shown(watching, "items")) == (2.0, 1.0)
    assert shown(watching, "last_event_timestamp_seconds") == NOW_MS / 1000.0 + 1.0
    assert shown(watching, "pending_impressions") == 2.0


def test_records_that_were_seen_before_are_counted_as_such() -> None:
    working, _ = worked(numbered([event()]))
    watching = observer(working)
    watching.step(working.process(records(numbered([event()])), NOW_MS), working)
    assert shown(watching, "records_skipped_total") == 1.0
    assert shown(watching, "events_learned_total") == 0.0


def test_what_was_read_again_sent_again_and_late_is_told_apart() -> None:
    working = processor()
    watching = observer(working)
    some = [event(event_id="new"), event(event_id="old", occurred_at_ms=NOW_MS - 3_600_001)]
    for first in (0, 0, 2):
        watching.step(working.process(records(some, first=first), NOW_MS), working)
    assert shown(watching, "records_skipped_total") == 2.0
    assert shown(watching, "duplicates_total") == 2.0
    assert shown(watching, "late_events_total") == 1.0
    assert shown(watching, "events_learned_total") == 2.0


def test_ranks_become_hit_rates() -> None:
    _, watching = worked(
        numbered([event(item="a")]), numbered([event(item="a")], 1), numbered([event(item="new")], 2)
    )
    assert shown(watching, "progressive_hit_rate", window="run") == pytest.approx(1 / 3)
    assert shown(watching, "progressive_ndcg", window="run") == pytest.approx(1 / 3)
    assert shown(watching, "progressive_choices", window="sliding") == 3.0
    assert shown(watching, "candidate_recall") == 1.0
    assert watching.summary()["choices_ranked"] == 3


def test_labels_losses_and_calibration_are_shown_by_task() -> None:
    told = Told()
    watching = told.watching
    told(
        step(
            lesson={
                "task_losses": np.array([0.7, NAN], np.float32),
                "task_labels": np.array([2, 0]),
                "task_weights": np.array([2.0, 3.0]),
            }
        ),
    )
    assert shown(watching, "labels_total", task="click", positive="yes") == 1.0
    assert shown(watching, "labels_total", task="click", positive="no") == 1.0
    assert shown(watching, "labels_total", task="purchase", positive="no") == 0.0, (
        "what is not known is no negative"
    )
    assert shown(watching, "task_loss", task="click") == pytest.approx(0.7)
    assert shown(watching, "task_weight", task="purchase") == 3.0
    assert shown(watching, "task_label_mean", task="click") == 0.5
    assert shown(watching, "task_calibration_ratio", task="click") == pytest.approx(0.2 / 0.5)
    assert np.isnan(shown(watching, "task_calibration_ratio", task="purchase"))
    assert shown(watching, "label_delay_seconds_count") == 2.0


def test_relatedness_is_shown_where_both_tasks_had_labels() -> None:
    told = Told()
    watching = told.watching
    related = np.array([[1.0, -0.5], [-0.5, 1.0]], np.float32)
    both = np.ones((2, 2), np.bool_)
    told(step(label_mask=both, lesson={"relatedness": related, "task_labels": np.array([3, 1])}))
    unmet = np.array([[1.0, np.nan], [np.nan, np.nan]], np.float32)
    clicks_only = {"relatedness": unmet, "task_labels": np.array([3, 0])}
    told(step(lesson=clicks_only))  # no news of the pair
    assert shown(watching, "task_relatedness", task="click", other="purchase") == -0.5
    assert watching.summary()["relatedness"] == {"click": {"purchase": -0.5}, "purchase": {"click": -0.5}}


def test_late_labels_and_impressions_that_left_are_counted() -> None:
    told = Told()
    late = np.array([[True, False], [False, False]])
    told.working.states.pending_of(0).expired_early = 3
    told(step(label_late=late))
    told(step())
    assert shown(told.watching, "late_labels_total", task="click") == 1.0
    assert shown(told.watching, "late_labels_total", task="purchase") == 0.0
    assert shown(told.watching, "expired_impressions_total") == 3.0


def test_what_is_given_up_is_counted_by_what_it_is_and_not_again_after_a_restart() -> None:
    learner = CountingLearner()
    working = processor(learner, max_users=2, max_items=3)
    watching = observer(working)
    everybody = [event(f"u{n}", f"i{n}") for n in range(4)]
    for n, one in enumerate(everybody):
        learner.given_up["owned"] = 2 * n
        watching.step(working.process(records(numbered([one], n), first=n), NOW_MS), working)
    for what, count in (("users", 2.0), ("items", 1.0), ("pairs", 0.0), ("owned", 6.0)):
        assert shown(watching, "evictions_total", what=what) == count
    later = observer(working)
    working.process(records(numbered([event("u9", "i9")], 9), first=9), NOW_MS)
    later.step(working.process(records([b"garbage"], first=10), NOW_MS), working)
    assert shown(later, "evictions_total", what="users") == 1.0, (
        "what an earlier process counted stays its own"
    )
    assert shown(later, "evictions_total", what="owned") == 0.0


def test_how_tasks_go_together_and_their_gates_are_shown() -> None:
    told = Told()
    watching = told.watching
    related = Relatedness(2)
    related.learn_affinity(np.array([[1.0, 0.25], [0.25, NAN]], np.float32))
    gates = np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)
    told(step(lesson={"related": related, "gates": gates}))
    assert shown(watching, "task_association", measure="affinity", task="click", other="purchase") == 0.25
    assert np.isnan(
        shown(watching, "task_association", measure="affinity", task="purchase", other="purchase")
    )
    assert shown(watching, "task_gate", task="click", expert="0") == 0.75
    with pytest.raises(KeyError):
        shown(watching, "task_gate", task="purchase", expert="0")  # it has had no label
    told(step(lesson={"gates": None}))
    assert shown(watching, "task_gate", task="click", expert="0") == 0.75, "they are looked at now and then"


def test_skipped_parts_are_counted() -> None:
    told = Told()
    watching = told.watching
    told(step(lesson={"skipped": ("retrieval", "ranker", "ranker")}))
    assert shown(watching, "nonfinite_skips_total", part="ranker") == 2.0
    assert shown(watching, "nonfinite_skips_total", part="tasks") == 0.0


def test_freshness_is_from_arrival_to_publication() -> None:
    watching = observer()
    watching.published([1_000.0, 1_040.0], 1_050.0)
    watching.published([9_000.0], 5_000.0)  # clocks differ: never negative
    assert shown(watching, "freshness_seconds_count") == 3.0
    assert shown(watching, "freshness_seconds_sum") == pytest.approx(0.06)
    assert watching.summary()["freshness_ms"]["p50"] == 10.0


def test_checkpoints_are_shown() -> None:
    watching = observer()
    manifest = Manifest(
        format=1,
        number=1,
        created_at_ms=NOW_MS,
        topic="events",
        applied={},
        totals={},
        summary={},
        files={"a": FileRecord(3, 0), "b": FileRecord(4, 0)},
    )
    watching.checkpointed(manifest, 3, 0.1, 0.2)
    watching.merged(manifest, 0.5)
    watching.checkpoint_failed()
    watching.step_failed()
    assert shown(watching, "checkpoint_timestamp_seconds") == NOW_MS / 1000.0
    assert shown(watching, "checkpoint_bytes") == 7.0
    assert shown(watching, "checkpoint_deltas") == 3.0
    assert shown(watching, "checkpoint_written_bytes_total") == 14.0
    assert shown(watching, "checkpoint_merge_seconds_sum") == pytest.approx(0.5)
    assert shown(watching, "checkpoint_stall_seconds_sum") == pytest.approx(0.1)
    assert shown(watching, "checkpoint_failures_total") == 1.0
    assert shown(watching, "step_failures_total") == 1.0


def drifting(told: Told) -> list[DriftFinding]:
    found: list[DriftFinding] = []
    mask = np.zeros((64, 2), np.bool_)
    mask[:, 0] = True
    zeros = np.zeros((64, 2), np.float32)
    came = zeros.copy()
    came[::8] = 1.0
    for n in range(250):
        processed = step(
            labels=came,
            label_mask=mask,
            forecasts=Forecasts(foreseen=zeros + np.float32(0.1 if n < 200 else 0.9), came=came, mask=mask),
            label_late=np.zeros_like(mask),
            label_delay_s=zeros[:, 0],
            items=np.arange(64),
            event_time_ms=NOW_MS + 10_000 * n,
        )
        found += told(processed)
    return found


def test_drift_is_published_counted_and_summed_up() -> None:
    told = Told()
    found, watching = drifting(told), told.watching
    assert found
    worse = [finding for finding in found if finding.direction == "worse"]
    assert {(finding.signal, finding.task) for finding in worse} == {
        ("loss", "click"),
        ("calibration", "click"),
    }
    for verdict in ("act", "alone"):
        of_loss = [each for each in worse if (each.signal, each.verdict) == ("loss", verdict)]
        labels = {"signal": "loss", "task": "click", "direction": "worse", "verdict": verdict}
        assert shown(watching, "drift_findings_total", **labels) == len(of_loss)
    summary = watching.summary()
    assert summary["drift_events"] == len(found)
    assert summary["drift"][0]["task"] == "click"
    json.dumps(summary)


def test_reactions_are_counted_and_shown_while_they_last() -> None:
    told = Told()
    processed = step()
    acted = DriftDecision(
        finding=1,
        reaction="ranker",
        task="",
        decision="acted",
        since_ms=0,
        rate=2.0,
        weight=1.0,
        at_once=False,
        events=5,
        until_events=9,
        decided_at_ms=NOW_MS,
        event_time_ms=NOW_MS,
    )
    kept = DriftOutcome(
        finding=1,
        reaction="ranker",
        task="",
        outcome="kept",
        compared=40,
        difference=0.25,
        deviations=2.0,
        events=9,
        decided_at_ms=NOW_MS,
        event_time_ms=NOW_MS,
    )
    told.working.trials.running["ranker"] = Trial("ranker", 1, -1, 5, count=40, total=10.0)
    told.watching.step(replace(processed, noticed=Noticed(reacted=[acted, kept])), told.working)
    assert shown(told.watching, "drift_decisions_total", reaction="ranker", decision="acted") == 1.0
    assert shown(told.watching, "drift_outcomes_total", reaction="ranker", outcome="kept") == 1.0
    assert shown(told.watching, "drift_reaction_active", reaction="ranker") == 1.0
    assert shown(told.watching, "drift_trial_difference", reaction="ranker") == 0.25
    assert shown(told.watching, "drift_reaction_active", reaction="histories") == 0.0


def test_drift_can_be_left_alone() -> None:
    assert drifting(Told(drift=False)) == []


def test_the_summary_of_nothing_is_json() -> None:
    summary = observer().summary()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["hr10"] is None
    assert summary["relatedness"] == {}


def test_what_slates_show_is_counted() -> None:
    _, watching = worked(
        numbered([event(item="a")]), numbered([event(item="b")], 1), numbered([event("bob", item="b")], 2)
    )
    assert shown(watching, "places_total", placed="ranked") == 5.0
    assert shown(watching, "source_places_total", source="repeat") == 5.0
    assert shown(watching, "repeat_places_total") == 4.0, "Bob has seen one of his two items"
    assert shown(watching, "new_item_places_total") == 0.0
    assert shown(watching, "slate_coverage_ratio") == 1.0
    assert shown(watching, "slate_gini") == pytest.approx(0.1)
    # a, then b and a of two events, then both of three: -log2((c + 1) / (n + 1)) each.
    expected = -np.log2([2 / 2, 2 / 3, 2 / 3, 3 / 4, 2 / 4]).sum()
    assert shown(watching, "place_novelty_bits_total") == pytest.approx(expected)


def test_answers_count_by_source_and_place() -> None:
    working = processor()
    watching = observer(working)
    first = working.process(records(numbered([event(item="a")])), NOW_MS)
    watching.step(first, working)
    slate = first.recommendations[0].recommendation_id
    told = [
        event(event_id=kind, kind=kind, item="a", recommendation_id=slate, position=0)
        for kind in ("impression", "click", "like")
    ]
    told.append(event(event_id="other", item="a", recommendation_id="of somebody else", position=0))
    watching.step(working.process(records(told, first=1), NOW_MS), working)
    for name in ("shown", "clicked", "satisfied"):
        assert shown(watching, f"{name}_places_total", source="repeat", places="1-3") == 1.0
        assert shown(watching, f"{name}_places_total", source="repeat", places="4-6") == 0.0


def test_gradients_step_sizes_and_quality_of_forecasts_are_shown_by_task() -> None:
    told = Told()
    watching = told.watching
    told(
        step(
            lesson={
                "gradient_norms": np.array([2.5, NAN], np.float32),
                "learning_rates": {"heads": 0.25, "ranker": 0.5},
            }
        ),
    )
    assert shown(watching, "task_gradient_norm", task="click") == 2.5
    assert np.isnan(shown(watching, "task_gradient_norm", task="purchase"))
    assert shown(watching, "learning_rate", part="heads") == 0.25
    assert shown(watching, "task_auc", task="click") == 1.0
    assert shown(watching, "task_calibration_error", task="click") == pytest.approx((0.7 + 0.1) / 2)
    assert shown(watching, "task_window_labels", task="click") == 2.0
    assert shown(watching, "task_window_labels", task="purchase") == 0.0


def test_the_time_that_watching_takes_is_counted() -> None:
    told = Told()
    watching = told.watching
    told(step())
    assert 0.0 < shown(watching, "observer_seconds_total") < 1.0
