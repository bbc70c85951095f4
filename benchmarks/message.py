"""What a child process is told: a data class that goes over the command line as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

from connectors.kafka_client import KafkaClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What every child that speaks to the broker is told.

    Attributes:
        bootstrap: The broker.
    """

    bootstrap: str

    @property
    def client(self) -> KafkaClient:
        """The broker."""
        return KafkaClient(bootstrap=self.bootstrap)

    def arguments(self) -> list[str]:
        """For the command line of the process."""
        return [json.dumps(asdict(self))]

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Self:
        """The inverse of `arguments`."""
        return cls(**json.loads(arguments[-1]))
