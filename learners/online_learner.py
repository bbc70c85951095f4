"""The recommender that learns from every event: counts, a neural model and a learned ranker over both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy, deepcopy
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.backlog import Backlog, Load
from learners.blend import Blend
from learners.candidates import CandidateRetrieval
from learners.contribution import Contribution
from learners.counts.counts import Counts
from learners.event_batch import (
    BoolArray,
    EventBatch,
    FloatArray,
    Histories,
    IntArray,
    Settled,
    described_only,
)
from learners.evidence import Evidence
from learners.features import NAMES, PRIOR
from learners.filters import Filters
from learners.knobs import Piece, Turn
from learners.known_item import KnownItem, known_item
from learners.learner import Lesson, Predictions, Slates
from learners.learner_config import LearnerConfig
from learners.lessons import compared_losses, lesson_of
from learners.neural import NeuralLesson, NeuralModel
from learners.newcomers import Newcomers
from learners.pace import share_of, spread
from learners.pair_inputs import INPUTS, PairInputs
from learners.prerank import Preranker
from learners.random_state import generator_array, restore_generator
from learners.ranker import Ranker, RankerLesson
from learners.ranking import Ranking
from learners.relatedness import Relatedness
from learners.row_index import ABSENT
from learners.shown_columns import SHOWN, ShownColumns
from learners.slate_maker import SlateMaker
from learners.standardiser import Standardiser
from learners.state_arrays import Arrays, nest, pack_strings, unnest, unpack_strings
from learners.state_changes import LiveState, whole
from learners.task import Task
from learners.task_axes import Axis, Each, TaskAxes, carried_over
from learners.task_map import TaskMap, named
from learners.top_list import pessimistic_ranks
from learners.turned import Turned
from learners.untold_changes import DenseChanges
from learners.weightings.weighting import Explanation

VERSION = "2"
"""Layout of the model; part of every recommendation."""

_FEWEST_ROWS = 32
_RANKED_AT_ONCE, _DESCRIBED_AT_ONCE = 64, 256
_COMPARED = 10  # places of a slate that turned pieces are compared by


class OnlineLearner:
    """See `learners.learner.Learner`.

    Args:
        tasks: Axis K.
        config: Everything else.
    """

    version = VERSION

    def __init__(self, tasks: Sequence[Task], config: LearnerConfig | None = None) -> None:
        config = config or LearnerConfig()
        self.tasks = tuple(tasks)
        self.config = config
        self.step = 0
        self._counts = Counts(max_pairs=config.max_pairs, neighbours=config.neighbours)
        self._retrieval = CandidateRetrieval(
            self._counts, config.candidates, exclude_seen=config.exclude_seen
        )
        self._standardiser = Standardiser(len(NAMES))
        self._pairs = PairInputs(len(self.tasks), self._retrieval, self._counts, self._standardiser)
        self._neural = NeuralModel(
            self.tasks,
            event_types=config.event_types,
            context_buckets=config.context.buckets if len(config.context) else 0,
            dimension=config.dimension,
            pair_features=self._pairs.width,
            rates=True,
            encoder=config.encoder,
            encoder_length=config.encoder_length,
            multitask=replace(config.multitask, seed=config.seed),
            learning_rate=config.learning_rate,
            embedding_learning_rate=config.embedding_learning_rate,
            negatives=config.negatives,
            seed=config.seed,
            device=config.device,
        )
        self._related = Relatedness(len(self.tasks))
        self._ranker_rng = np.random.default_rng(config.seed + 2)
        self._explore_rng = np.random.default_rng(config.seed + 3)
        self._blend = Blend(self.tasks, self._pairs.width)
        self._filters = Filters(config.filters)
        self._newcomers = Newcomers(config.newness)
        self._preranker = Preranker(self._counts, config.ranked)
        self._ranker = Ranker(
            PRIOR,
            self._standardiser,
            learning_rates=config.ranker_learning_rates,
            rng=self._ranker_rng,
            choices_per_step=config.ranked_per_step,
            memory=config.ranker_memory,
            reminders=config.ranker_reminders,
        )
        self._ranking = Ranking(
            self._counts,
            self._retrieval,
            self._neural,
            self._preranker,
            self._ranker,
            nearest=config.nearest,
        )
        self._slate_maker = SlateMaker(
            self._counts,
            self._retrieval,
            self._ranking,
            self._neural,
            self._pairs,
            self._blend,
            self._filters,
            self._newcomers,
            config.slates,
        )
        self._said = ShownColumns(len(self.tasks))
        self._backlog = Backlog(
            choices_per_step=config.choices_per_step,
            labels_per_step=config.labels_per_step,
            context=config.context,
        )
        self._evidence = Evidence(self.tasks)
        self._turned = Turned(self._neural, self._ranker)
        self._dense: DenseChanges | None = None  # of what is told,
        self._beside = DenseChanges({})  # and of shadows, of which nothing is

    @property
    def answered(self) -> BoolArray:
        """See `Learner`."""
        return self._evidence.answered

    # --- predicting

    @property
    def evictions(self) -> dict[str, int]:
        """See `Learner`."""
        return {"pairs": self._counts.own.evicted, "owned": self._filters.evicted}

    def predict_many(self, batch: EventBatch) -> Predictions:
        """See `Learner`."""
        # A slate may try whatever was named, whether or not anything is learned of it.
        named = () if batch.happenings is None else (batch.happenings.items,)
        self._ensure(batch.histories, batch.item_rows, *named)
        labelled = np.flatnonzero(batch.label_mask.any(axis=1) & batch.own)
        shown = self._shown(batch, labelled)
        # What was chosen from a list tells what was better than the rest of that list, which is the heads' to
        # learn; to rank everything by it would teach that whatever is shown is wanted.
        targets = self._ranked(np.flatnonzero(batch.target & (batch.position < 0) & batch.own))
        sequences, sequence = np.unique(batch.sequence[targets], return_inverse=True)
        histories = batch.histories.take(sequences)
        brief, candidates, features, scores = self._ranking.of_everything(
            self._ranking.query(histories)
        ).take(sequence)
        chosen = batch.item_rows[targets]
        own = ranks = pessimistic_ranks(*candidates.with_rest(scores), chosen)
        beside: dict[str, FloatArray] = {}
        shadow_scores = None
        turned = self._turned
        if turned.histories.view.hides:
            seen = self._ranks_in_view(histories, sequence, chosen)
            if turned.histories.view.tried:
                # of items that a slate could have held: what is in hand is followed up, whatever tastes there are
                possible = self._filters.barred(chosen[:, None], histories.take(sequence))[:, 0] < 0
                beside["histories"] = _pairs(seen[possible], own[possible])
            if turned.histories.serves:
                ranks = seen
        if turned.ranker.shadow is not None:
            shadow_scores = turned.ranker.shadow.score(features, candidates.rows != ABSENT)
            others = pessimistic_ranks(*candidates.with_rest(shadow_scores), chosen)
            beside["ranker"] = _pairs(own, others) if turned.ranker.serves else _pairs(others, own)
        return Predictions(
            labelled=labelled,
            shown=shown,
            task_scores=self._said.foreseen(shown),
            settled_scores=self._said.foreseen(self._told(batch.settled)),
            targets=targets,
            ranks=ranks,
            known=self._counts.popularity.is_known(chosen),
            brief=brief,
            candidates=candidates,
            features=features,
            scores=scores,
            shadow_scores=shadow_scores,
            compared=beside,
        )

    def _ranks_in_view(self, histories: Histories, sequence: IntArray, chosen: IntArray) -> IntArray:
        """(T,) ranks of chosen items, of S histories of which something is hidden."""
        query = self._ranking.query(self._turned.histories.view.of(histories))
        ranked = self._ranking.of_everything(query).take(sequence)
        return pessimistic_ranks(*ranked.candidates.with_rest(ranked.scores), chosen)

    def recommend(self, histories: Histories, size: int) -> Slates:
        """See `Learner`."""
        # What is no choice and no label comes into histories unseen.
        self._ensure(histories)
        return self._slates(histories, size, self._explore_rng)

    def preview(self, histories: Histories, size: int) -> Slates:
        """See `Learner`. Items without vectors yet are left out of histories: to draw them would change what comes."""
        rows = histories.item_rows
        known = replace(histories, item_rows=np.where(rows < self._neural.rows, rows, ABSENT))
        self._counts.ensure(int(histories.users.max(initial=-1)) + 1, self._neural.rows)
        return self._slates(known, size, deepcopy(self._explore_rng))

    def _slates(self, histories: Histories, size: int, rng: np.random.Generator) -> Slates:
        seen = self._turned.histories.served.of(histories)
        return self._slate_maker.make(histories, seen, size, self._evidence.amounts, rng)

    def describe(
        self, histories: Histories, sequence: IntArray, items: IntArray, position: IntArray
    ) -> FloatArray:
        """See `Learner`: what goes into the heads, then their logits and what these mean when calibrated, K each.

        The logits of a task that has not been taught yet are NaN: nothing came of what it said.
        Of many at once a share is described: all that one user was shown at a moment, or nothing of it.
        """
        self._ensure(histories, items)
        share = share_of(len(items), _DESCRIBED_AT_ONCE, self.config.share_under_load)
        if share == 1.0:
            return self._describe(histories, sequence, items, position)
        some = spread(len(histories), share, self.step)
        among = np.full(len(histories), ABSENT)
        among[some] = np.arange(len(some))
        events = np.flatnonzero(among[sequence] != ABSENT)
        said = self._describe(histories.take(some), among[sequence[events]], items[events], position[events])
        return described_only(said, events, len(items))

    def _describe(
        self, histories: Histories, sequence: IntArray, items: IntArray, position: IntArray
    ) -> FloatArray:
        users = self._neural.user_vectors(histories)[sequence]
        neural = self._neural.scores(users, items[:, None])[:, 0]
        known = self._pairs.describe(histories, sequence, items, neural)
        logits = self._neural.task_logits(users, items, position, self._pairs.scaled(known))
        foreseen = self._neural.multitask.calibrated(logits)
        # To calibrate heads by what they said before they were taught would shift what they have learned since.
        return np.concatenate(
            [known, np.where(self._evidence.amounts > 0.0, logits, np.nan), foreseen], axis=1
        )

    def _shown(self, batch: EventBatch, rows: IntArray) -> FloatArray:
        """(L, R) what was said of rows when they were shown; what there is to say now where nobody kept it."""
        if batch.shown is not None and batch.shown.shape[1]:
            return batch.shown[rows]
        return self.describe(
            batch.histories, batch.sequence[rows], batch.item_rows[rows], batch.position[rows]
        )

    def _told(self, settled: Settled | None) -> FloatArray:
        """(N, R) what was said of impressions that are settled; of none where nobody described any."""
        if settled is None or not settled.shown.shape[1]:
            return np.zeros((0, self._said.width), np.float32)
        return settled.shown

    def _ranked(self, targets: IntArray) -> IntArray:
        """The share of the choices that is ranked, evenly spread and decided by the events' numbers alone."""
        share = self.config.ranker_share * share_of(
            len(targets), _RANKED_AT_ONCE, self.config.share_under_load
        )
        return targets[spread(len(targets), share, self._counts.popularity.events)]

    # --- learning

    def learn_many(self, batch: EventBatch, predictions: Predictions) -> Lesson:
        """See `Learner`."""
        choices = np.flatnonzero(batch.target)
        self._evidence.learn_many(batch)
        # A task whose positives nobody ever sent teaches nothing, however many windows close without one.
        known = batch.label_mask & self.answered
        batch = replace(batch, label_mask=known, late=self._evidence.late(batch))
        self._pairs.learn_many(batch, np.flatnonzero(known.any(axis=1)))
        # Nor are heads taught by answers of one kind alone: at first a task has its positives, and no negative yet.
        batch = replace(batch, label_mask=known & (self._evidence.amounts > 0.0))
        kept = np.flatnonzero(batch.label_mask[predictions.labelled].any(axis=1))
        labelled = predictions.labelled[kept]
        shown = np.zeros((len(batch), predictions.shown.shape[1]), np.float32)
        shown[labelled] = predictions.shown[kept]
        batch = replace(batch, shown=shown)
        loads = self._backlog.add(batch, choices[batch.own[choices]], labelled)
        lessons = [self._learn_load(load) for load in loads]
        self._calibrate(batch, labelled)
        self._learn_places(batch, labelled)
        ranked = self._learn_ranker(batch, predictions)
        sequence = batch.sequence[choices]
        self._counts.learn_many(
            batch.histories.users[sequence],
            batch.item_rows[choices],
            batch.histories.now_s[sequence],
            batch.histories.item_rows[sequence],
        )
        self.step += 1
        self._relate(batch, predictions, lessons, kept)
        return lesson_of(
            lessons,
            ranked,
            task_weights=self._neural.multitask.weighting.weights,
            related=copy(self._related),  # whose sums are replaced, never changed
            learning_rates={
                **self._neural.learning_rates,
                "ranker": self._turned.ranker.served_rate * max(self.config.ranker_learning_rates),
            },
            compared={**predictions.compared, **compared_losses(lessons, self._turned.heads.serves)},
        )

    def explain(self) -> list[Explanation]:
        """See `Learner`."""
        return self._neural.multitask.weighting.explain()

    def known_item(self, row: int, now_s: float, most: int) -> KnownItem:
        """See `Learner`."""
        return known_item(self._counts, row, now_s, most)

    def _relate(
        self, batch: EventBatch, predictions: Predictions, lessons: Sequence[NeuralLesson], kept: IntArray
    ) -> None:
        """What this step says of how the tasks go together."""
        for lesson in lessons:
            if lesson.relatedness is not None:
                self._related.learn_gradients(lesson.relatedness, ~np.isnan(lesson.task_losses))
            if lesson.affinity is not None:
                self._related.learn_affinity(lesson.affinity)
        if batch.outcomes is not None:
            self._related.learn_outcomes(batch.outcomes)
        rows = predictions.labelled[kept]
        errors = predictions.task_scores[kept] - batch.labels[rows]
        self._related.learn_errors(errors, batch.label_mask[rows])

    def _learn_load(self, load: Load) -> NeuralLesson:
        """One gradient step of the neural model."""
        assert load.batch.shown is not None
        known = self._said.known(load.batch.shown[load.labelled])
        if len(known) >= _FEWEST_ROWS:  # a variance of one row would be zero
            self._pairs.learn_scale(known)
        return self._neural.learn_many(load.batch, load.choices, load.labelled, self._pairs.scaled(known))

    def _calibrate(self, batch: EventBatch, labelled: IntArray) -> None:
        """What came of what was foreseen when the item was shown."""
        assert batch.shown is not None
        self._neural.multitask.calibrate(
            self._said.logits(batch.shown[labelled]),
            batch.labels[labelled],
            batch.label_mask[labelled],
            batch.late_labels(labelled),
        )

    def _learn_places(self, batch: EventBatch, labelled: IntArray) -> None:
        """What came of shown places, and what happened whether or not there is anything to foresee."""
        if batch.happenings is not None:
            self._filters.learn_many(batch.happenings)
            self._newcomers.learn_many(batch.happenings)
        rows = labelled[batch.position[labelled] >= 0]
        if len(rows):
            assert batch.shown is not None
            self._blend.learn_many(
                self._pairs.scaled(self._said.known(batch.shown[rows])),
                self._said.foreseen(batch.shown[rows]),
                batch.position[rows],
                batch.labels[rows],
                batch.label_mask[rows],
                batch.late_labels(rows),
                self._evidence.amounts,
            )

    def _learn_ranker(self, batch: EventBatch, predictions: Predictions) -> list[RankerLesson | None]:
        """Learn from the choices that were among the candidates."""
        candidates, scores = predictions.candidates, predictions.scores
        chosen = batch.item_rows[predictions.targets]
        self._preranker.learn_many(predictions.brief, chosen)
        hit = candidates.rows == chosen[:, None]
        found = np.flatnonzero(hit.any(axis=1))
        self._counts.expectations.learn_many(candidates.rows[found], scores[found], chosen[found])
        features, filled = predictions.features[found], candidates.rows[found] != ABSENT
        columns = hit[found].argmax(axis=1)
        lessons = self._ranker.learn_many(features, filled, scores[found], columns)
        shadow = self._turned.ranker.shadow
        if shadow is not None and predictions.shadow_scores is not None:
            shadow.learn_many(features, filled, predictions.shadow_scores[found], columns)
        return lessons

    # --- knobs

    def turn(self, turn: Turn) -> None:
        """See `AdjustableLearner`."""
        with self._changing_places():
            self._turned[turn.piece].turn(turn)

    def swap(self, piece: Piece) -> None:
        """See `AdjustableLearner`."""
        with self._changing_places():
            self._turned[piece].swap()

    def settle(self, piece: Piece, *, keep: bool) -> None:
        """See `AdjustableLearner`."""
        with self._changing_places():
            self._turned[piece].settle(keep=keep)

    def turn_back(self, piece: Piece) -> None:
        """See `AdjustableLearner`."""
        with self._changing_places():
            self._turned[piece].turn_back()

    @contextmanager
    def _changing_places(self) -> Iterator[None]:
        """A shadow that serves is this worker's own reaction: others would get half of it, and keep it."""
        with nullcontext() if self._dense is None else self._dense.kept_apart():
            yield
        self._beside = DenseChanges(self._shadow_modules())

    # --- sharing what is learned by gradients with other workers

    @cached_property
    def fingerprint(self) -> str:
        """See `Learner`."""
        shapes = [
            f"{name}{tuple(parameter.shape)}"
            for module in self._dense_modules().values()
            for name, parameter in module.named_parameters()
        ]
        tasks = [f"{task.name}:{task.kind}" for task in self.tasks]
        text = "\n".join([VERSION, str(self.config.dimension), self.config.encoder, *tasks, *shapes])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def share(self) -> None:
        """See `Learner`."""
        self._begin_telling()
        for table in self._neural.tables.values():
            table.share()

    def contribute(self, share: float) -> Contribution:
        """See `Learner`."""
        assert self._dense is not None, "share() comes first"
        self._ranker.take_share(share)
        self._beside.cut(share)  # of what shadows learn as much stays, or they would be compared unfairly
        tables = {name: table.cut() for name, table in self._neural.tables.items()}
        return Contribution(share, self._dense.cut(share), tables)

    def merge(self, contribution: Contribution, *, over: bool = False) -> None:
        """See `Learner`."""
        assert self._dense is not None, "share() comes first"
        for dense in (self._dense, self._beside):
            dense.merge(contribution.dense, contribution.share)
        self._make_room(0, *(changes.rows for changes in contribution.tables.values()))
        for name, changes in contribution.tables.items():
            self._neural.tables[name].merge(changes, over=over)

    def beginning(self) -> Arrays:
        """See `Learner`."""
        return {
            **nest("neural", self._neural.beginning()),
            **nest("preranker", self._preranker.state_dict()),
            **nest("ranker", self._ranker.beginning()),
            **nest("standardiser", self._standardiser.state_dict()),
            **nest("blend", self._blend.state_dict()),
            **self._evidence.state_dict(),
        }

    def begin_from(self, beginning: Mapping[str, NDArray[Any]]) -> None:
        """See `Learner`."""
        self._neural.begin_from(unnest("neural", beginning))
        self._preranker.load_state_dict(unnest("preranker", beginning))
        self._ranker.begin_from(unnest("ranker", beginning))
        self._standardiser.load_state_dict(unnest("standardiser", beginning))
        self._blend.load_state_dict(unnest("blend", beginning))
        self._evidence.load_state_dict(beginning)
        self._begin_telling()

    def _begin_telling(self) -> None:
        self._dense, self._beside = (
            DenseChanges(modules) for modules in (self._dense_modules(), self._shadow_modules())
        )

    def _dense_modules(self) -> dict[str, Any]:
        return {**self._neural.modules, "ranker": self._ranker.network}

    def _shadow_modules(self) -> dict[str, Any]:
        shadows: dict[str, Any] = {}
        if self._neural.shadow is not None:
            shadows["heads"] = self._neural.shadow.heads
        if self._turned.ranker.shadow is not None:
            shadows["ranker"] = self._turned.ranker.shadow.network
        return shadows

    def _ensure(self, histories: Histories, *items: IntArray) -> None:
        """Make room for users and items of histories, and for other items."""
        self._make_room(int(histories.users.max(initial=-1)) + 1, histories.item_rows, *items)

    def _make_room(self, users: int, *items: IntArray) -> None:
        """Compiled loops do not look whether a row is there."""
        rows = max((int(some.max(initial=-1)) for some in items), default=-1) + 1
        self._neural.ensure(rows)
        self._counts.ensure(users, rows)

    def forget_users(self, rows: IntArray) -> None:
        """See `Learner`."""
        if len(rows):
            self._pairs.forget(users=rows)
            self._filters.forget(users=rows)
            self._counts.forget_users(rows)

    def forget_items(self, rows: IntArray) -> None:
        """See `Learner`."""
        self._pairs.forget(items=rows)
        self._filters.forget(items=rows)
        self._newcomers.forget(rows)
        self._counts.forget_items(rows)
        self._neural.forget(rows)
        self._backlog.forget_items(rows)

    # --- state

    def live_state(self) -> LiveState:
        """See `Learner`."""
        return {
            **nest("counts", self._counts.live_state()),
            **nest("backlog", self._backlog.state_dict()),
            **nest("neural", self._neural.live_state()),
            **nest("preranker", self._preranker.state_dict()),
            **nest("ranker", self._ranker.live_state()),
            **nest("standardiser", self._standardiser.state_dict()),
            **nest("pairs", self._pairs.live_state()),
            **nest("related", self._related.state_dict()),
            **nest("blend", self._blend.state_dict()),
            **nest("filters", self._filters.live_state()),
            **nest("newcomers", self._newcomers.live_state()),
            **nest("version", pack_strings([VERSION])),
            **named(self.tasks, self.config.multitask.chain),
            **nest("knobs", self._turned.state_dict()),
            **self._evidence.state_dict(),
            "step": np.array([self.step]),
            "ranker_rng": generator_array(self._ranker_rng),
            "explore_rng": generator_array(self._explore_rng),
        }

    def state_dict(self) -> Arrays:
        """See `Learner`."""
        return whole(self.live_state())

    @property
    def shown_axis(self) -> Axis:
        """See `Learner`."""
        return SHOWN

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in its state."""
        return {
            **nest("backlog", self._backlog.task_axes(SHOWN)),
            **nest("neural", self._neural.task_axes),
            **nest("pairs", self._pairs.task_axes),
            **nest("related", self._related.task_axes),
            **nest("blend", self._blend.task_axes(INPUTS)),
            "knobs.adjusted": {1: (Each(fill=1.0),)},
            **self._evidence.task_axes,
        }

    def tasks_saved(self, arrays: Mapping[str, NDArray[Any]]) -> TaskMap:
        """See `Learner`."""
        return TaskMap.of(arrays, self.tasks, self.config.multitask.chain)

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """See `Learner`."""
        version = unpack_strings(unnest("version", arrays))[0] if "version.bytes" in arrays else "1"
        if version != VERSION:
            raise ValueError(
                f"saved by version {version} of the model, this is version {VERSION}, which knows no way from there"
            )
        dimension = arrays["neural.outputs.weight"].shape[1]
        if dimension != self.config.dimension:
            raise ValueError(
                f"saved with learner.dimension = {dimension}, configured is {self.config.dimension}; vectors of "
                f"one length say nothing of another"
            )
        tasks = self.tasks_saved(arrays)
        if tasks.changed:
            arrays = carried_over(arrays, self.state_dict(), self.task_axes, tasks)
        self._neural.load_state_dict(unnest("neural", arrays))
        self._preranker.load_state_dict(unnest("preranker", arrays))
        self._ranker.load_state_dict(unnest("ranker", arrays))
        self._standardiser.load_state_dict(unnest("standardiser", arrays))
        self._related.load_state_dict(unnest("related", arrays))
        self._pairs.load_state_dict(unnest("pairs", arrays))
        self._blend.load_state_dict(unnest("blend", arrays))
        self._filters.load_state_dict(unnest("filters", arrays))
        self._newcomers.load_state_dict(unnest("newcomers", arrays))
        self._counts.load_state_dict(unnest("counts", arrays))
        self._make_room(0, self._newcomers.rows)  # earlier versions saved new items that had none yet
        self._backlog.load_state_dict(unnest("backlog", arrays))
        self._turned.load_state_dict({} if tasks.changed else unnest("knobs", arrays))
        self._evidence.load_state_dict(arrays)
        self.step = int(arrays["step"][0])
        restore_generator(self._ranker_rng, arrays["ranker_rng"])
        restore_generator(self._explore_rng, arrays["explore_rng"])


def _pairs(turned: IntArray, others: IntArray) -> FloatArray:
    """(T, 2) what ranks by a turned piece and by the piece as it was are worth: discounted gain of the first ten."""
    both = np.stack([turned, others], axis=1)
    found = (both >= 0) & (both < _COMPARED)
    return np.where(found, 1.0 / np.log2(np.maximum(both, 0) + 2.0), 0.0).astype(np.float32)
