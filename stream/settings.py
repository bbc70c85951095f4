"""Every setting, from one `freshet.toml` and `FRESHET_*` environment variables; the only reader of the environment.

Order of precedence: command-line option, environment (`FRESHET_LEARNER__DIMENSION=32`), file, default.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from connectors.decode import MAX_ITEMS
from connectors.event_types import STANDARD_TYPES, canonical_type
from connectors.recommendation import OTHER_PARTS
from learners.task import Task, funnel, refuse_bent_products

FILE_NAME = "freshet.toml"
_PREFIX = "FRESHET_"
_NAME = r"^[a-z][a-z0-9_]{0,63}$"

_LONGEST_S = 100_000_000_000  # three thousand years, for "never"

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(ge=0.0, le=_LONGEST_S)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
FieldName = Annotated[str, Field(min_length=1, max_length=64)]


class SettingsError(Exception):
    """A setting that cannot be used; the message names key, value, what is allowed, and where it stands."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class KafkaSecurity(_Section):
    """How to speak to the broker; passed to every client as it is."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_password: SecretStr | None = None
    ssl_check_hostname: bool = True

    @field_validator("ssl_cafile", "ssl_certfile", "ssl_keyfile")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else _at_home(path).absolute()

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        if self.security_protocol.startswith("SASL"):
            missing = [
                name
                for name in ("sasl_mechanism", "sasl_username", "sasl_password")
                if getattr(self, name) is None
            ]
            if missing:
                raise ValueError(
                    f"security_protocol {self.security_protocol} also needs {', '.join(missing)}"
                )
        return self


def _hours_or_for_ever(hours: int) -> int:
    if hours < 1 and hours != -1:
        raise ValueError("must be at least 1, or -1 to keep everything for ever")
    return hours


RetentionHours = Annotated[int, AfterValidator(_hours_or_for_ever)]

TOPICS = ("events", "recommendations", "drift", "dead_letters", "model")
"""What topics there are, by their settings' names."""


class TopicSettings(_Section):
    """Names, partitions and retention of the five topics."""

    events: str = "freshet.events"
    recommendations: str = "freshet.recommendations"
    drift: str = "freshet.drift"
    dead_letters: str = "freshet.dead-letters"
    model: str = "freshet.model"
    partitions: Positive = 4
    replication_factor: Positive = 1
    events_retention_hours: RetentionHours = 24 * 7
    dead_letters_retention_hours: RetentionHours = 24 * 30
    drift_retention_hours: RetentionHours = 24 * 90
    model_retention_bytes: Annotated[int, Field(ge=1 << 26)] = 1 << 30
    """About what all item vectors take: a worker that has lost its state finds the latest of them there."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise ValueError(
                f"the five topics must have different names, got {', '.join(self.names)}: "
                f"a worker that reads what it writes never ends"
            )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Of all of them, in the order of `TOPICS`."""
        return tuple(getattr(self, kind) for kind in TOPICS)


class EventTypeSettings(_Section):
    """What the pipeline does with an event type of your own."""

    target: bool = True
    """Choosing an item in this way is what the recommender learns to foresee."""

    history: bool = True
    """It enters its user's history."""


def _refuse_name(event_type: str) -> None:
    if not event_type or len(event_type) > 64:
        raise ValueError(f"event type {event_type!r} must have 1 to 64 characters")
    if (standard := canonical_type(event_type)) != event_type:
        raise ValueError(
            f"event type {event_type!r} is another vocabulary's name for the standard type {standard!r}, as which its "
            f"events arrive; use {standard!r}, or send them under another name"
        )


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError("names the home of a user whom this machine does not know") from error


