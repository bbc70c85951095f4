"""What the pipeline asks of a learner, and the columns that it gets back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from learners.candidates import Candidates
from learners.event_batch import BoolArray, EventBatch, FloatArray, Histories, IntArray
from learners.known_item import KnownItem
from learners.prerank import Brief
from learners.relatedness import Relatedness
from learners.row_index import ABSENT
from learners.state_arrays import Arrays
from learners.state_changes import LiveState
from learners.task import Task
from learners.task_axes import Axis
from learners.task_map import TaskMap
from learners.weightings.weighting import Explanation

if TYPE_CHECKING:  # it imports torch, which commands that only ask need not wait for
    from learners.contribution import Contribution

EVICTED = ("pairs", "owned")
"""What a learner gives up beyond a bound: pairs of users and items, and of users and what they own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What the learner said before it saw the answers; `learn_many` asks for it, so the order cannot be mixed up.

    Attributes:
        labelled: (L,) the batch's rows that have labels.
        shown: (L, R) what `Learner.describe` said of them when they were shown.
        task_scores: (L, K) part of it: probability of a binary task, expected value of a regression.
        settled_scores: (N, K) the same of the impressions that are settled now, see `event_batch.Settled`.
        targets: (T,) the batch's rows that are ranked: choices of everything, not from a list that was shown.
        ranks: (T,) zero-based rank of the chosen item among everything retrieved, ties against it; -1 where
            it was not retrieved.
        known: (T,) whether the chosen item had ever been chosen before.
        brief: What was briefly seen of everything that was a candidate for the T choices.
        candidates: The most promising of it, which were ranked.
        features: (T, C, F) of these candidates.
        scores: (T, C) the ranker's scores, -inf where there is no candidate.
        shadow_scores: (T, C) those of its shadow, where there is one.
        compared: See `Lesson`.
    """

    labelled: IntArray
    shown: FloatArray
    task_scores: FloatArray
    settled_scores: FloatArray
    targets: IntArray
    ranks: IntArray
    known: BoolArray
    brief: Brief
    candidates: Candidates
    features: FloatArray
    scores: FloatArray
    shadow_scores: FloatArray | None = None
    compared: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one learning step did.

    Attributes:
        task_losses: (K,) mean loss of each task over the labels that were learned, before the step; NaN where there
            was none: labels wait until there are enough for a gradient step.
        task_labels: (K,) how many labels these are.
        task_weights: (K,) present weights.
        relatedness: (K, K) cosines of the tasks' gradients, means over the gradient steps in which both had labels, NaN
            where there was none; None where no labels were known.
        related: How the tasks go together so far; whoever looks works it out.
        gates: (K, E) how much of each expert each task took; None where no labels were known.
        retrieval_loss: Sampled softmax of the neural model, the mean over its choices; NaN where there are none.
        retrieved: How many choices it learned.
        ranking_loss: Softmax over served candidates, the mean over its choices; NaN where there are none.
        ranked: How many choices the ranker learned, reminders left aside.
        skipped: Parts that were left out because a loss was not finite.
        gradient_norms: (K,) of the tasks' gradients where they meet, NaN where a task had no label; None where no
            labels were known.
        learning_rates: Present step sizes by part: embeddings, network, heads, ranker (its quickest expert).
        vector_norm: Mean norm of the item vectors that were learned; NaN where there were none.
        compared: Of each piece with a shadow, how well it foresaw the same N examples turned (first half of the
            columns) and as it was (second half), more being better: (N, 2), or (N, 2 K) where each task has its own.
    """

    task_losses: FloatArray
    task_labels: IntArray
    task_weights: FloatArray
    relatedness: FloatArray | None
    retrieval_loss: float = float("nan")
    retrieved: int = 0
    ranking_loss: float = float("nan")
    ranked: int = 0
    skipped: tuple[str, ...] = ()
    related: Relatedness | None = None
    gates: FloatArray | None = None
    gradient_norms: FloatArray | None = None
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    vector_norm: float = float("nan")
    compared: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slates:
    """Slates of S users, best first; N places.

    Attributes:
        item_rows: (S, N) item rows, `ABSENT` where a slate is shorter.
        scores: (S, N) final scores.
        task_scores: (S, N, K) what each task foresees for the item.
        trained: (K,) which tasks have seen labels of both kinds; what the others foresee means nothing.
        parts: (S, N, K + 3) what the score is the sum of: the ranker's part, each task's, that of everything else
            that is known of user and item, and what diversity took off.
        sources: (S, N) number in `candidates.SOURCES` of the source that brought the item.
        placed: (S, N) number in `exploration.PLACED`: why it stands here.
        because: (S, N) the history item whose transitions spoke most for it, `ABSENT` where none did.
        propensity: (S, N) probability with which the policy put the item into this place, given those above it.
        removed: (R,) how many candidates each of `filters.FILTERS` left out.
        new: (S, N) whether the item is new.
    """

    item_rows: IntArray
    scores: FloatArray
    task_scores: FloatArray
    trained: BoolArray
    parts: FloatArray
    sources: IntArray
    placed: NDArray[np.int8]
    because: IntArray
    propensity: FloatArray
    removed: IntArray
    new: BoolArray

    @classmethod
    def joined(cls, parts: Sequence[Slates]) -> Slates:
        """The slates of all parts, one after the other; those of shorter parts get empty places."""
        if len(parts) == 1:
            return parts[0]
        S, N = sum(len(part.item_rows) for part in parts), max(part.item_rows.shape[1] for part in parts)

        def column(name: str) -> NDArray[Any]:
            arrays: list[NDArray[Any]] = [getattr(part, name) for part in parts]
            joined = np.full((S, N, *arrays[0].shape[2:]), _EMPTY.get(name, 0), arrays[0].dtype)
            begin = 0
            for each in arrays:
                joined[begin : begin + len(each), : each.shape[1]] = each
                begin += len(each)
            return joined

        whole = ("trained", "removed")
        columns = {field.name: column(field.name) for field in fields(cls) if field.name not in whole}
        removed: IntArray = np.sum([part.removed for part in parts], axis=0)
        return cls(**columns, trained=parts[0].trained, removed=removed)


