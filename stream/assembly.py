"""From settings to working pieces: the one place where names in the settings meet classes."""

from __future__ import annotations

from connectors.decode import EventDecoder
from connectors.event_types import STANDARD_TYPES
from learners.context_fields import ContextFields
from learners.learner import Learner
from learners.task import Task
from stream.attribution import Attribution, LabelSource
from stream.batching import Batcher
from stream.checkpoints.store import CheckpointStore
from stream.duplicates import RecentIds
from stream.pipeline import Pipeline
from stream.processor import Processor
from stream.settings import Settings
from stream.statistics import DriftRules, Statistics
from stream.trials import ReactionRules, Trials
from stream.user_states import UserStates

_NO_CHOICE = frozenset({"impression", "remove_from_cart", "dislike", "return", "dwell"})
"""Standard types by which nobody chooses an item."""

_NO_HISTORY = frozenset({"dwell"})
"""Standard types that enter no history, beside impressions, which never do: a dwell says how long what stands there
took, maybe every few seconds."""


def build_decoder(settings: Settings) -> EventDecoder:
    """What turns bytes into events."""
    events = settings.events
    return EventDecoder(
        events.decoded,
        max_bytes=events.max_bytes,
        max_id_length=events.max_id_length,
        max_context_fields=events.max_context_fields,
        context=events.context,
        max_future_s=events.max_future_s,
    )


def build_states(settings: Settings) -> UserStates:
    """Empty users' states."""
    return UserStates(
        history_length=settings.state.history_length,
        max_users=settings.state.max_users,
        slate_size=settings.recommend.slate_size,
        max_pending=settings.state.max_pending,
        lateness_ms=lateness_ms(settings),
        context=context_fields(settings),
    )


def context_fields(settings: Settings) -> ContextFields:
    """What the model takes in of events' contexts."""
    return ContextFields(names=settings.events.context, buckets=settings.learner.context_buckets)


def lateness_ms(settings: Settings) -> int:
    """How far behind its user's newest event one may lie, milliseconds."""
    return int(settings.events.lateness_s * 1000)


def checkpoint_store(settings: Settings) -> CheckpointStore:
    """The checkpoints of this worker.

    Raises:
        stream.checkpoints.place.PlaceError: They cannot stand where the settings say.
    """
    worker = settings.worker
    return CheckpointStore(
        worker.checkpoints or settings.state_dir / "checkpoints",
        worker.checkpoints_kept,
        worker.checkpoint_deltas,
    )


def build_processor(settings: Settings) -> Processor:
    """A processor that has learned nothing yet."""
    pipeline = build_pipeline(settings)
    return Processor(
        build_decoder(settings),
        pipeline,
        build_states(settings),
        build_statistics(settings),
        build_trials(settings, pipeline.learner),
        RecentIds(settings.events.duplicates_window),
    )


def build_statistics(settings: Settings) -> Statistics:
    """Statistics of nothing yet."""
    return Statistics(
        build_tasks(settings),
        window=settings.monitoring.progressive_window,
        drift=DriftRules(
            detector=settings.monitoring.drift_detector, false_alarms=settings.monitoring.drift_false_alarms
        )
        if settings.monitoring.drift
        else None,
        slate_size=settings.recommend.slate_size,
    )


def build_trials(settings: Settings, learner: Learner) -> Trials:
    """Reactions to drift, none of them begun."""
    monitoring = settings.monitoring
    return Trials(
        learner,
        ReactionRules(
            on=monitoring.reactions,
            events=monitoring.reaction_events,
            trial_events=monitoring.trial_events,
            cool_down=monitoring.reaction_cool_down,
        ),
    )