class EventSettings(_Section):
    """What counts as an event."""

    max_bytes: Positive = 65_536
    max_id_length: Positive = 256
    max_context_fields: Positive = 32
    context: Annotated[tuple[FieldName, ...], Field(max_length=8)] = ()
    """Fields of `context` that the model takes in with a history's events."""
    max_future_s: Annotated[int, Field(gt=0, le=_LONGEST_S)] = 86_400
    duplicates_window: Annotated[int, Field(ge=0, le=100_000_000)] = 100_000
    """Events of a partition among which an id counts once; 0 for no looking back."""
    lateness_s: Seconds = 3_600.0
    """How far behind its user's newest event one may lie and still be put where it belongs."""
    types: Annotated[dict[str, EventTypeSettings], Field(max_length=100)] = {}
    withdrawing_types: tuple[str, ...] = ("item_unavailable",)
    """The item cannot be had from now on; whose event it is does not matter."""
    restoring_types: tuple[str, ...] = ("item_available",)
    """And now it can be had again; also how a shop announces an item that nobody has seen yet."""

    @field_validator("types")
    @classmethod
    def _names(cls, types: dict[str, EventTypeSettings]) -> dict[str, EventTypeSettings]:
        for name in types:
            _refuse_name(name)
        return types

    @field_validator("context")
    @classmethod
    def _fields_differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError(f"must name different fields, got {', '.join(names)}")
        return names

    @model_validator(mode="after")
    def _context_is_kept(self) -> Self:
        if len(self.context) > self.max_context_fields:
            raise ValueError(
                f"context names {len(self.context)} fields, of which max_context_fields keeps {self.max_context_fields}"
            )
        return self

    @model_validator(mode="after")
    def _catalogue_types_are_nothing_else(self) -> Self:
        for name in self.catalogue:
            _refuse_name(name)
            if name in self.declared:
                raise ValueError(
                    f"event type {name!r} says whether an item is available, so it can neither be a standard "
                    f"type nor stand under [events.types]"
                )
        if len(set(self.catalogue)) != len(self.catalogue):
            raise ValueError(
                f"withdrawing_types and restoring_types must name different event types, got "
                f"{', '.join(self.catalogue)}"
            )
        return self

    @property
    def declared(self) -> tuple[str, ...]:
        """Standard types, then the declared ones: their order is the type axis of the history."""
        return (*STANDARD_TYPES, *(name for name in self.types if name not in STANDARD_TYPES))

    @property
    def catalogue(self) -> tuple[str, ...]:
        """Types that speak of items only; no history holds them."""
        return (*self.withdrawing_types, *self.restoring_types)

    @property
    def decoded(self) -> tuple[str, ...]:
        """What is accepted."""
        return (*self.declared, *self.catalogue)


class TaskSettings(_Section):
    """One thing to predict about a user and an item."""

    name: Annotated[str, Field(pattern=_NAME)]
    kind: Literal["binary", "regression", "ranking"] = "binary"
    value: Annotated[float, Field(ge=0.0)] = 1.0
    window_s: Annotated[float, Field(gt=0.0, le=_LONGEST_S)] = 1_800.0
    negative: Literal["window", "impression", "none"] = "window"
    wait_s: Seconds = 60.0
    late_s: Seconds | None = None
    event_types: Annotated[tuple[str, ...], Field(min_length=1)]
    scale: Annotated[float, Field(gt=0.0)] = 1.0
    after: str | None = None
    loss: Literal["auto", "cross_entropy", "focal", "weighted", "squared", "huber", "listwise"] = "auto"
    weight: Annotated[float, Field(ge=0.0)] = 1.0

    @property
    def task(self) -> Task:
        """The task as the learner knows it; late answers count for a second window where nothing else is said."""
        return Task(
            name=self.name,
            kind=self.kind,
            value=self.value,
            window_s=self.window_s,
            negative=self.negative,
            wait_s=self.wait_s,
            late_s=self.window_s if self.late_s is None else self.late_s,
            after=self.after,
            loss=self.loss,
            weight=self.weight,
        )


_DEFAULT_TASKS = (
    TaskSettings(name="click", value=2.0, window_s=60, event_types=("click", "view")),
    TaskSettings(name="cart", value=0.5, window_s=600, event_types=("add_to_cart",)),
    TaskSettings(name="purchase", value=1.0, window_s=3_600, event_types=("purchase",)),
    *(
        TaskSettings(name=name, value=0.5, window_s=3_600, event_types=(name,))
        for name in ("like", "bookmark", "comment", "share", "follow")
    ),
    TaskSettings(
        name="rating", kind="regression", value=0.5, window_s=86_400, event_types=("rating",), scale=5.0
    ),
    TaskSettings(
        name="dwell", kind="regression", value=0.5, window_s=3_600, event_types=("dwell",), scale=60.0
    ),
)


class StateSettings(_Section):
    """What is remembered of users, and its bounds."""

    history_length: Positive = 50
    max_users: Positive = 2_000_000
    max_items: Positive = 2_000_000
    max_pending: Positive = 500_000
    max_owned: Positive = 2_000_000
    max_pairs: Positive = 4_000_000


