"""How far the worker is: from the running worker, else from its last checkpoint, and from the broker."""

from __future__ import annotations

import time
import urllib.error
import urllib.parse
from http import HTTPStatus
from typing import Any

from connectors.kafka_client import KafkaClient
from connectors.topics import beginning_offsets, committed_offsets, end_offsets, topic_id
from stream.assembly import build_states, checkpoint_store
from stream.local_http import asked
from stream.settings import Settings
from stream.user_view import user_view
from stream.worker_card import WorkerCard, read_card

_PATIENCE_S = 10.0


class WorkerBusyError(Exception):
    """The worker runs and does not answer; the message says what to do."""


def worker_status(settings: Settings, client: KafkaClient) -> dict[str, Any]:
    """Totals, offsets and lag.

    Raises:
        connectors.kafka_admin.BrokerUnreachableError: No broker answers, or the events topic is missing.
        stream.checkpoints.manifest.CheckpointError: No worker runs and none of the checkpoints can be read.
        stream.checkpoints.place.PlaceError: The checkpoints cannot stand where the settings say.
        WorkerBusyError: The worker runs and does not answer.
    """
    asked = _ask_running(settings, "/status")
    card = asked[0] if asked is not None else None
    if asked is not None:
        found = asked[1]
        applied = {int(partition): int(offset) for partition, offset in found.pop("applied").items()}
        checkpoint_at_ms = found.pop("checkpoint_at_ms")
    else:
        found, applied, checkpoint_at_ms = _from_checkpoint(
            settings, topic_id(client, settings.topics.events)
        )
    partitions = _partitions(settings, client, applied)
    age_s = None if checkpoint_at_ms is None else max(0.0, time.time() - checkpoint_at_ms / 1000.0)
    return {
        "worker": {
            "running": card is not None,
            "pid": card.pid if card else None,
            "http": card.http if card else None,
        },
        **found,
        "lag": sum(partition["lag"] for partition in partitions),
        "checkpoint_age_s": None if age_s is None else round(age_s, 3),
        "partitions": partitions,
    }


def user_state(settings: Settings, user_id: str) -> dict[str, Any] | None:
    """One user's state, from the running worker, else from its last checkpoint; None where nothing is known.

    Raises:
        stream.checkpoints.manifest.CheckpointError: No worker runs and none of the checkpoints can be read.
        stream.checkpoints.place.PlaceError: The checkpoints cannot stand where the settings say.
    """
    try:
        asked = _ask_running(settings, f"/users/{urllib.parse.quote(user_id, safe='')}")
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
    if asked is not None:
        return asked[1]
    checkpoint = checkpoint_store(settings).latest(("users", "items"))
    if checkpoint is None:
        return None
    from learners.row_index import RowIndex

    states, items = build_states(settings), RowIndex(settings.state.max_items)
    states.load_state_dict(checkpoint.pieces["users"])
    items.load_state_dict(checkpoint.pieces["items"])
    return user_view(states, items, settings.events.declared, user_id)


def task_weights(settings: Settings) -> dict[str, Any] | None:
    """Why the tasks weigh what they weigh, from the running worker; None where none runs."""
    asked = _ask_running(settings, "/weights")
    return None if asked is None else asked[1]


def _ask_running(settings: Settings, path: str) -> tuple[WorkerCard, dict[str, Any]] | None:
    """The worker that runs in this state folder and what it answers; None where none does, or is stopping.

    Raises:
        urllib.error.HTTPError: It answers with an error.
        WorkerBusyError: It does not answer.
    """
    card = read_card(settings.state_dir)
    if card is None or not card.is_running:
        return None
    try:
        return card, asked(card.http, path, _PATIENCE_S)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
            return None
        raise
    except TimeoutError as error:
        raise WorkerBusyError(
            f"The worker (pid {card.pid}) did not answer within {_PATIENCE_S:.0f} s. It may be busy with a recovery: "
            f"ask again, or look at its log."
        ) from error
    except OSError:
        return None


def _from_checkpoint(settings: Settings, id_now: str) -> tuple[dict[str, Any], dict[int, int], int | None]:
    manifest = checkpoint_store(settings).latest_manifest()
    if manifest is None:
        names = (
            "events_learned",
            "events_followed",
            "recommendations",
            "dead_letters",
            "records_skipped",
            "duplicates",
            "late_events",
            "users",
            "items",
            "model_step",
        )
        return dict.fromkeys(names, 0) | {"owned": []}, {}, None
    applied = manifest.applied if manifest.is_of(id_now) else {}
    return {**manifest.totals, **manifest.summary, "owned": []}, applied, manifest.created_at_ms


def _partitions(settings: Settings, client: KafkaClient, applied: dict[int, int]) -> list[dict[str, Any]]:
    topic = settings.topics.events
    ends = end_offsets(client, topic)
    beginnings = beginning_offsets(client, topic)
    committed = committed_offsets(client, settings.worker.group, topic)
    return [
        {
            "partition": partition,
            "end": end,
            "committed": committed.get(partition),
            "applied": applied.get(partition),
            "lag": max(0, end - max(applied.get(partition, -1) + 1, beginnings[partition])),
        }
        for partition, end in sorted(ends.items())
    ]
