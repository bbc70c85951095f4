"""The product in one call: predict, learn, update, recommend. No clock, no I/O, no Faust."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from connectors.event import Event
from connectors.named_numbers import numbers_named
from connectors.recommendation import OTHER_PARTS, ModelVersion, Recommendation, RecommendedItem
from learners.candidates import SOURCES, Candidates
from learners.event_batch import BoolArray, FloatArray, IntArray, described_only, is_described
from learners.exploration import PLACED
from learners.filters import FILTERS
from learners.learner import Learner, Lesson, Slates
from learners.row_index import ABSENT, RowIndex
from stream.attribution import Attribution
from stream.batching import Arrivals, Batcher
from stream.event_columns import EventColumns
from stream.ledger import Ledger
from stream.slate_ids import slate_id, slate_number
from stream.user_states import UserStates

Placed = Literal["ranked", "explored", "new"]

_DIGITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasts:
    """What had been foreseen of N impressions when they were made, and what has come of them.

    Each impression is here once for each task: when its window closes, or its value comes.

    Attributes:
        foreseen: (N, K) probabilities, or expected values.
        came: (N, K) 0 or 1, or values.
        mask: (N, K) which tasks are settled.
    """

    foreseen: FloatArray
    came: FloatArray
    mask: BoolArray

    def __len__(self) -> int:
        return len(self.came)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedColumns:
    """What stands in S slates of N places.

    Attributes:
        ids: (S,) numbers of the slates.
        item_rows: (S, N), `ABSENT` where a slate is shorter.
        sources: (S, N) number in `candidates.SOURCES` of the source that brought the item.
        repeats: (S, N) whether the item stands in the user's history.
        new: (S, N) whether it is new.
        before: Places that the same users' former slates had filled.
        kept: How many of their items stand in these slates too.
    """

    ids: NDArray[np.uint64]
    item_rows: IntArray
    sources: IntArray
    repeats: BoolArray
    new: BoolArray
    before: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Served:
    """Slates that were made.

    Attributes:
        recommendations: One a user.
        removed: How many candidates each filter left out.
        placed: How many places went to what was composed, tried, and tried because it is new.
        columns: What stands in them, in the same order; None where there are none.
    """

    recommendations: list[Recommendation] = field(default_factory=list)
    removed: Mapping[str, int] = field(default_factory=dict)
    placed: Mapping[str, int] = field(default_factory=dict)
    columns: ServedColumns | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step did, in arrays that anybody may watch.

    Attributes:
        events: How many events were learned.
        followed: How many were another worker's and only counted.
        late: How many of those that were learned came too late to enter a history and to be learned as a choice.
        ranked_events: (T,) which of the step's events were ranked: the choices that no list had shown.
        ranks: (T,) zero-based ranks of the chosen items, before they were learned; -1 not found.
        was_candidate: (T,) whether the ranker compared the chosen item: others were not retrieved, or stayed behind.
        known: (T,) whether the chosen item had been chosen before.
        repeats: (T,) whether it stood in the user's own history.
        candidates: Of the T choices; what else was retrieved stands behind them.
        scores: (T, C) the ranker's scores of the candidates.
        forecasts: What was settled.
        labels: (L, K) labels that became known, for learning: a no before its window closes, and corrected where a
            yes comes after all.
        label_mask: (L, K) which of them are known.
        label_late: (L, K) which are positives that correct a negative.
        label_delay_s: (L,) from impression to label, event time.
        lesson: What the learner reports.
        model_step: The model's step after this one.
        event_time_ms: Newest event time of the step.
        items: (B,) item rows of all events.
        types: (B,) their event types' numbers.
        slates: One for each user whom the step touched; none where no slates were asked for.
        answering: This worker's events that name the slate and the place in which their item was shown.
    """

    events: int
    followed: int
    late: int
    ranked_events: IntArray
    ranks: IntArray
    was_candidate: BoolArray
    known: BoolArray
    repeats: BoolArray
    candidates: Candidates
    scores: FloatArray
    forecasts: Forecasts
    labels: FloatArray
    label_mask: BoolArray
    label_late: BoolArray
    label_delay_s: FloatArray
    lesson: Lesson
    model_step: int
    event_time_ms: int
    items: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    types: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    slates: Served = field(default_factory=Served)
    answering: Sequence[Event] = ()

    @property
    def recommendations(self) -> list[Recommendation]:
        """The slates as they are published."""
        return self.slates.recommendations


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What of a step is this worker's, where several share the partitions.

    Attributes:
        own: (B,) which events are. The others are followed: they enter counts, histories and labels, and neither
            forecasts nor gradients.
        served: (B,) which events may be answered with a slate.
    """

    own: BoolArray
    served: BoolArray


class Pipeline:
    """Applies events to a learner and to users' states.

    Args:
        learner: The model.
        batcher: Turns rows into columns.
        attribution: Finds labels.
        max_items: Bound of the catalogue; beyond, items that were silent for longest are forgotten.
        slate_size: Places of a slate.
    """

    def __init__(
        self, learner: Learner, batcher: Batcher, attribution: Attribution, *, max_items: int, slate_size: int
    ) -> None:
        self.learner = learner
        self.batcher = batcher
        self.items = RowIndex(max_items)
        self.ledger = Ledger(learner.tasks)
        self._attribution = attribution
        self._slate_size = slate_size

    def step(
        self,
        events: Sequence[Event],
        states: UserStates,
        now_ms: int,
        *,
        slates: bool = True,
        simultaneous: bool = False,
        partitions: Sequence[int] | None = None,
        share: Share | None = None,
    ) -> Step:
        """Predict before learning, learn, apply to the states, and recommend from the newest state.

        Args:
            events: In the order of their partitions' offsets.
            states: The users; changed in place.
            now_ms: When this happens, for the recommendations' time stamps.
            slates: Whether to recommend; who only measures the predictions does without.
            simultaneous: The events happened at one moment, so that none may know of another, not even from
                its user's history.
            partitions: Where each event comes from; None where nobody asks.
            share: What is this worker's; everything where it is None.

        Raises:
            FloatingPointError: The learner's scores are not numbers.
        """
        arrivals = self.batcher.arrivals(
            events, states, self.items, partitions=partitions, simultaneous=simultaneous
        )
        evicted = self.items.take_evicted()
        if len(evicted):
            states.forget_items(evicted)
            self.learner.forget_items(evicted)
            self.ledger.forget_items(evicted)
        self.learner.forget_users(states.take_forgotten())
        columns = arrivals.columns
        states.make_room(columns)
        described = self._describe(arrivals, states, share)
        labels = self._attribution.observe(columns, arrivals.position, arrivals.values, states, described)
        self.ledger.count(columns.items, labels)
        # Of a task that nobody ever answered, silence says nothing; its rows would only cost.
        labels = labels.only(self.learner.answered | (labels.labels > 0.0).any(axis=0))
        own = None if share is None else share.own
        batch = self.batcher.batch(arrivals, labels, states, len(self.learner.tasks), own)
        predictions = self.learner.predict_many(batch)
        lesson = self.learner.learn_many(batch, predictions)
        states.apply(columns)

        targets = predictions.targets
        chosen = batch.item_rows[targets][:, None]
        taught = np.flatnonzero(labels.own)
        settled = np.flatnonzero(is_described(labels.settled.shown))
        served = self._answer(events, columns, states, now_ms, share) if slates else Served()
        return Step(
            events=len(events) if share is None else int(share.own.sum()),
            followed=0 if share is None else int((~share.own).sum()),
            late=int((arrivals.late if own is None else arrivals.late & own).sum()),
            ranked_events=np.flatnonzero(arrivals.target)[targets],
            ranks=predictions.ranks,
            was_candidate=(predictions.candidates.rows == chosen).any(axis=1),
            known=predictions.known,
            repeats=(batch.histories.item_rows[batch.sequence[targets]] == chosen).any(axis=1),
            candidates=predictions.candidates,
            scores=predictions.scores,
            forecasts=Forecasts(
                foreseen=predictions.settled_scores[settled],
                came=labels.settled.labels[settled],
                mask=labels.settled.mask[settled],
            ),
            labels=labels.labels[taught],
            label_mask=labels.mask[taught],
            label_late=labels.late[taught],
            label_delay_s=labels.delay_s[taught],
            lesson=lesson,
            model_step=self.learner.step,
            event_time_ms=int(columns.times_ms.max()),
            items=columns.items,
            types=columns.types,
            slates=served,
            answering=[
                event
                for n, event in enumerate(events)
                if event.recommendation_id is not None
                and event.position is not None
                and (own is None or own[n])
            ],
        )

    def _describe(self, arrivals: Arrivals, states: UserStates, share: Share | None) -> FloatArray:
        """(B, R) what is known and foreseen of each event's user and item; NaN where it is followed only."""
        columns, position = arrivals.columns, arrivals.position
        if share is None or share.own.all():
            histories, sequence = self.batcher.moments(columns, states)
            return self.learner.describe(histories, sequence, columns.items, position)
        own = np.flatnonzero(share.own)
        histories, sequence = self.batcher.moments(columns, states, own)
        said = self.learner.describe(histories, sequence, columns.items[own], position[own])
        return described_only(said, own, len(position))

    def _answer(
        self,
        events: Sequence[Event],
        columns: EventColumns,
        states: UserStates,
        now_ms: int,
        share: Share | None,
    ) -> Served:
        """One slate for each user who did something; its trigger is the user's last event of the step."""
        may = self.batcher.is_behaviour(columns)
        behaviour = np.flatnonzero(may if share is None else may & share.served)
        touched, last_from_end = np.unique(columns.users[behaviour][::-1], return_index=True)
        triggers = [events[n] for n in behaviour[len(behaviour) - 1 - last_from_end].tolist()]
        return self._recommend(triggers, touched, states, now_ms) if triggers else Served()

    def answer(self, triggers: Sequence[Event], states: UserStates, now_ms: int) -> Served:
        """Slates of the newest state for events that were applied earlier, at most one of a user.

        Args:
            triggers: The events; those of users who are forgotten by now get none.
            states: The users.
            now_ms: When this happens.
        """
        rows = np.array([states.index.row(event.user_id) for event in triggers], np.int64)
        known = np.flatnonzero(rows != ABSENT)
        if not len(known):
            return Served()
        return self._recommend([triggers[n] for n in known.tolist()], rows[known], states, now_ms)

    def preview(self, user: int, states: UserStates, *, as_of: int, moment_ms: int) -> list[RecommendedItem]:
        """The slate that a user would get; nothing changes.

        Args:
            user: The user's row.
            states: The users.
            as_of: How many events of the user's history count.
            moment_ms: At which moment, event time.
        """
        histories = states.histories(np.array([user]), np.array([as_of]), np.array([moment_ms]))
        return next(self._written(self.learner.preview(histories, self._slate_size)))

    def _written(self, slates: Slates) -> Iterator[list[RecommendedItem]]:
        """The slates' filled places as they are published."""
        names = {row: self.items.id(row) for row in np.unique(slates.item_rows).tolist() if row != ABSENT}
        names |= {row: self.items.id(row) for row in np.unique(slates.because).tolist() if row != ABSENT}
        trained = slates.trained.tolist()
        tasks = [task.name for task, known in zip(self.learner.tasks, trained, strict=True) if known]
        places = _Places.of(slates, tasks)
        return (places.items(n, names) for n in range(len(slates.item_rows)))

    def _recommend(
        self, triggers: Sequence[Event], touched: IntArray, states: UserStates, now_ms: int
    ) -> Served:
        """A slate for each of the users in rows `touched`, who differ, of their newest state."""
        times_ms = np.array([event.occurred_at_ms for event in triggers], np.int64)
        moments_ms = np.maximum(times_ms, states.newest_ms(touched))
        histories = states.histories(touched, states.remembered(touched), moments_ms)
        slates = self.learner.recommend(histories, self._slate_size)
        written = self._written(slates)
        model = ModelVersion(version=self.learner.version, step=self.learner.step)
        recommendations = []
        ids = np.empty(len(touched), np.uint64)
        for n, (event, items) in enumerate(zip(triggers, written, strict=True)):
            number = slate_number(event, self.learner.version)
            ids[n] = number
            recommendations.append(
                Recommendation(
                    recommendation_id=slate_id(number),
                    user_id=event.user_id,
                    generated_at_ms=now_ms,
                    trigger_event_id=event.event_id,
                    model=model,
                    outcome="ok" if items else "fallback",
                    items=items,
                )
            )
        former = states.slates(touched)
        states.remember_slates(touched, slates.item_rows, ids, now_ms)
        placed = np.bincount(slates.placed[slates.item_rows != ABSENT], minlength=len(PLACED))
        return Served(
            recommendations,
            dict(zip(FILTERS, slates.removed.tolist(), strict=True)),
            dict(zip(PLACED, placed.tolist(), strict=True)),
            ServedColumns(
                ids=ids,
                item_rows=slates.item_rows,
                sources=slates.sources,
                repeats=_contained(slates.item_rows, histories.item_rows),
                new=slates.new,
                before=int((former != ABSENT).sum()),
                kept=int(_contained(former, slates.item_rows).sum()),
            ),
        )


