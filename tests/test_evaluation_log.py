"""Several files become one log in the order of time."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sources.files import LogError
from stream.evaluation.log import read_log


def written(path: Path, *rows: tuple[int, str, str, str]) -> Path:
    lines = ["timestamp,user_id,item_id,event_type", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_logs_are_merged_by_time_and_ties_keep_the_order_of_the_files(tmp_path: Path) -> None:
    one = written(tmp_path / "one.csv", (1, "ann", "a", "click"), (3, "ann", "b", "click"))
    two = written(tmp_path / "two.csv", (1, "bob", "c", "click"), (2, "bob", "d", "click"))
    log = read_log([one, two])
    assert [event.item_id for event in log.events] == ["a", "c", "d", "b"]
    assert (log.name, log.notices) == ("one+two", ())


def test_an_unsorted_log_is_sorted_and_says_so(tmp_path: Path) -> None:
    log = read_log([written(tmp_path / "one.csv", (3, "ann", "b", "click"), (1, "ann", "a", "click"))])
    assert [event.item_id for event in log.events] == ["a", "b"]
    assert log.notices == ("one is not in the order of time and was sorted.",)


def test_only_the_wanted_types_are_read_by_any_of_their_names(tmp_path: Path) -> None:
    path = written(
        tmp_path / "one.csv", (1, "ann", "a", "view_item"), (2, "ann", "b", "click"), (3, "ann", "c", "tag")
    )
    log = read_log([path], types=frozenset({"page_view", "tag"}))
    assert [(event.event_type, event.item_id) for event in log.events] == [("view", "a"), ("tag", "c")]
    assert log.types == {"view": 1, "tag": 1}


def test_a_limit_keeps_the_earliest(tmp_path: Path) -> None:
    path = written(tmp_path / "one.csv", (3, "ann", "b", "click"), (1, "ann", "a", "click"))
    assert [event.item_id for event in read_log([path], limit=1).events] == ["a"]


def test_a_log_without_anything_to_evaluate_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "one.csv", (1, "ann", "a", "click"))
    with pytest.raises(LogError, match="no events of the types rating"):
        read_log([path], types=frozenset({"rating"}))