class WorkerSettings(_Section):
    """How the stream is worked."""

    group: str = "freshet"
    http: str = "127.0.0.1:8321"
    batch_max_events: Positive = 1_024
    batch_max_age_ms: Annotated[float, Field(ge=0.0, le=1_000.0)] = 2.0
    checkpoint_every_s: Annotated[float, Field(gt=0.0)] = 5.0
    tell_every_s: Annotated[float, Field(gt=0.0)] = 1.0
    """How often one of several workers tells the others what it learned."""
    checkpoints: str | None = None
    """A folder or an fsspec URL; below the state folder where nothing is said."""
    checkpoints_kept: Positive = 3
    checkpoint_deltas: Annotated[int, Field(ge=0, le=1_000)] = 20
    refused_per_hour: Annotated[int, Field(ge=0)] = 20
    """Records that the learner fails on and that are passed over, before the worker stops."""
    session_timeout_s: Annotated[float, Field(ge=6.0)] = 12.0
    stop_within_s: Annotated[float, Field(gt=0.0)] = 25.0
    torch_threads: Positive = 1
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @field_validator("checkpoints")
    @classmethod
    def _place(cls, place: str | None) -> str | None:
        if place is None or "://" in place:
            return place
        return str(_at_home(Path(place)).absolute())

    @field_validator("http")
    @classmethod
    def _address(cls, address: str) -> str:
        _, colon, port = address.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65_535:
            raise ValueError("must be host:port, such as 127.0.0.1:8321")
        return address


class LearnerSettings(_Section):
    """The model and how it learns."""

    dimension: Annotated[int, Field(ge=4, le=512)] = 64
    encoder_length: Annotated[int, Field(ge=1, le=200)] = 20
    encoder: Literal["attention", "gru", "mixed", "sasrec"] = "attention"
    context_buckets: Annotated[int, Field(ge=2, le=16_384)] = 1_024
    """Into which the values of all `events.context` are hashed; their vectors are dense parameters, so more cost."""
    heads: Literal["mmoe", "cgc", "shared_bottom", "single_task"] = "mmoe"
    experts: Annotated[int, Field(ge=1, le=64)] = 4
    heads_width: Annotated[int, Field(ge=4, le=512)] = 32
    heads_learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.0005
    chain: Literal["product", "gate", "both"] = "product"
    calibration: bool = True
    weighting: Literal[
        "equal",
        "fixed",
        "random",
        "uncertainty",
        "dwa",
        "gradnorm",
        "famo",
        "stch",
        "pcgrad",
        "mgda",
        "cagrad",
        "balanced",
        "aligned",
    ] = "gradnorm"
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.002
    embedding_learning_rate: Annotated[float, Field(gt=0.0, le=2.0)] = 0.2
    negatives: Positive = 256
    ranker_share: Share = 1.0
    share_under_load: Share = 0.5
    ranker_learning_rates: Annotated[
        tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...], Field(min_length=1, max_length=8)
    ] = (0.001, 0.004)
    ranker_memory: Annotated[int, Field(ge=0, le=100_000)] = 4_096
    ranker_reminders: Annotated[int, Field(ge=0, le=100)] = 2
    neighbours: Annotated[int, Field(ge=1, le=1_000)] = 80
    device: str = "cpu"
    seed: int = 0


class RecommendSettings(_Section):
    """What a slate looks like."""

    slate_size: Annotated[int, Field(ge=1, le=200)] = 20
    candidates: Annotated[int, Field(ge=10, le=5_000)] = 400
    ranked: Annotated[int, Field(ge=10, le=5_000)] = 128
    exploration: Annotated[float, Field(ge=0.0, le=0.5)] = 0.03
    exploration_temperature: Annotated[float, Field(gt=0.0)] = 1.0
    new_share: Annotated[float, Field(ge=0.0, le=0.5)] = 0.02
    new_age_s: Annotated[float, Field(gt=0.0)] = 7 * 86_400.0
    new_impressions: Positive = 100
    exclude_seen: bool = False
    owned_types: tuple[str, ...] = ()
    owned_s: Annotated[float, Field(ge=0.0)] = 0.0
    repeat_last: bool = False
    max_share_per_source: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    diversity: Literal["none", "mmr", "dpp"] = "none"
    diversity_strength: Annotated[float, Field(gt=0.0, le=100.0)] = 0.5