@dataclass(frozen=True, slots=True)
class _Places:
    """The places of slates as Python lists, one list of places a slate: one conversion for all of them."""

    columns: tuple[list[list[Any]], ...]
    scores_of: Callable[..., Mapping[str, float]]
    parts_of: Callable[..., Mapping[str, float]]

    @classmethod
    def of(cls, slates: Slates, tasks: Sequence[str]) -> _Places:
        """Of slates whose trained tasks have these names. Parts that are nothing anywhere are not told."""
        ranker, counts, diversity = OTHER_PARTS
        part_names = np.array([ranker, *tasks, counts, diversity])
        parts = slates.parts[:, :, np.concatenate([[True], slates.trained, [True, True]])]
        told = parts.any(axis=(0, 1))
        return cls(
            (
                slates.item_rows.tolist(),
                _rounded(slates.scores),
                _rounded(slates.task_scores[:, :, slates.trained]),
                slates.sources.tolist(),
                _rounded(parts[:, :, told]),
                slates.placed.tolist(),
                _significant(slates.propensity),
                slates.because.tolist(),
            ),
            numbers_named(tuple(tasks)),
            numbers_named(tuple(part_names[told].tolist())),
        )

    def items(self, n: int, names: Mapping[int, str]) -> list[RecommendedItem]:
        """The filled places of slate `n`, whose items and reasons have `names` by row."""
        places = zip(*(column[n] for column in self.columns), strict=True)
        return [
            RecommendedItem(
                item_id=names[row],
                rank=rank,
                score=score,
                scores=self.scores_of(*scores),
                source=SOURCES[source],
                parts=self.parts_of(*parts),
                placed=cast(Placed, PLACED[placed]),
                propensity=propensity,
                because=names.get(because),
            )
            for rank, (row, score, scores, source, parts, placed, propensity, because) in enumerate(places)
            if row != ABSENT
        ]


def _contained(item_rows: NDArray[np.integer], others: NDArray[np.integer]) -> BoolArray:
    """(S, N) whether items stand among the same sequence's other ones (S, H)."""
    found: BoolArray = (item_rows[:, :, None] == others[:, None, :]).any(axis=2)
    found &= item_rows != ABSENT
    return found


def _significant(shares: FloatArray) -> list[Any]:
    """Rounded to some digits, however small: who divides by a propensity must not find nothing there."""
    exact = shares.astype(np.float64)
    scale = 10.0 ** (_DIGITS - np.ceil(np.log10(np.maximum(exact, np.finfo(np.float32).tiny))))
    rounded: list[Any] = (np.round(exact * scale) / scale).tolist()
    return rounded


def _rounded(numbers: FloatArray) -> list[Any]:
    rounded: list[Any] = np.round(numbers.astype(np.float64), _DIGITS).tolist()
    return rounded
