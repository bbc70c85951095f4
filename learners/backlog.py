"""Rows that wait until there are enough of them for a gradient step: how finely the stream was cut must not matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.context_fields import NO_CONTEXT, ContextFields
from learners.event_batch import EventBatch, Histories, IntArray
from learners.pace import gradient_steps
from learners.row_index import ABSENT
from learners.state_arrays import Arrays, nest, unnest
from learners.take_columns import take_columns
from learners.task_axes import COUNTED, Axis, TaskAxes

_OF_HISTORIES = tuple(Histories.__dataclass_fields__)
_OF_ROWS = ("item_rows", "position", "target", "labels", "label_mask", "late", "shown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Rows for one gradient step.

    Attributes:
        batch: The rows.
        choices: (T,) which of them are choices.
        labelled: (L,) which of them have labels.
    """

    batch: EventBatch
    choices: IntArray
    labelled: IntArray


class Backlog:
    """Collects choices and labelled rows.

    Args:
        choices_per_step: So many choices make a step, and more where many come at once, see `gradient_steps`.
        labels_per_step: Or so many rows with labels.
        context: What histories hold of their events' contexts.
    """

    def __init__(
        self, *, choices_per_step: int, labels_per_step: int, context: ContextFields = NO_CONTEXT
    ) -> None:
        self._choices_per_step, self._labels_per_step = choices_per_step, labels_per_step
        self._fields = context
        self._batch: EventBatch | None = None

    def add(self, batch: EventBatch, choices: IntArray, labelled: IntArray) -> list[Load]:
        """Take in rows; returns the steps that there are enough rows for, after which none wait.

        Args:
            batch: Where the rows are.
            choices: (T,) its choices.
            labelled: (L,) its rows with labels; one that is a choice too waits twice.
        """
        rows = np.concatenate([choices, labelled])
        if len(rows):
            added = replace(batch.take(rows), target=np.arange(len(rows)) < len(choices))
            self._batch = added if self._batch is None else _joined(self._batch, added)
        if self._batch is None:
            return []
        waiting = np.flatnonzero(self._batch.target), np.flatnonzero(~self._batch.target)
        steps = gradient_steps(
            max(len(waiting[0]) // self._choices_per_step, len(waiting[1]) // self._labels_per_step)
        )
        if not steps:
            return []
        whole, self._batch = self._batch, None
        choices, labelled = waiting
        return [
            Load(batch=whole, choices=some, labelled=others)
            for some, others in zip(
                np.array_split(choices, steps),
                _split(labelled, whole.histories.lists(whole.sequence[labelled]), steps),
                strict=True,
            )
        ]

    def forget_items(self, rows: IntArray) -> None:
        """Nothing more is learned of items that are gone."""
        if self._batch is None:
            return
        kept = ~np.isin(self._batch.item_rows, rows)
        batch = self._batch.take(np.flatnonzero(kept))
        self._batch = replace(batch, histories=_without(batch.histories, rows)) if len(batch) else None

    def state_dict(self) -> Arrays:
        """The rows that wait."""
        if self._batch is None:
            return {}
        arrays: Arrays = {
            name: getattr(self._batch, name).copy() for name in _OF_ROWS if _has(self._batch, name)
        }
        return {
            **arrays,
            **nest(
                "histories", {name: getattr(self._batch.histories, name).copy() for name in _OF_HISTORIES}
            ),
            **nest("context_fields", self._fields.state_dict()),
            "sequence": self._batch.sequence.copy(),
        }

    @staticmethod
    def task_axes(shown: Axis) -> TaskAxes:
        """Where the tasks are in it, given where they are in what was said of an impression."""
        return {**{name: {1: COUNTED} for name in ("labels", "label_mask", "late")}, "shown": {1: shown}}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; of contexts what the fields have in common with those of then."""
        if not arrays:
            self._batch = None
            return
        histories = {name: array.copy() for name, array in unnest("histories", arrays).items()}
        histories["context"] = self._fields.taken_over(
            histories.get("context"), unnest("context_fields", arrays), *histories["item_rows"].shape
        )
        self._batch = EventBatch(
            histories=Histories(**histories),
            sequence=arrays["sequence"].copy(),
            **_columns({name: arrays[name].copy() for name in _OF_ROWS if name in arrays}),
        )


def _split(rows: IntArray, lists: IntArray, parts: int) -> list[IntArray]:
    """Rows (L,) in parts of about the same size; those of one list (L,) that follow each other stay together."""
    ends = np.append(np.flatnonzero(np.diff(lists)) + 1, len(rows))
    wanted = len(rows) * np.arange(1, parts) // parts
    return np.split(rows, ends[np.searchsorted(ends, wanted)])


def _joined(one: EventBatch, other: EventBatch) -> EventBatch:
    """The rows of both, with histories as long as the other's: a checkpoint may have been made with another length."""
    waited = one.histories.of_length(other.histories.item_rows.shape[1])
    histories = Histories(
        **{
            name: np.concatenate([getattr(waited, name), getattr(other.histories, name)])
            for name in _OF_HISTORIES
        }
    )
    columns = {
        name: np.concatenate([getattr(one, name), getattr(other, name)])
        for name in _OF_ROWS
        if _has(one, name) and _has(other, name)
    }
    return EventBatch(
        histories=histories,
        sequence=np.concatenate([one.sequence, other.sequence + len(one.histories)]),
        **_columns(columns),
    )


def _without(histories: Histories, rows: IntArray) -> Histories:
    """Histories in which items `rows` do not occur; what is left stands at the right end again."""
    items = np.where(np.isin(histories.item_rows, rows), ABSENT, histories.item_rows)
    order = np.argsort(items != ABSENT, axis=1, kind="stable")
    return replace(
        histories,
        item_rows=take_columns(items, order),
        types=take_columns(histories.types, order),
        age_s=take_columns(histories.age_s, order),
        context=take_columns(histories.context, order),
    )


def _has(batch: EventBatch, column: str) -> bool:
    return getattr(batch, column) is not None


def _columns(columns: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """By their names in `EventBatch`, whose columns differ in type."""
    return dict(columns)
