"""One file, the environment, options: who wins, and what is said of a mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.decode import MAX_ITEMS
from connectors.event_types import STANDARD_TYPES
from connectors.kafka_client import KafkaClient
from connectors.recommendation import OTHER_PARTS
from stream.settings import Settings, SettingsError, load

Written = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `freshet.toml` of the checkout is found, nor the state folder that all tests are given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FRESHET_STATE_DIR")


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str, name: str = "given.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def mistake(path: Path | None = None, overrides: dict[str, Any] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(path, overrides)
    return str(caught.value)


# --- precedence


def test_without_anything_the_defaults_hold() -> None:
    settings = load()
    assert (settings.learner.dimension, settings.broker) == (64, None)
    assert [task.name for task in settings.tasks][:3] == ["click", "cart", "purchase"]
    assert settings == Settings()


def test_options_win_over_environment_over_file_over_defaults(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written("[learner]\ndimension = 8\nseed = 8\nnegatives = 8\n")
    monkeypatch.setenv("FRESHET_LEARNER__DIMENSION", "16")
    monkeypatch.setenv("FRESHET_LEARNER__SEED", "16")
    learner = load(path, {"learner": {"dimension": 32}}).learner
    assert (learner.dimension, learner.seed, learner.negatives) == (32, 16, 8)
    assert learner.encoder_length == 20, "the rest of a section keeps its defaults"


def test_the_file_of_the_working_folder_is_found(written: Written) -> None:
    written("[learner]\ndimension = 8\n", "freshet.toml")
    assert load().learner.dimension == 8
    assert load(written("", "other.toml")).learner.dimension == 64, "unless another one is named"


def test_a_section_may_come_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_LEARNER", '{"dimension": 16}')
    assert load().learner.dimension == 16


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_LEARNER__DIMENSION", "")
    assert load().learner.dimension == 64


def test_strangers_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNER__DIMENSION", "16")
    assert load().learner.dimension == 64


def test_folders_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    settings = load(overrides={"state_dir": "here", "cache_dir": "~/there"})
    assert (settings.state_dir, settings.cache_dir) == (tmp_path / "here", Path("/home/ann/there"))


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().learner.dimension = 5


# --- mistakes

UNKNOWN = {
    "[learner]\ndimenson = 3": ("learner.dimenson", "Did you mean dimension?"),
    "learnr = 3": ("learnr", "Did you mean learner?"),
    "[learnr]\ndimension = 3": ("learnr", "Did you mean learner?"),
    "[learner]\nzzz = 3": ("learner.zzz", "Allowed here: calibration, chain, "),
    '[[tasks]]\nname = "a"\nevent_types = ["click"]\nvalu = 2': ("tasks.0.valu", "Did you mean value?"),
    "[events.types.listen]\ntarge = true": ("events.types.listen.targe", "Did you mean target?"),
}


@pytest.mark.parametrize(("text", "expected"), UNKNOWN.items(), ids=[key for key, _ in UNKNOWN.values()])
def test_an_unknown_key_is_named_with_what_was_meant(
    written: Written, text: str, expected: tuple[str, str]
) -> None:
    path = written(text)
    key, hint = expected
    assert mistake(path).startswith(f"Unknown setting '{key}' in {path}. {hint}")
    assert "\n" not in mistake(path), "one mistake, one line"


WRONG = {
    "[learner]\ndimension = 'many'": ("learner.dimension", "'many'", "valid integer"),
    "[learner]\ndimension = 2": ("learner.dimension", "2", "greater than or equal to 4"),
    "[learner]\nencoder = 'lstm'": ("learner.encoder", "'lstm'", "'attention', 'gru', 'mixed' or 'sasrec'"),
    "[learner]\nlearning_rate = nan": ("learner.learning_rate", "nan", "a finite number"),
    "[recommend]\nexploration = 1.5": ("recommend.exploration", "1.5", "less than or equal to 0.5"),
    "[state]\nmax_users = 0": ("state.max_users", "0", "greater than 0"),
    "[worker]\nsession_timeout_s = 1": ("worker.session_timeout_s", "1", "greater than or equal to 6"),
    "[worker]\nhttp = 'here'": ("worker.http", "'here'", "host:port, such as 127.0.0.1:8321"),
    "[worker]\nhttp = ':70000'": ("worker.http", "':70000'", "host:port"),
    "[events]\ncontext = ['a', 'a']": ("events.context", "['a', 'a']", "must name different fields"),
    "[events]\ncontext = ['']": ("events.context.0", "''", "at least 1 character"),
    "[events]\nmax_context_fields = 1\ncontext = ['a', 'b']": (
        "events",
        "not consistent",
        "context names 2 fields, of which max_context_fields keeps 1",
    ),
    "[learner]\ncontext_buckets = 20000": ("learner.context_buckets", "20000", "less than or equal to 16384"),
    "learner = 3": ("learner", "3", "valid dictionary"),
    "tasks = []": ("tasks", "[]", "at least 1 item"),
    "[[tasks]]\nname = 'A b'\nevent_types = ['click']": ("tasks.0.name", "'A b'", "match pattern"),
    "[[tasks]]\nname = 'a'\nevent_types = []": ("tasks.0.event_types", "[]", "at least 1 item"),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.items(), ids=[f"{k}={v}" for k, v, _ in WRONG.values()])
def test_a_wrong_value_is_named_with_its_key_and_file(
    written: Written, text: str, expected: tuple[str, str, str]
) -> None:
    path = written(text)
    key, value, allowed = expected
    said = mistake(path)
    assert said.startswith(f"Setting '{key}' in {path} is {value}: ")
    assert allowed in said
    assert "\n" not in said, "one mistake, one line"


def test_a_missing_value_is_named(written: Written) -> None:
    path = written("[[tasks]]\nname = 'a'")
    assert mistake(path) == f"Setting 'tasks.0.event_types' in {path}: Field required."


def test_several_mistakes_are_all_named(written: Written) -> None:
    said = mistake(written("[learner]\ndimension = 2\nseed = 'x'"))
    assert [line.split("'")[1] for line in said.splitlines()] == ["learner.dimension", "learner.seed"]


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("FRESHET_LEARNER__DIMENSION", "2", "Setting 'learner.dimension'"),
        ("FRESHET_LEARNER__DIMENSON", "8", "Unknown setting 'learner.dimenson'"),
    ],
)
def test_a_mistake_of_the_environment_is_not_blamed_on_the_file(
    written: Written, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, key: str
) -> None:
    path = written("[learner]\ndimension = 8")
    monkeypatch.setenv(variable, value)
    assert mistake(path).startswith(f"{key} in the environment or options")


def test_a_mistake_of_an_option_is_not_blamed_on_the_file(written: Written) -> None:
    path = written("[learner]\ndimension = 8")
    said = mistake(path, {"learner": {"dimension": 1}})
    assert said.startswith("Setting 'learner.dimension' in the environment or options is 1")


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("FRESHET_LEARNR__DIMENSION", "Did you mean FRESHET_LEARNER?"),
        ("FRESHET_BROKR", "Did you mean FRESHET_BROKER?"),
        ("FRESHET_ZZZ", "Allowed here: FRESHET_BROKER, "),
    ],
)
def test_a_misspelt_variable_is_not_ignored(
    monkeypatch: pytest.MonkeyPatch, variable: str, hint: str
) -> None:
    monkeypatch.setenv(variable, "3")
    assert mistake().startswith(f"Unknown setting {variable} in the environment. {hint}")


@pytest.mark.parametrize("variable", ["FRESHET_TASKS", "FRESHET_EVENTS__CONTEXT"])
def test_a_variable_that_is_no_json_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "[{")
    assert mistake().startswith(f"The environment variable {variable} cannot be read: lists and tables are")


@pytest.mark.parametrize("where", ["state_dir", "worker.checkpoints"])
def test_a_home_that_is_nobodys_is_explained(where: str, written: Written) -> None:
    section, _, name = where.rpartition(".")
    path = written(f"[{section}]\n{name} = '~nobody-here/x'" if section else f"{name} = '~nobody-here/x'")
    assert mistake(path).startswith(
        f"Setting '{where}' in {path} is '~nobody-here/x': names the home of a user"
    )


@pytest.mark.parametrize(
    "overrides",
    [
        {"events": {"lateness_s": 1e16}},
        {"events": {"max_future_s": 10**16}},
        *(
            {"tasks": [{"name": "a", "event_types": ["click"], name: 1e17}]}
            for name in ("window_s", "wait_s", "late_s")
        ),
    ],
)
def test_times_fit_into_milliseconds(overrides: dict[str, Any]) -> None:
    assert "less than or equal to 100000000000" in mistake(overrides=overrides)


@pytest.mark.parametrize(
    ("first", "second"), [("weighted", "auto"), ("auto", "focal"), ("focal", "weighted")]
)
@pytest.mark.parametrize("chain", ["product", "both"])
def test_a_funnel_by_products_needs_probabilities(first: str, second: str, chain: str) -> None:
    tasks = [task("a") | {"loss": first}, task("b") | {"loss": second, "after": "a"}]
    said = mistake(overrides={"tasks": tasks, "learner": {"chain": chain}})
    assert "task 'b' comes after 'a', and their probabilities are multiplied" in said
    assert load(overrides={"tasks": tasks, "learner": {"chain": "gate"}}).tasks[1].after == "a"
    assert load(overrides={"tasks": [task("a") | {"loss": first}, task("b")]}).learner.chain == "product"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert mistake(tmp_path / "none.toml") == (
        f"Cannot read the settings file {tmp_path / 'none.toml'}: No such file or directory."
    )


def test_a_file_that_is_no_toml_is_named(written: Written, tmp_path: Path) -> None:
    assert "is not valid TOML" in mistake(written("[learner"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    assert "is not valid TOML" in mistake(tmp_path / "bytes.toml")


# --- secrets

SASL = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "PLAIN",
    "sasl_username": "me",
    "sasl_password": "hunter2",
    "ssl_password": "hunter2",
}


def test_secrets_are_masked_wherever_settings_are_shown() -> None:
    settings = load(overrides={"kafka": SASL})
    shown = [settings.model_dump_json(), repr(settings), str(settings), str(settings.model_dump())]
    assert not [text for text in shown if "hunter2" in text]
    assert "**********" in shown[0]
    assert settings.kafka.sasl_password is not None
    assert settings.kafka.sasl_password.get_secret_value() == "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        "[kafka]\nsasl_password = ['hunter2']",
        "[kafka]\nssl_password = {a = 'hunter2'}",
        "[kafka]\nsecurity_protocol = 'SASL_SSL'\nsasl_password = 'hunter2'",
    ],
)
def test_secrets_are_masked_in_mistakes(written: Written, text: str) -> None:
    assert "hunter2" not in mistake(written(text))


@pytest.mark.parametrize("missing", ["sasl_mechanism", "sasl_username", "sasl_password"])
def test_half_a_sasl_is_refused(missing: str) -> None:
    said = mistake(overrides={"kafka": {name: value for name, value in SASL.items() if name != missing}})
    assert f"security_protocol SASL_SSL also needs {missing}" in said


def test_no_sasl_needs_nothing() -> None:
    assert load(overrides={"kafka": {"security_protocol": "SSL"}}).kafka.sasl_username is None


def test_certificates_may_stand_at_home_and_one_that_is_not_there_is_named() -> None:
    settings = load(overrides={"kafka": {"security_protocol": "SSL", "ssl_cafile": "~/no-such-ca.pem"}})
    assert settings.kafka.ssl_cafile == Path.home() / "no-such-ca.pem"
    with pytest.raises(FileNotFoundError, match=r"there is no ssl_cafile: .*no-such-ca\.pem"):
        KafkaClient(
            bootstrap="x:1", security_protocol="SSL", ssl_cafile=settings.kafka.ssl_cafile
        ).ssl_context()


# --- consistency


@pytest.mark.parametrize("topic", ["events", "dead_letters", "drift"])
@pytest.mark.parametrize("hours", [0, -2])
def test_no_topic_forgets_everything_at_once(topic: str, hours: int) -> None:
    said = mistake(overrides={"topics": {f"{topic}_retention_hours": hours}})
    assert "must be at least 1, or -1 to keep everything for ever" in said


@pytest.mark.parametrize(
    "settings",
    [
        {"tasks": [{"name": "a", "event_types": ("Order Completed",)}]},
        {"recommend": {"owned_types": ("Order Completed",)}},
    ],
)
def test_a_type_of_another_vocabulary_is_told_the_name_under_which_it_arrives(
    settings: dict[str, Any],
) -> None:
    assert "its events arrive as 'purchase'" in mistake(overrides=settings)


def task(name: str, *event_types: str) -> dict[str, Any]:
    return {"name": name, "event_types": event_types or ("click",)}


def test_tasks_have_different_names() -> None:
    assert "tasks must have different names, got a, a" in mistake(overrides={"tasks": [task("a"), task("a")]})


def test_a_task_waits_for_declared_types_only() -> None:
    said = mistake(overrides={"tasks": [task("a", "click", "listen")]})
    assert "task 'a' waits for event type 'listen', which is neither standard nor declared" in said
    settings = load(overrides={"tasks": [task("a", "listen")], "events": {"types": {"listen": {}}}})
    assert settings.tasks[0].event_types == ("listen",)


def test_topics_have_different_names() -> None:
    said = mistake(overrides={"topics": {"events": "x", "dead_letters": "x"}})
    assert "the five topics must have different names" in said


def test_declared_types_follow_the_standard_ones() -> None:
    types = {"listen": {}, "click": {"target": False}, "hum": {}}
    assert load(overrides={"events": {"types": types}}).events.declared == (*STANDARD_TYPES, "listen", "hum")


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_type_needs_a_name(name: str) -> None:
    assert "must have 1 to 64 characters" in mistake(overrides={"events": {"types": {name: {}}}})


def test_types_are_bounded() -> None:
    many = {f"t{n}": {} for n in range(101)}
    assert "at most 100 items" in mistake(overrides={"events": {"types": many}})


def test_a_step_has_no_more_events_than_there_may_be_users_or_items() -> None:
    assert load().events_a_step == load().worker.batch_max_events
    assert load(overrides={"state": {"max_users": 30}}).events_a_step == 30
    for most in (1, 2, 20, 998, 999, 1_400, 5_000):
        events = load(overrides={"state": {"max_users": 5_000, "max_items": most}}).events_a_step
        assert events >= 1
        if most >= 2 * MAX_ITEMS:
            assert events == min(1_024, most - MAX_ITEMS + 1), "its last record may be a list of new items"
        else:
            assert events == -(-most // 2)


@pytest.mark.parametrize("name", OTHER_PARTS)
def test_no_task_is_called_like_another_part_of_the_score(name: str) -> None:
    said = mistake(overrides={"tasks": [task(name)]})
    assert f"a task must not be called {name!r}" in said


@pytest.mark.parametrize(
    "events",
    [
        {"types": {"transaction": {}}},
        {"withdrawing_types": ["refund"]},
        {"restoring_types": ["Product Viewed"]},
    ],
)
def test_a_type_is_not_called_like_a_standard_one_elsewhere(events: dict[str, Any]) -> None:
    assert "is another vocabulary's name for the standard type" in mistake(overrides={"events": events})


@pytest.mark.parametrize(
    "overrides",
    [
        {"events": {"lateness_s": "inf"}},
        {"recommend": {"new_age_s": "inf"}},
        {"tasks": [task("a") | {"window_s": "inf"}]},
        {"tasks": [task("a") | {"value": "nan"}]},
    ],
)
def test_a_number_is_finite(overrides: dict[str, Any]) -> None:
    assert "finite number" in mistake(overrides=overrides)


@pytest.mark.parametrize("variable", ["FRESHET_BROKER__X", "FRESHET_STATE_DIR__X", "FRESHET_TASKS__X"])
def test_a_part_of_what_has_none_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsError, match=f"Unknown setting {variable} .* has no parts"):
        load()