_EMPTY = {"item_rows": ABSENT, "because": ABSENT, "scores": -np.inf}


class Learner(Protocol):
    """A model that learns from every batch once.

    `predict_many`, `recommend` and `preview` change nothing that a later prediction could notice; `learn_many` is the
    only call that learns.
    """

    tasks: tuple[Task, ...]
    version: str
    step: int

    @property
    def answered(self) -> BoolArray:
        """(K,) which tasks have ever had a positive."""
        ...

    @property
    def evictions(self) -> Mapping[str, int]:
        """How many of each of `EVICTED` were given up so far because there were too many."""
        ...

    @property
    def shown_axis(self) -> Axis:
        """What stands along R of `describe`: who keeps it must carry it over to other tasks."""
        ...

    def tasks_saved(self, arrays: Mapping[str, NDArray[Any]]) -> TaskMap:
        """Which of its tasks a saved state knows."""
        ...

    def describe(
        self, histories: Histories, sequence: IntArray, items: IntArray, position: IntArray
    ) -> FloatArray:
        """(B, R) what is known and foreseen of items (B,), shown at `position` (B,) to the users of sequences (B,).

        It is kept with each impression and comes back as `EventBatch.shown`: a label may be known an hour
        later, and counts of then would tell how long it took, and what else the user did, which no slate knows.
        NaN where nothing was said, since there were too many at once: nothing is learned by gradients from these.
        """
        ...

    def predict_many(self, batch: EventBatch) -> Predictions:
        """What it foresees for each row, from nothing but what came before."""
        ...

    def learn_many(self, batch: EventBatch, predictions: Predictions) -> Lesson:
        """Learn from the rows it has just predicted."""
        ...

    def recommend(self, histories: Histories, size: int) -> Slates:
        """Slates for users at moments."""
        ...

    def preview(self, histories: Histories, size: int) -> Slates:
        """What `recommend` would say; nothing changes, and what is drawn is drawn again afterwards."""
        ...

    def explain(self) -> list[Explanation]:
        """Why each task weighs what it weighs, one a task."""
        ...

    def known_item(self, row: int, now_s: float, most: int) -> KnownItem:
        """What is known of an item at a moment, with at most so many items that go with it."""
        ...

    def forget_users(self, rows: IntArray) -> None:
        """Give up user rows whose users are gone; they may be other users' already."""
        ...

    def forget_items(self, rows: IntArray) -> None:
        """Give up item rows whose items are gone; they will be used for other items."""
        ...

    def live_state(self) -> LiveState:
        """Everything it has learned, and what of it changed since it was saved."""
        ...

    def state_dict(self) -> Arrays:
        """Everything it has learned, as arrays of its own."""
        ...

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; tasks that it does not know begin, and others stay as warm as they were.

        The arrays are handed over: tables are not copied, since that would take as much memory again, and longer than
        to read them.

        Raises:
            ValueError: Saved with other settings (dimension, encoder...).
        """
        ...


@runtime_checkable
class SharingLearner(Learner, Protocol):
    """One that several workers have, each of which learns from a part of the stream."""

    @property
    def fingerprint(self) -> str:
        """Of what has to be the same for contributions of one learner to be merged by another."""
        ...

    def share(self) -> None:
        """Keep account of what is learned by gradients from now on; after anything was loaded."""
        ...

    def contribute(self, share: float) -> Contribution:
        """What was learned by gradients since the last call; `share()` came first.

        Args:
            share: How much of the stream it learns from. Of its dense changes only that share stays.
        """
        ...

    def merge(self, contribution: Contribution, *, over: bool = False) -> None:
        """Add what another learner of the same fingerprint has learned; `share()` came first.

        Args:
            contribution: What it has learned.
            over: Take over its vectors instead of adding what changed: what it had learned before is unknown here.
        """
        ...

    def beginning(self) -> Arrays:
        """What a learner that has learned nothing yet takes over whole, right after `contribute`."""
        ...

    def begin_from(self, beginning: Mapping[str, NDArray[Any]]) -> None:
        """Begin where another one was."""
        ...
