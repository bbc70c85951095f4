from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stream.cli.main import _COMMANDS, cli


def freshet(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words), obj={})


def test_help_imports_neither_torch_nor_faust_nor_settings() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from stream.cli.main import cli;"
        "result = CliRunner().invoke(cli, ['--help']); assert result.exit_code == 0, result.output;"
        "heavy = {'torch', 'faust', 'numpy', 'pydantic', 'kafka', 'aiokafka', 'rich'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", sorted(set(_COMMANDS) - {"worker"}))
def test_help_of_a_command_needs_no_torch(command: str) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from stream.cli.main import cli;"
        f"result = CliRunner().invoke(cli, [{command!r}, '--help'], obj={{}});"
        "assert result.exit_code == 0, result.output;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_the_list_of_commands_says_what_each_is_for() -> None:
    output = freshet("--help").output
    for command, (_, text) in _COMMANDS.items():
        assert command in output
        assert text in output


def test_settings_as_toml_can_be_read_back(tmp_path: Path) -> None:
    first = freshet("settings")
    assert first.exit_code == 0
    saved = tmp_path / "saved.toml"
    saved.write_text(first.stdout)
    assert freshet("--config", str(saved), "settings").stdout == first.stdout


def test_settings_mask_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "PLAIN",
        "SASL_USERNAME": "me",
        "SASL_PASSWORD": "hush-hush",
    }.items():
        monkeypatch.setenv(f"FRESHET_KAFKA__{name}", value)
    result = freshet("settings", "--json")
    assert "hush-hush" not in result.output
    assert json.loads(result.stdout)["kafka"]["sasl_password"] == "**********"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[learner]\ndimensoin = 32\n", ["learner.dimensoin", "Did you mean dimension?"]),
        ("[learner]\ndimension = 'many'\n", ["learner.dimension", "'many'", "integer"]),
        ("[worker]\nbatch_max_events = 0\n", ["worker.batch_max_events", "0", "greater than 0"]),
        ("not toml", ["not valid TOML"]),
    ],
)
def test_a_wrong_setting_is_a_wrong_call_that_names_file_key_and_value(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    result = freshet("--config", str(file), "settings")
    assert result.exit_code == 2
    assert all(words in " ".join(result.output.split()) for words in [*told, "mine.toml"])


def test_a_misspelt_variable_is_not_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_LERNER__DIMENSION", "32")
    result = freshet("settings")
    assert result.exit_code == 2
    assert "Did you mean FRESHET_LEARNER?" in result.output


@pytest.mark.parametrize("words", [["status"], ["worker"], ["watch"], ["dead-letters"], ["topics", "create"]])
def test_without_a_broker_a_command_says_how_to_get_one(words: list[str]) -> None:
    result = freshet(*words)
    assert result.exit_code == 1
    assert "freshet broker start" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("words", [["status"], ["watch"], ["dead-letters"], ["topics", "create"]])
def test_a_broker_that_does_not_answer_is_named(words: list[str]) -> None:
    result = freshet("--bootstrap", "127.0.0.1:1", *words)
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr


def test_an_unknown_user_is_a_failure_with_the_place_that_was_searched(tmp_path: Path) -> None:
    result = freshet("state", "user", "nobody", "--json")
    assert result.exit_code == 1
    assert "Nothing is known of user 'nobody'" in result.stderr
    assert result.stdout == ""


def test_weights_are_explained_by_a_running_worker_only() -> None:
    result = freshet("explain", "weights")
    assert result.exit_code == 1
    assert "No worker runs" in result.stderr
    assert "freshet worker" in result.stderr


def test_weights_are_sentences_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "model_step": 3,
        "tasks": [{"task": "click", "weight": 1.4, "sentence": "click 2.00 -> 1.40 because"}],
    }
    monkeypatch.setattr("stream.status.task_weights", lambda settings: told)
    assert freshet("explain", "weights").stdout == "click 2.00 -> 1.40 because\n"
    assert json.loads(freshet("explain", "weights", "--json").stdout) == told


def test_an_unknown_command_is_a_wrong_call() -> None:
    assert freshet("recommendd").exit_code == 2
