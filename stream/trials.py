"""Reactions to drift, each on trial: begun by a finding in a shadow, served once better, undone where it is worse then.

All of it is decided by the stream alone and is state, so steps that are made again decide the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from learners.knobs import AdjustableLearner, Piece
from learners.learner import Learner, Lesson
from learners.state_arrays import Arrays
from monitoring.drift import DriftFinding
from stream.drift_policy import PIECE_OF, Reaction, reactions_to, serves_at_once, turn_of

Decision = Literal["acted", "busy", "cool_down", "switched_off"]
Outcome = Literal["serves", "dropped", "kept", "undone", "ended"]

DECISIONS: tuple[Decision, ...] = ("acted", "busy", "cool_down", "switched_off")
OUTCOMES: tuple[Outcome, ...] = ("serves", "dropped", "kept", "undone", "ended")

_FEWEST: dict[Piece, int] = {"histories": 20, "ranker": 20, "heads": 10}
"""Pairs that tell something: of choices, and of losses, which are means of many labels."""
_BETTER = 2.5  # deviations at which what was turned begins to serve; it is looked at again and again
_WORSE = -1.64  # deviations at which it does not pass
_HARMFUL = -3.0  # deviations at which it is undone at once


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionRules:
    """How far reactions may go.

    Attributes:
        on: Which there are.
        events: For so many events a piece stays turned.
        trial_events: Within so many it must have been better than the piece as it is, or nobody is served by it, but
            for those that serve at once; for so many more it must not be worse.
        cool_down: So many events must pass before the same piece is turned again.
    """

    on: tuple[Reaction, ...] = ()
    events: int = 12_000
    trial_events: int = 6_000
    cool_down: int = 20_000

    def __post_init__(self) -> None:
        """Refuse what has no end.

        Raises:
            ValueError: The trial is longer than the reaction.
        """
        if self.trial_events > self.events:
            raise ValueError(f"a trial of {self.trial_events} events outlasts a reaction of {self.events}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftDecision:
    """What is done about a finding that is reason to act, as it is published (JSON).

    Attributes:
        finding: Its number.
        reaction: Which one is meant.
        task: Whose head; empty where it is no task's.
        decision: `acted`, or why not: the piece is turned already (`busy`), was turned lately (`cool_down`), or the
            reaction is not wanted (`switched_off`).
        since_ms: Event time before which histories do not count; 0 for other reactions.
        rate: What a step size is multiplied by.
        weight: What a gradient is multiplied by.
        at_once: Whether it serves before it has been better than the piece as it is.
        events: Events applied by then.
        until_events: When it ends.
        decided_at_ms: When, UTC milliseconds.
        event_time_ms: Event time of the newest event by then.
        kind: Of the record: `decision`.
    """

    finding: int
    reaction: str
    task: str
    decision: Decision
    since_ms: int
    rate: float
    weight: float
    at_once: bool
    events: int
    until_events: int
    decided_at_ms: int
    event_time_ms: int
    kind: str = "decision"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftOutcome:
    """What came of a reaction, as it is published (JSON).

    Attributes:
        finding: Number of the finding that led to it.
        reaction: Which.
        task: Whose head; empty where it is no task's.
        outcome: `serves`, it was better beside the piece and takes its place; `dropped`, it was not, and nobody was
            served by it; `kept`, it serves and was not worse; `undone`, it was; `ended`, its time is over and it is
            turned back.
        compared: Pairs of the trial, or since it serves.
        difference: Mean of the piece turned less that as it was: discounted gain of choices, or loss of labels with its
            sign turned; more is better. Null where nothing was compared.
        deviations: The same over its standard error.
        events: Events applied by then.
        decided_at_ms: When, UTC milliseconds.
        event_time_ms: Event time of the newest event by then.
        kind: Of the record: `outcome`.
    """

    finding: int
    reaction: str
    task: str
    outcome: Outcome
    compared: int
    difference: float | None
    deviations: float | None
    events: int
    decided_at_ms: int
    event_time_ms: int
    kind: str = "outcome"


DriftRecord = DriftFinding | DriftDecision | DriftOutcome
"""What stands on the drift topic."""


class Trial(msgspec.Struct):
    """A reaction under way.

    Attributes:
        reaction: Which.
        finding: Number of the finding that led to it.
        task: Number of the task, -1 where it is no task's.
        began: Events applied when it began.
        served: Events applied when it began to serve, -1 before. Older checkpoints do not have it: theirs serve.
        open: Whether it is still compared.
        count: Pairs so far.
        total: Sum of their differences.
        squares: Sum of the squares of these.
    """

    reaction: Reaction
    finding: int
    task: int
    began: int
    served: int = 0
    open: bool = True
    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def compare(self, pairs: NDArray[np.floating]) -> None:
        """Take what the piece was worth on the same examples, turned and as it was, see `Lesson.compared`."""
        turned, before = np.split(pairs.astype(np.float64), 2, axis=1)
        gains = turned - before
        if self.task >= 0:
            others = np.arange(gains.shape[1]) != self.task
            gains = gains[:, others] if self.reaction == "task_weight" else gains[:, ~others]
        gains = gains[np.isfinite(gains)]
        self.count += len(gains)
        self.total += float(gains.sum())
        self.squares += float(np.square(gains).sum())

    def serve(self, events: int) -> None:
        """It serves from now on, and is compared anew: it would not be here without some luck."""
        self.served, self.count, self.total, self.squares = events, 0, 0.0, 0.0

    @property
    def difference(self) -> float | None:
        """Mean difference; None where nothing was compared."""
        return self.total / self.count if self.count else None

    @property
    def deviations(self) -> float | None:
        """Mean difference in standard errors; None where it cannot be told."""
        if self.count < 2:
            return None
        mean = self.total / self.count
        variance = max(self.squares / self.count - mean * mean, 0.0) * self.count / (self.count - 1)
        return mean / math.sqrt(variance / self.count) if variance > 0.0 else 0.0


class _Moment(NamedTuple):
    events: int
    now_ms: int
    event_time_ms: int


class _Saved(msgspec.Struct):
    trials: list[Trial]
    rested: dict[str, int]
    given_up: dict[str, int] = msgspec.field(name="undone")


class Trials:
    """Acts on findings and sees to it that each reaction is bounded, judged, and undone where it is worse.

    A piece carries one reaction at a time. It begins in a shadow, see `serves_at_once` for those that do not. Both see
    the same examples, so the mean of their differences is tested: the shadow serves as soon as it is better, and is
    given up where that does not happen within the window. Then the piece as it was is the shadow, and the test is for
    harm: at once for great harm and once at the end of another window.

    Args:
        learner: Whose pieces are turned; one without knobs is left alone.
        rules: How far reactions may go.
    """

    def __init__(self, learner: Learner, rules: ReactionRules) -> None:
        self._learner = learner
        self._rules = rules
        self._tasks = [task.name for task in learner.tasks]
        self.running: dict[Piece, Trial] = {}
        """By the piece."""
        self._rested: dict[str, int] = {}
        self._given_up: dict[str, int] = {}

    def follow(
        self,
        findings: Sequence[DriftFinding],
        lesson: Lesson,
        *,
        events: int,
        now_ms: int,
        event_time_ms: int,
    ) -> list[DriftDecision | DriftOutcome]:
        """After a step: compare, judge, end what is over, and act on what was found.

        Args:
            findings: Of the step.
            lesson: What the learner reports of it.
            events: Applied so far.
            now_ms: The clock, UTC milliseconds.
            event_time_ms: Event time of the newest event.
        """
        if not self.running and not findings:
            return []
        learner = self._learner
        if not isinstance(learner, AdjustableLearner):
            return []
        moment = _Moment(events, now_ms, event_time_ms)
        records: list[DriftDecision | DriftOutcome] = []
        for piece, trial in list(self.running.items()):
            if trial.open and piece in lesson.compared:
                trial.compare(lesson.compared[piece])
            while piece in self.running and (outcome := self._judge(piece, trial, events)) is not None:
                records.append(self._outcome(trial, outcome, moment))
                self._settle(learner, piece, outcome, events)
        for finding in findings:
            if finding.verdict == "act":
                records += self._act(learner, finding, moment)
        return records

    def _judge(self, piece: Piece, trial: Trial, events: int) -> Outcome | None:
        deviations = trial.deviations
        known = deviations if deviations is not None and trial.count >= _FEWEST[piece] else 0.0
        if trial.served < 0:
            if known > _BETTER:
                return "serves"
            return "dropped" if events - trial.began >= self._rules.trial_events else None
        if trial.open:
            if known < _HARMFUL:
                return "undone"
            if events - trial.served >= self._rules.trial_events:
                return "undone" if known < _WORSE else "kept"
        return "ended" if events - trial.began >= self._rules.events else None

    def _settle(self, learner: AdjustableLearner, piece: Piece, outcome: Outcome, events: int) -> None:
        trial = self.running[piece]
        if outcome == "serves":
            learner.swap(piece)
            trial.serve(events)
            return
        if outcome == "kept":
            learner.settle(piece, keep=True)
            trial.open = False
            return
        if outcome == "ended":
            learner.turn_back(piece)
        else:
            learner.settle(piece, keep=False)
            if trial.task >= 0:
                self._given_up[self._tasks[trial.task]] = events
        del self.running[piece]
        self._rested[piece] = events

    def _act(self, learner: AdjustableLearner, finding: DriftFinding, moment: _Moment) -> list[DriftDecision]:
        events, rules = moment.events, self._rules
        lately = [task for task, ended in self._given_up.items() if events - ended < 5 * rules.cool_down]
        decisions = []
        for reaction in reactions_to(finding, lately):
            piece = PIECE_OF[reaction]
            task = self._tasks.index(finding.task) if finding.task else -1
            decision: Decision = "acted"
            if reaction not in rules.on:
                decision = "switched_off"
            elif piece in self.running:
                decision = "busy"
            elif events - self._rested.get(piece, -rules.cool_down) < rules.cool_down:
                decision = "cool_down"
            turn = turn_of(reaction, finding, max(task, 0))
            at_once = serves_at_once(finding)
            if decision == "acted":
                learner.turn(turn)
                self.running[piece] = Trial(reaction, finding.number, task, events, events if at_once else -1)
                if at_once:
                    learner.swap(piece)
            decisions.append(
                DriftDecision(
                    finding=finding.number,
                    reaction=reaction,
                    task=finding.task,
                    decision=decision,
                    since_ms=finding.since_ms if reaction == "histories" else 0,
                    rate=turn.rate,
                    weight=turn.weight,
                    at_once=at_once,
                    until_events=events + rules.events if decision == "acted" else events,
                    events=events,
                    decided_at_ms=moment.now_ms,
                    event_time_ms=moment.event_time_ms,
                )
            )
        return decisions

    def _outcome(self, trial: Trial, outcome: Outcome, moment: _Moment) -> DriftOutcome:
        return DriftOutcome(
            finding=trial.finding,
            reaction=trial.reaction,
            task=self._tasks[trial.task] if trial.task >= 0 else "",
            outcome=outcome,
            compared=trial.count,
            difference=trial.difference,
            deviations=trial.deviations,
            events=moment.events,
            decided_at_ms=moment.now_ms,
            event_time_ms=moment.event_time_ms,
        )

    @property
    def shown(self) -> dict[str, float]:
        """Reactions under way, with the mean differences to their pieces as they were so far; any thread may ask."""
        return {trial.reaction: trial.difference or 0.0 for trial in list(self.running.values())}

    def abandon(self) -> None:
        """The learner's pieces are not those that were turned."""
        self.running.clear()

    def state_dict(self) -> Arrays:
        """All trials and when each piece was last turned, as JSON."""
        saved = _Saved(list(self.running.values()), self._rested, self._given_up)
        return {"trials": np.frombuffer(msgspec.json.encode(saved), np.uint8).copy()}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; nothing, as older checkpoints have it, is no trial."""
        if "trials" not in arrays:
            self.running, self._rested, self._given_up = {}, {}, {}
            return
        saved = msgspec.json.decode(arrays["trials"].tobytes(), type=_Saved)
        self.running = {PIECE_OF[trial.reaction]: trial for trial in saved.trials}
        self._rested, self._given_up = saved.rested, saved.given_up