class MonitoringSettings(_Section):
    """What is watched, and how closely."""

    drift: bool = True
    drift_detector: Literal["page_hinkley", "adwin"] = "page_hinkley"
    drift_false_alarms: Annotated[float, Field(gt=0.0, le=10.0)] = 0.5
    """Of all detectors together in 100,000 events in which nothing changes, at most."""
    reactions: tuple[Literal["histories", "ranker", "head_boost", "head_reset", "task_weight"], ...] = (
        "histories",
        "head_boost",
        "head_reset",
        "task_weight",
    )
    """What may be done about drift."""
    reaction_events: Positive = 12_000
    trial_events: Positive = 6_000
    reaction_cool_down: Annotated[int, Field(ge=0)] = 20_000
    progressive_window: Annotated[int, Field(ge=1, le=20_000)] = 5_000

    @model_validator(mode="after")
    def _trials_end(self) -> Self:
        if self.trial_events > self.reaction_events:
            raise ValueError(
                f"trial_events {self.trial_events} is more than reaction_events {self.reaction_events}: a reaction "
                f"must be judged before it ends"
            )
        return self


class Settings(BaseSettings):
    """The whole configuration; `freshet settings` prints it."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    broker: str | None = None
    """Bootstrap servers, `host:port[,host:port]`; without it the local broker of `freshet broker` is used."""
    state_dir: Path = Path(platformdirs.user_state_dir("freshet"))
    cache_dir: Path = Path(platformdirs.user_cache_dir("freshet"))
    """What can be fetched again: the Apache Kafka that `freshet broker` runs."""
    kafka: KafkaSecurity = KafkaSecurity()
    topics: TopicSettings = TopicSettings()
    events: EventSettings = EventSettings()
    tasks: Annotated[tuple[TaskSettings, ...], Field(min_length=1, max_length=32)] = _DEFAULT_TASKS
    state: StateSettings = StateSettings()
    worker: WorkerSettings = WorkerSettings()
    learner: LearnerSettings = LearnerSettings()
    recommend: RecommendSettings = RecommendSettings()
    monitoring: MonitoringSettings = MonitoringSettings()

    @property
    def events_a_step(self) -> int:
        """Most events of a step: each may bring a user and an item, and there must be room for all of these.

        The last record of a step may be a list, whose items come on top.
        """
        items = self.state.max_items
        return min(
            self.worker.batch_max_events, self.state.max_users, max(items - MAX_ITEMS + 1, -(-items // 2))
        )

    @field_validator("state_dir", "cache_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return _at_home(path).absolute()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [task.name for task in self.tasks]
        if len(set(names)) != len(names):
            raise ValueError(f"tasks must have different names, got {', '.join(names)}")
        for name in names:
            if name in OTHER_PARTS:
                raise ValueError(
                    f"a task must not be called {name!r}: so is a part of an item's score that is no task's; "
                    f"choose another name"
                )
        tasks = [task.task for task in self.tasks]
        funnel(tasks)
        if self.learner.chain != "gate":
            refuse_bent_products(tasks)
        declared = set(self.events.declared)
        named = [
            *(
                (event_type, f"task {task.name!r} waits for")
                for task in self.tasks
                for event_type in task.event_types
            ),
            *((event_type, "recommend.owned_types names") for event_type in self.recommend.owned_types),
        ]
        for event_type, who in named:
            if event_type not in declared:
                standard = canonical_type(event_type)
                arrives = f"; its events arrive as {standard!r}" if standard != event_type else ""
                raise ValueError(
                    f"{who} event type {event_type!r}, which is neither standard nor declared under "
                    f"[events.types]{arrives}"
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file; no `.env`, no secret folders."""
        assert isinstance(init_settings, InitSettingsSource)
        values = init_settings.init_kwargs
        overrides = InitSettingsSource(settings_cls, init_kwargs=values.get("overrides", {}))
        file = InitSettingsSource(settings_cls, init_kwargs=values.get("file", {}))
        return overrides, env_settings, file


