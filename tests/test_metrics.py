"""The exposition: names, bounded labels, and two registries that do not meet."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitoring.metrics import Metrics

TASKS = ["click", "buy"]
REASONS = ["not_json", "bad_id"]


def metrics() -> Metrics:
    return Metrics(
        TASKS,
        REASONS,
        signals=[
            ("loss", "buy", [("worse", "act"), ("worse", "alone"), ("better", "better")]),
            ("popularity", "", [("changed", "neutral")]),
        ],
        reactions=("ranker",),
        decisions=("acted",),
        outcomes=("undone",),
    )


def samples(shown: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(shown.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_name_is_ours_or_the_processs() -> None:
    names = {name for name, _ in samples(metrics())}
    assert all(name.startswith(("freshet_", "process_", "python_")) for name in names)
    assert "freshet_events_learned_total" in names
    assert "process_resident_memory_bytes" in names


def test_what_is_counted_is_shown() -> None:
    shown = metrics()
    shown.events.inc(5)
    shown.dead_letters["bad_id"].inc()
    shown.labels[1][1].inc(2)
    shown.relatedness[0][1].set(-0.5)
    shown.drift["loss", "buy", "worse", "act"].inc()
    shown.outcomes["ranker", "undone"].inc()
    shown.freshness.observe([0.03])
    found = samples(shown)
    assert found["freshet_events_learned_total", ()] == 5.0
    assert found["freshet_dead_letters_total", (("reason", "bad_id"),)] == 1.0
    assert found["freshet_labels_total", (("positive", "yes"), ("task", "buy"))] == 2.0
    assert found["freshet_task_relatedness", (("other", "buy"), ("task", "click"))] == -0.5
    loss = (("direction", "worse"), ("signal", "loss"), ("task", "buy"), ("verdict", "act"))
    assert found["freshet_drift_findings_total", loss] == 1.0
    other = (("direction", "changed"), ("signal", "popularity"), ("task", ""), ("verdict", "neutral"))
    assert found["freshet_drift_findings_total", other] == 0.0
    assert found["freshet_drift_outcomes_total", (("outcome", "undone"), ("reaction", "ranker"))] == 1.0
    assert found["freshet_freshness_seconds_bucket", (("le", "0.02"),)] == 0.0
    assert found["freshet_freshness_seconds_bucket", (("le", "0.05"),)] == 1.0


def test_counters_stand_there_from_the_start() -> None:
    """A rate needs the zero before the first event."""
    found = samples(metrics())
    for reason in REASONS:
        assert found["freshet_dead_letters_total", (("reason", reason),)] == 0.0
    for part in ("retrieval", "tasks", "ranker"):
        assert found["freshet_nonfinite_skips_total", (("part", part),)] == 0.0


def test_partitions_get_their_child_once() -> None:
    shown = metrics()
    shown.applied.set(3, 7)
    shown.applied.set(3, 9)
    shown.applied.set(0, 1)
    found = samples(shown)
    offsets = {labels: value for (name, labels), value in found.items() if name == "freshet_applied_offset"}
    assert offsets == {(("partition", "3"),): 9.0, (("partition", "0"),): 1.0}


def test_two_registries_do_not_meet() -> None:
    one, other = metrics(), metrics()
    one.events.inc()
    assert samples(other)["freshet_events_learned_total", ()] == 0.0


@pytest.mark.parametrize("edge", ["0.2", "1.0"])
def test_freshness_objectives_are_bucket_edges(edge: str) -> None:
    assert ("freshet_freshness_seconds_bucket", (("le", edge),)) in samples(metrics())
