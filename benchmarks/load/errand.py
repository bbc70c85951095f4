"""What the sender and the reader are told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from connectors.kafka_client import KafkaClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One run at one pace.

    Attributes:
        bootstrap: The broker.
        topic: Where to send events to, or where to read slates from.
        name: Of the run; event ids are `name-N`, N from 0 on.
        rate: Events a second.
        duration_s: How long, seconds.
        values: A file with the events' other fields, one JSON object a line, which are used in turn.
        users: How many users they are spread over.
        seed: Of the schedule and of whose event each is.
        out: File for what was sent or read.
    """

    bootstrap: str
    topic: str
    name: str
    rate: float
    duration_s: float
    values: str
    users: int
    seed: int
    out: str

    @property
    def client(self) -> KafkaClient:
        """The broker."""
        return KafkaClient(bootstrap=self.bootstrap)

    def arguments(self) -> list[str]:
        """For the command line."""
        return [json.dumps(asdict(self))]

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Errand:
        """The inverse of `arguments`."""
        return cls(**json.loads(arguments[-1]))