def build_pipeline(settings: Settings) -> Pipeline:
    """A pipeline that has learned nothing yet."""
    # torch takes seconds to import, and commands that only look at states need none of it
    from learners.composition import SlateRules, with_others
    from learners.compute import prepare
    from learners.exploration import ExplorationRules
    from learners.filters import FilterRules
    from learners.learner_config import LearnerConfig
    from learners.multitask import MultiTaskConfig
    from learners.newcomers import NewnessRules
    from learners.online_learner import OnlineLearner

    prepare(settings.worker.torch_threads)

    tasks = build_tasks(settings)
    learner, recommend = settings.learner, settings.recommend
    config = LearnerConfig(
        dimension=learner.dimension,
        encoder=learner.encoder,
        encoder_length=learner.encoder_length,
        context=context_fields(settings),
        multitask=MultiTaskConfig(
            heads=learner.heads,
            experts=learner.experts,
            width=learner.heads_width,
            chain=learner.chain,
            weighting=learner.weighting,
            learning_rate=learner.heads_learning_rate,
            calibrated=learner.calibration,
        ),
        learning_rate=learner.learning_rate,
        embedding_learning_rate=learner.embedding_learning_rate,
        negatives=learner.negatives,
        candidates=max(recommend.candidates, with_others(recommend.slate_size)),
        ranked=max(recommend.ranked, with_others(recommend.slate_size)),
        ranker_share=learner.ranker_share,
        share_under_load=learner.share_under_load,
        slates=SlateRules(
            max_share_per_source=recommend.max_share_per_source,
            diversity=recommend.diversity,
            diversity_strength=recommend.diversity_strength,
            exploration=ExplorationRules(
                probability=recommend.exploration,
                temperature=recommend.exploration_temperature,
                new_share=recommend.new_share,
            ),
        ),
        filters=FilterRules(
            owned_s=recommend.owned_s,
            repeat_last=recommend.repeat_last,
            max_owned=settings.state.max_owned,
        ),
        newness=NewnessRules(age_s=recommend.new_age_s, impressions=recommend.new_impressions),
        ranker_learning_rates=learner.ranker_learning_rates,
        ranker_memory=learner.ranker_memory,
        ranker_reminders=learner.ranker_reminders,
        neighbours=learner.neighbours,
        max_pairs=settings.state.max_pairs,
        exclude_seen=recommend.exclude_seen,
        device=learner.device,
        seed=learner.seed,
    )
    batcher = build_batcher(settings)
    return Pipeline(
        OnlineLearner(tasks, config),
        batcher,
        build_attribution(settings, batcher),
        max_items=settings.state.max_items,
        slate_size=recommend.slate_size,
    )


def build_batcher(settings: Settings) -> Batcher:
    """What turns events into columns."""
    return Batcher(
        settings.events.decoded,
        choice_types(settings),
        silent_types=silent_types(settings),
        owning_types=frozenset(settings.recommend.owned_types),
        withdrawing_types=frozenset(settings.events.withdrawing_types),
        restoring_types=frozenset(settings.events.restoring_types),
        context=context_fields(settings),
    )


def build_attribution(settings: Settings, batcher: Batcher) -> Attribution:
    """What finds labels."""
    sources = {
        task.name: LabelSource(
            event_types=frozenset(batcher.number(event_type) for event_type in task.event_types),
            scale=task.scale,
        )
        for task in settings.tasks
    }
    return Attribution(
        build_tasks(settings),
        sources,
        batcher.impression,
        frozenset(map(batcher.number, ("click", "view"))),
        batcher.catalogue,
    )


def build_tasks(settings: Settings) -> tuple[Task, ...]:
    """Axis K."""
    return tuple(task.task for task in settings.tasks)


def choice_types(settings: Settings) -> frozenset[str]:
    """Event types by which a user chooses an item."""
    standard = {name for name in STANDARD_TYPES if name not in _NO_CHOICE}
    own = {name for name, declared in settings.events.types.items() if declared.target}
    refused = {name for name, declared in settings.events.types.items() if not declared.target}
    return frozenset((standard | own) - refused)


def silent_types(settings: Settings) -> frozenset[str]:
    """Event types that enter no history though they might."""
    declared = settings.events.types
    own = {name for name, of in declared.items() if not of.history}
    return frozenset(own | (_NO_HISTORY - declared.keys()))
