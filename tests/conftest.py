"""One real broker for the whole session, topics of its own for each test, and a scrubbed environment."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from connectors.kafka_client import KafkaClient
    from stream.settings import TopicSettings

# The fixtures import what they need: a test of a formula should wait for neither Kafka's client nor the settings.

# Read before the environment is scrubbed: a broker to use instead of our own, and where fetched jars are kept.
_GIVEN_BROKER = os.environ.get("FRESHET_TEST_BROKER")
_CACHE_DIR = os.environ.get("FRESHET_CACHE_DIR")


def pytest_configure(config: pytest.Config) -> None:
    # Compiled loops write wherever they are told to, and a process dies of that much later. Here, and in the workers
    # that tests start, they look first; what is compiled so lies in a folder of its own.
    os.environ.setdefault("NUMBA_BOUNDSCHECK", "1")
    os.environ.setdefault("NUMBA_CACHE_DIR", str(config.rootpath / "build" / "numba-checked"))
    # kafka-python reads its message schemas by functions that Python 3.11 and 3.12 call deprecated (3.13 does not).
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Whoever asks for the broker needs a real one: `-m "not broker"` leaves them out.

    Where tests run in several processes, each has a broker of its own, and a file's tests stay together.
    """
    if "broker" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.broker)
        item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(autouse=True)
def _scrubbed_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the person who runs the tests reaches them, and nothing lands in that person's home."""
    for variable in list(os.environ):
        if variable.startswith("FRESHET_"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("FRESHET_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def _ordinary_arithmetic() -> Iterator[None]:
    """A worker lets its process take denormal numbers for zero; that must not outlive the test that built one."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def jars_cache() -> Path | None:
    """Where the fetched Kafka is kept between test runs; None for the user's cache folder."""
    return Path(_CACHE_DIR) if _CACHE_DIR else None


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, jars_cache: Path | None) -> Iterator[KafkaClient]:
    """A real broker, shared by the tests of this session."""
    from connectors.kafka_client import KafkaClient
    from connectors.local_broker import BrokerError, LocalBroker

    if _GIVEN_BROKER:
        yield KafkaClient(bootstrap=_GIVEN_BROKER)
        return
    local = LocalBroker(tmp_path_factory.mktemp("broker"))
    try:
        status = local.start(ephemeral=True, port=0, cache_dir=jars_cache)
    except BrokerError as error:
        pytest.fail(f'{error}\nTests that need no broker: pytest -m "not broker".', pytrace=False)
    assert status.bootstrap is not None
    yield KafkaClient(bootstrap=status.bootstrap)
    local.stop()


@pytest.fixture
def topics(broker: KafkaClient) -> Iterator[TopicSettings]:
    """The five topics under names that no other test uses, created, and deleted afterwards."""
    from connectors.topics import create_topics, delete_topics
    from stream.settings import TOPICS, TopicSettings, load
    from stream.topic_specs import topic_specs

    prefix = f"test-{uuid.uuid4().hex[:12]}"
    names = {name: f"{prefix}.{name}" for name in TOPICS}
    specs = topic_specs(load(overrides={"topics": names}))
    create_topics(broker, specs)
    yield TopicSettings(**names)
    delete_topics(broker, [spec.name for spec in specs])