def load(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The effective settings.

    Args:
        path: The settings file; `./freshet.toml` where there is one when None.
        overrides: Values of command-line options, nested like the file.

    Raises:
        SettingsError: A file that cannot be read, an unknown key, a wrong type or value.
    """
    if path is None and Path(FILE_NAME).is_file():
        path = Path(FILE_NAME)
    file: dict[str, Any] = {}
    if path is not None:
        try:
            file = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"Cannot read the settings file {path}: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not valid TOML: {error}.") from error
    _refuse_unknown_variables()
    try:
        return Settings(file=file, overrides=dict(overrides or {}))  # type: ignore[call-arg]
    except ValidationError as error:
        problems = [problem for problem in error.errors() if not _follows(problem, error.errors())]
        raise SettingsError("\n".join(_explain(problem, file, path) for problem in problems)) from error
    except Exception as error:  # pydantic-settings wraps undecodable variables in its own type
        if type(error).__name__ == "SettingsError":
            raise SettingsError(_explain_variables(str(error))) from error
        raise


def _explain_variables(told: str) -> str:
    """pydantic-settings names the section only."""
    found = re.search(r'field "(\w+)"', told)
    section = _PREFIX + (found[1].upper() if found else "")
    variables = ", ".join(sorted(name for name in os.environ if name.upper().startswith(section)))
    return (
        f"The environment variable {variables} cannot be read: lists and tables are written as JSON, such as "
        f"FRESHET_EVENTS__CONTEXT='[\"device\"]'."
    )


def _refuse_unknown_variables() -> None:
    """A misspelt `FRESHET_...` must not be ignored."""
    known = {name.upper(): field.annotation for name, field in Settings.model_fields.items()}
    for variable in os.environ:
        if variable.startswith(_PREFIX):
            name, inside, _ = variable.removeprefix(_PREFIX).partition("__")
            if name not in known:
                raise SettingsError(
                    f"Unknown setting {variable} in the environment.{_suggestion(name, set(known), _PREFIX)}"
                )
            section = known[name]
            if inside and not (isinstance(section, type) and issubclass(section, _Section)):
                raise SettingsError(
                    f"Unknown setting {variable} in the environment: {_PREFIX}{name} has no parts."
                )


def _follows(problem: Any, problems: Sequence[Any]) -> bool:
    """Whether it is only said because of another: a list counts as too short when its entries are wrong."""
    depth = len(problem["loc"])
    return problem["type"] == "too_short" and any(
        len(other["loc"]) > depth and other["loc"][:depth] == problem["loc"] for other in problems
    )


def _explain(problem: Any, file: Mapping[str, Any], path: Path | None) -> str:
    """One sentence: key, value, what is allowed, where it stands."""
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location) or "settings"
    place = f"in {path}" if path is not None and _is_in(file, problem) else "in the environment or options"
    if problem["type"] == "extra_forbidden":
        allowed = _keys_at(location[:-1])
        return f"Unknown setting {key!r} {place}.{_suggestion(location[-1], allowed)}"
    message = problem["msg"].removeprefix("Value error, ")
    silent = problem["type"] == "missing" or (problem["type"] == "value_error" and not location)
    value = "" if silent else f" is {_shown(key, problem['input'])}"
    return f"Setting {key!r} {place}{value}: {message}."


def _shown(key: str, value: object) -> str:
    if isinstance(value, Mapping | BaseModel):
        return "not consistent"
    return "'**********'" if isinstance(value, SecretStr) or key.endswith("password") else repr(value)


def _is_in(file: Mapping[str, Any], problem: Any) -> bool:
    """Whether the value that is wrong stands in the file: a variable or an option may have replaced it."""
    node: Any = file
    for part in problem["loc"]:
        if isinstance(node, Mapping) and part in node:
            node = node[str(part)]
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            return bool(node is not file and problem["type"] == "missing")
    given = problem["input"]
    return bool(file) and (isinstance(node, Mapping) or node is given or bool(node == given))


def _keys_at(location: list[str]) -> set[str]:
    model: Any = Settings
    for part in location:
        fields = getattr(model, "model_fields", {})
        if part in fields:
            model = fields[part].annotation
        elif entries := get_args(model):  # of a list or of a table
            model = entries[1] if get_origin(model) is dict else entries[0]
        else:
            return set()
    return set(getattr(model, "model_fields", {}))


def _suggestion(name: str, allowed: set[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(name, sorted(allowed), n=1)
    if close:
        return f" Did you mean {prefix}{close[0]}?"
    return f" Allowed here: {', '.join(prefix + key for key in sorted(allowed))}." if allowed else ""
