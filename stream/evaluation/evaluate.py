"""A whole evaluation: a log, the pipeline with each seed, the peers and the folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from learners.peers.line_up import line_up
from learners.task import Task
from stream.assembly import build_pipeline, build_states, build_tasks, choice_types
from stream.evaluation.folds import WithholdingLearner, fold_of_moment, scored_in_fold
from stream.evaluation.log import EvaluationLog
from stream.evaluation.peers import run_peers
from stream.evaluation.protocol import Ints, Protocol, apply_protocol
from stream.evaluation.run import Progress, Run, run_pipeline
from stream.settings import Settings

Announce = Callable[[str], Progress]
"""Told what comes next; gives what is to be told how far it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything that was foreseen; what it is worth says `stream.evaluation.report`.

    Attributes:
        log: What was played.
        tasks: Axis K.
        exclude_seen: Whether seen items were left out.
        protocol: What counted.
        seeds: One for each run.
        runs: One for each seed.
        peers: Ranks of the scored events by peer; empty where none were asked for.
        folds: Ranks by each fold's learner of its own scored events; empty where none were asked for.
    """

    log: EvaluationLog
    tasks: tuple[Task, ...]
    exclude_seen: bool
    protocol: Protocol
    seeds: tuple[int, ...]
    runs: tuple[Run, ...]
    peers: dict[str, Ints]
    folds: tuple[Ints, ...]


def evaluate(
    log: EvaluationLog,
    settings: Settings,
    *,
    exclude_seen: bool = False,
    seeds: int = 1,
    peers: bool = False,
    folds: int = 0,
    announce: Announce | None = None,
) -> Evaluation:
    """Play the log once for each seed, once for all peers together, and once for each fold.

    Args:
        log: What is played.
        settings: Of the worker; all of its types must be declared.
        exclude_seen: Whether what a user had had earlier is left out of lists and counts.
        seeds: How many runs, with the settings' seed and those after it.
        peers: Whether the peers take part.
        folds: Learners of the distributed validation; 0 for none.
        announce: For progress bars.

    Raises:
        FloatingPointError: A score is not finite.
    """
    told = announce or (lambda _: lambda _: None)
    settings = _with(settings, exclude_seen=exclude_seen, seed=settings.learner.seed)
    choices = choice_types(settings)
    protocol = apply_protocol(
        log.events,
        choices,
        exclude_seen=exclude_seen,
        catalogue_types=frozenset(settings.events.catalogue),
    )
    numbers = tuple(range(settings.learner.seed, settings.learner.seed + seeds))

    def run(what: str, seed: int, fold: int | None = None) -> Run:
        chosen = _with(settings, exclude_seen=exclude_seen, seed=seed)
        pipeline = build_pipeline(chosen)
        before = None
        if fold is not None:
            learner = WithholdingLearner(pipeline.learner)
            pipeline.learner = learner

            def before(moment: int) -> None:
                learner.may_learn = fold_of_moment(moment, folds) != fold

        return run_pipeline(
            pipeline,
            build_states(chosen),
            log.events,
            protocol,
            exclude_seen=exclude_seen,
            before_moment=before,
            on_progress=told(what),
        )

    runs = tuple(run(f"freshet, seed {seed}", seed) for seed in numbers)
    found = {}
    if peers:
        competitors = line_up(len(protocol.item_ids), int(protocol.choices.sum()), exclude_seen=exclude_seen)
        found = run_peers(competitors, protocol, exclude_seen=exclude_seen, on_progress=told("peers"))
    validated = tuple(
        run(f"fold {fold + 1} of {folds}", numbers[0], fold).ranks[scored_in_fold(protocol, fold, folds)]
        for fold in range(folds)
    )
    return Evaluation(
        log=log,
        tasks=build_tasks(settings),
        exclude_seen=exclude_seen,
        protocol=protocol,
        seeds=numbers,
        runs=runs,
        peers=found,
        folds=validated,
    )


def _with(settings: Settings, *, exclude_seen: bool, seed: int) -> Settings:
    return settings.model_copy(
        update={
            "recommend": settings.recommend.model_copy(update={"exclude_seen": exclude_seen}),
            # Nobody is behind here, however many events a log has at one moment.
            "learner": settings.learner.model_copy(update={"seed": seed, "share_under_load": 1.0}),
        }
    )
