"""`freshet dead-letters`: what is listed of a topic, and what is shown of what comes afterwards."""

from __future__ import annotations

import asyncio
import json

import pytest
from click.testing import CliRunner
from test_dead_letter_replay import letter, refuse

from connectors.dead_letter import Reason, encode_dead_letter
from connectors.kafka_client import KafkaClient
from stream.cli import dead_letters as command
from stream.cli.main import cli
from stream.settings import TopicSettings

pytestmark = pytest.mark.broker


async def test_the_newest_are_shown_and_all_of_them_counted(
    broker: KafkaClient, topics: TopicSettings
) -> None:
    reasons = [Reason.BAD_ID, Reason.BAD_ID, Reason.OVERSIZED, Reason.BAD_ID]
    await refuse(
        broker,
        topics,
        *(encode_dead_letter(letter(b"%d" % n, n, reason)) for n, reason in enumerate(reasons)),
        encode_dead_letter(letter(b"3", 3, Reason.BAD_ID)),  # published again after a crash
    )
    words = ["--bootstrap", broker.bootstrap, "dead-letters", "--limit", "2", "--json"]
    environment = {"FRESHET_TOPICS__DEAD_LETTERS": topics.dead_letters}
    result = await asyncio.to_thread(CliRunner().invoke, cli, words, env=environment)
    told = json.loads(result.stdout)
    assert (told["count"], told["reasons"]) == (5, {"bad_id": 4, "oversized": 1})
    assert [one["offset"] for one in told["dead_letters"]] == [3, 3]


async def test_what_comes_while_the_list_is_made_is_shown_after_it(
    broker: KafkaClient, topics: TopicSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    await refuse(broker, topics, encode_dead_letter(letter(b"listed", 1)))
    found = await command._existing(broker, topics.dead_letters, frozenset(), None)
    await refuse(broker, topics, encode_dead_letter(letter(b"meanwhile", 2)))
    following = asyncio.create_task(
        command._follow(broker, topics.dead_letters, found.ends, frozenset(), as_json=True)
    )
    try:
        said = ""
        async with asyncio.timeout(20):
            while "\n" not in said:
                await asyncio.sleep(0.05)
                said += capsys.readouterr().out
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert [one.offset for one in found.newest] == [1]
    assert [json.loads(line)["offset"] for line in said.splitlines()] == [2]
