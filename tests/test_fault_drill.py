"""What the drill of faults calls wrong: its own checks, without a broker."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner

import benchmarks.faults
from benchmarks.__main__ import main
from benchmarks.faults.damage import finished_folders, not_noticed
from benchmarks.faults.events import log, shoppers
from benchmarks.faults.tally import Tally
from benchmarks.faults.team import stale, started_again, unanswered
from connectors.recommendation import ModelVersion, Recommendation


def slate(event_id: str, user_id: str = "u0") -> Recommendation:
    return Recommendation(
        recommendation_id=f"r-{event_id}",
        user_id=user_id,
        trigger_event_id=event_id,
        generated_at_ms=0,
        model=ModelVersion(version="1", step=1),
        outcome="ok",
        items=[],
    )


def test_a_slate_of_older_state_is_found_and_a_repeated_one_is_none() -> None:
    events = log(60)
    assert stale([slate("e0"), slate("e20"), slate("e20"), slate("e40")], events) == []
    assert stale([slate("e20"), slate("e0"), slate("e40")], events) == ["u0: e0 is answered after e20"]


def test_a_last_event_without_an_answer_is_found() -> None:
    events = log(2)
    answers = [slate(event.event_id, event.user_id) for event in events]
    assert unanswered(answers, events) == []
    assert unanswered(answers[:1], events) == ["u7: the last slate answers nothing, not e1"]


def test_what_a_merge_had_begun_when_it_was_killed_is_not_there_to_be_damaged(tmp_path: Path) -> None:
    for name in ("000000000011.full", "000000000012.delta", "000000000012.full"):
        (tmp_path / name).mkdir()
    for name in ("000000000011.full", "000000000012.delta"):
        (tmp_path / name / "manifest.json").touch()
    assert [folder.name for folder in finished_folders(tmp_path, 12)] == ["000000000012.delta"]


@pytest.mark.parametrize(
    "line",
    [
        "checkpoint 12 cannot be used: no bytes",
        "checkpoint folder 000000000012.delta is damaged: the checksum does not fit",
        "checkpoint 12 was never finished (000000000012.delta)",
    ],
)
def test_a_log_names_the_checkpoint_and_the_one_that_is_used(line: str) -> None:
    assert not_noticed(f"ERROR {line}\nINFO restored checkpoint=11 users=3", 12) == []
    assert len(not_noticed(f"ERROR {line}\nINFO restored checkpoint=12 users=3", 12)) == 1
    assert len(not_noticed(f"ERROR {line}", 12)) == 1
    assert len(not_noticed("INFO restored checkpoint=11 users=3", 12)) == 1


async def test_only_what_was_logged_since_counts(tmp_path: Path) -> None:
    worker_log = tmp_path / "worker.log"
    worker_log.write_text("stood still for 9 s\nassigned partitions=[0]\n")
    assert await started_again(worker_log)
    assert not await started_again(worker_log, worker_log.stat().st_size)


def test_a_row_says_what_went_wrong() -> None:
    tally = Tally("a fault", "nothing wrong", times=4, limit_s=15.0)
    tally.trial([], 3.0, "once")
    tally.trial([], 16.0, "slowly")
    tally.trial(list("abcde"), 1.0, "badly")
    row = tally.row()
    assert (row["times"], row["went_well"], row["worst_s"]) == (4, 1, 16.0)
    assert row["went_wrong"] == (
        "trial 2 (slowly): 16.0 s; trial 3 (badly): a, b, c, and 2 more; 1 trials were not made"
    )


@pytest.mark.parametrize(("went_wrong", "code"), [("", 0), ("something", 1)])
def test_the_exit_code_says_whether_all_went_well(
    monkeypatch: pytest.MonkeyPatch, went_wrong: str, code: int
) -> None:
    rows = [{"fault": "a fault", "went_wrong": went_wrong}]
    monkeypatch.setattr(benchmarks.faults, "measure", lambda quick: rows)
    assert CliRunner().invoke(main, ["faults"]).exit_code == code


def test_shoppers_are_the_same_for_a_seed() -> None:
    one, other = (list(islice(shoppers(random.Random(3)), 500)) for _ in range(2))
    assert one == other
    assert len(Counter(event.event_id for event in one)) == 500
