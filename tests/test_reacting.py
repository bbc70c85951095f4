"""A whole processor that reacts: a checkpoint in the middle changes nothing, and when it is over nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import NOW_MS
from checkpointed import Shop, built, different, restored, write
from test_trials import LESSON, finding

from monitoring.drift import DriftFinding
from stream.checkpoints.store import CheckpointStore
from stream.processor import Processor

BOUNDS = {
    "monitoring": {
        "reaction_events": 60,
        "trial_events": 30,
        "reactions": ["histories", "ranker", "head_boost"],
    }
}
FOUND = [finding("slates", since_ms=NOW_MS + 200_000), finding("loss", "click")]


def react(processor: Processor, findings: list[DriftFinding]) -> None:
    processor.trials.follow(
        findings, LESSON, events=processor.statistics.events_seen, now_ms=NOW_MS, event_time_ms=NOW_MS
    )


def test_a_checkpoint_amid_reactions_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    shop, again = Shop(3), Shop(3)
    undisturbed, killed = built(**BOUNDS), built(**BOUNDS)
    for processor, events in ((undisturbed, shop), (killed, again)):
        for _ in range(12):
            events.step(processor)
        react(processor, FOUND)
        assert set(processor.trials.running) == {"histories", "ranker", "heads"}
        for _ in range(3):
            events.step(processor)
    write(killed, CheckpointStore(tmp_path))
    after = restored(CheckpointStore(tmp_path), **BOUNDS)
    assert after.trials.running == undisturbed.trials.running != {}
    for _ in range(20):
        shop.step(undisturbed)
        again.step(after)
    assert different(undisturbed.state_dicts(), after.state_dicts()) == []
    assert after.trials.running == {}, "all reactions are over"
    knobs = after.pipeline.learner.state_dict()
    assert not [name for name in knobs if name.startswith("knobs.shadow")]
    assert (knobs["knobs.adjusted"] == 1.0).all()
    assert knobs["knobs.ranker_rate"].tolist() == [1.0]


def test_a_view_of_histories_leaves_no_trace_in_what_is_learned() -> None:
    """Nobody answers these slates, so that all that is learned comes from the same events."""
    shop, again = Shop(5), Shop(5)
    plain, reacting = built(**BOUNDS), built(**BOUNDS)
    for _ in range(10):
        shop.step(plain)
        again.step(reacting)
    react(reacting, [finding("slates", since_ms=NOW_MS + 10**12)])
    reacting.pipeline.learner.settle("ranker", keep=False)  # type: ignore[attr-defined]
    for _ in range(25):
        shop.step(plain)
        again.step(reacting)
    one, other = plain.pipeline.learner.state_dict(), reacting.pipeline.learner.state_dict()
    learned = [
        name for name in one if name.startswith(("neural.", "ranker.parameter", "counts.", "backlog."))
    ]
    assert learned
    assert (
        different({"learner": {n: one[n] for n in learned}}, {"learner": {n: other[n] for n in learned}})
        == []
    )


def test_other_tasks_end_all_reactions(tmp_path: Path) -> None:
    shop, before = Shop(1), built(**BOUNDS)
    for _ in range(10):
        shop.step(before)
    react(before, FOUND)
    write(before, CheckpointStore(tmp_path))
    tasks = [{"name": "view", "event_types": ["view"]}]
    after = restored(CheckpointStore(tmp_path), tasks=tasks, **BOUNDS)
    assert after.trials.running == {}
    assert not [name for name in after.pipeline.learner.state_dict() if name.startswith("knobs.shadow")]


def test_older_checkpoints_watch_anew(tmp_path: Path) -> None:
    shop, before = Shop(2), built()
    for _ in range(6):
        shop.step(before)
    pieces = before.state_dicts()
    kept = {
        name: array
        for name, array in pieces["statistics"].items()
        if not name.startswith(("drift.", "columns.", "reactions."))
    }
    after = built()
    after.load({**pieces, "statistics": {**kept, "drift.sum": kept["labels"]}}, before.totals_dict())
    assert after.statistics.found == 0
    assert after.statistics.ranking.scored == before.statistics.ranking.scored
    shop.step(after)


@pytest.mark.parametrize("section", [{"trial_events": 13_000}, {"reactions": ["more"]}])
def test_impossible_settings_are_refused(section: dict[str, object]) -> None:
    with pytest.raises(Exception, match=r"trial_events|reactions"):
        built(monitoring=section)
