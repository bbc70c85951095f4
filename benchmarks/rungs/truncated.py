"""Processors that stop early: what there is of a step before anything is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Self

from connectors.dead_letter import DeadLetter
from connectors.decode import RawRecord
from stream.assembly import build_processor
from stream.ownership import EVERYTHING, Assignment
from stream.processor import Place, Processed, Processor
from stream.settings import Settings

_NOTHING: Mapping[Place, str] = {}


class Nothing(Processor):
    """Takes note of how far the records go."""

    @classmethod
    def new(cls, settings: Settings) -> Self:
        """One that knows nothing."""
        whole = build_processor(settings)
        return cls(**{each.name: getattr(whole, each.name) for each in fields(whole)})

    def process(
        self,
        records: Sequence[RawRecord],
        now_ms: int,
        refused: Mapping[Place, str] = _NOTHING,
        assignment: Assignment = EVERYTHING,
    ) -> Processed:
        """See `Processor`."""
        for record in records:
            self.states.applied[record.partition] = record.offset
        return Processed(step=None, dead_letters=[], skipped=0, duplicates=0, decode_s=0.0, step_s=0.0)


class Decoded(Nothing):
    """Decodes records as well, and throws the events away."""

    def process(
        self,
        records: Sequence[RawRecord],
        now_ms: int,
        refused: Mapping[Place, str] = _NOTHING,
        assignment: Assignment = EVERYTHING,
    ) -> Processed:
        """See `Processor`."""
        for record in records:
            if isinstance(self.decoder.decode(record, now_ms), DeadLetter):
                raise ValueError(f"a record of the ladder is no event: {record!r}")
        return super().process(records, now_ms, refused, assignment)


class Remembered(Nothing):
    """Drops duplicates, and keeps histories, impressions and their labels, but no model learns of it."""

    def process(
        self,
        records: Sequence[RawRecord],
        now_ms: int,
        refused: Mapping[Place, str] = _NOTHING,
        assignment: Assignment = EVERYTHING,
    ) -> Processed:
        """See `Processor`."""
        read = self._read(records, now_ms, refused, assignment)
        pipeline, states = self.pipeline, self.states
        if read.events:
            arrivals = pipeline.batcher.arrivals(
                read.events, states, pipeline.items, partitions=read.partitions
            )
            states.make_room(arrivals.columns)
            pipeline._attribution.observe(arrivals.columns, arrivals.position, arrivals.values, states)
            states.apply(arrivals.columns)
        states.applied.update(read.applied)
        return super().process(records, now_ms, refused, assignment)
