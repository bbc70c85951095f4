"""Events a second, step by step, from a consumer that reads and forgets to a worker that does everything.

All rungs read one topic of one real broker on this machine, and each is a process of its own: what is measured
is that process alone, from the first records after its warm-up to the last. `events_per_s` is by the clock,
`events_per_s_core` by the processor time of all its threads; the broker works beside it on the same cores.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import mall
from benchmarks.place import child, place, publish, topics
from benchmarks.rungs.course import Course
from benchmarks.rungs.pieces import pieces
from connectors.kafka_client import KafkaClient
from stream.allocator import keep_temporaries
from stream.settings import TOPICS, TopicSettings, load

STOCK, LEARNING, LEARNING_ALL, ANSWERING, WORKING = (
    "stock Faust agent, nothing done",
    "+ predict and learn",
    "the same, all of it by gradients",
    "+ recommend and publish",
    "a worker, with checkpoints",
)


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder.

    Attributes:
        module: What runs, below `benchmarks.rungs`.
        thousands: How many thousand records are measured, and how many with --quick.
        learns: Whether it begins with what is known of the shops.
    """

    module: str
    thousands: tuple[float, float]
    learns: bool = False


RUNGS: Mapping[str, Rung] = {
    "aiokafka, nothing done": Rung("raw", (2_000, 400)),
    STOCK: Rung("stock", (120, 30)),
    "our transport, nothing done": Rung("batched", (1_500, 300)),
    "+ decode": Rung("batched", (1_000, 200)),
    "+ state": Rung("batched", (100, 25)),
    LEARNING: Rung("batched", (100, 25), learns=True),
    LEARNING_ALL: Rung("batched", (100, 25), learns=True),
    ANSWERING: Rung("batched", (100, 15), learns=True),
    WORKING: Rung("worker", (100, 15), learns=True),
}

_TAUGHT, _TAUGHT_QUICK = 400_000, 100_000
_LOG, _LOG_QUICK = 120_000, 40_000  # records of the topic, before they come again
_COPIES, _COPIES_QUICK = 18, 12
_REPETITIONS, _REPETITIONS_QUICK = 5, 2
_WARM_UP = 10_000
_SHOWN = 0.005  # of a profile; what is less is summed up
FLAMES = Path("build/benchmarks/ladder.svg")
"""The flame graph of a full step."""


def measure(quick: bool) -> list[dict[str, Any]]:
    """One row a rung, medians of interleaved repetitions, and one a piece of the time of a full step."""
    keep_temporaries()
    wanted, taught = (_LOG_QUICK, _TAUGHT_QUICK) if quick else (_LOG, _TAUGHT)
    log = mall.read(mall.log_of(taught + wanted)[taught:])
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in RUNGS}
    with place() as (client, folder), topics(client, "mall") as found:
        publish(client, found, log, _COPIES_QUICK if quick else _COPIES)
        known = mall.checkpoint(load(overrides={"topics": found.model_dump()}), taught)
        runs = _Runs(client, found, folder, known, quick)
        for _ in range(_REPETITIONS_QUICK if quick else _REPETITIONS):
            for name in RUNGS:
                results[name].append(runs.run(name))
        stock_us = _us(results[STOCK])
        return [_row(name, made, stock_us) for name, made in results.items()] + runs.profile()


def headline(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What there is to say in a few numbers."""
    by_name = {row["rung"]: row for row in rows if "rung" in row}
    names = {
        "raw_read": "aiokafka, nothing done",
        "stock_noop": STOCK,
        "transport_noop": "our transport, nothing done",
        "decoding": "+ decode",
        "state": "+ state",
        "learning": LEARNING,
        "learning_all": LEARNING_ALL,
        "learning_and_recommending": ANSWERING,
        "worker": WORKING,
    }
    found: dict[str, Any] = {}
    for name, rung in names.items():
        found[f"{name}_events_per_s"] = by_name[rung]["events_per_s"]
        found[f"{name}_events_per_s_core"] = by_name[rung]["events_per_s_core"]
    stock = by_name[STOCK]
    for name in ("learning", "learning_all", "learning_and_recommending", "worker"):
        for per in ("", "_core"):
            found[f"{name}_over_stock{per}"] = (
                found[f"{name}_events_per_s{per}"] / stock[f"events_per_s{per}"]
            )
    return {**found, "share_under_load": load().learner.share_under_load, "items": mall.ITEMS}


class _Runs:
    """Children, one after the other, each in a group and a folder of its own."""

    def __init__(
        self, client: KafkaClient, topics: TopicSettings, folder: Path, known: Path, quick: bool
    ) -> None:
        self._client, self._topics, self._folder = client, topics, folder
        self._known, self._quick = known, quick
        self._numbers = count()

    def run(self, name: str, flames: Sequence[Path] = ()) -> dict[str, Any]:
        """What a rung takes."""
        rung, number = RUNGS[name], next(self._numbers)
        state = self._folder / f"state-{number}"
        state.mkdir()
        if rung.learns:
            mall.begin_with(self._known, state)
        course = Course(
            rung=name,
            bootstrap=self._client.bootstrap,
            topics=self._topics.model_dump(include=set(TOPICS)),
            group=f"ladder-{number}",
            state_dir=str(state),
            warm_up=_WARM_UP,
            events=round(1_000 * rung.thousands[self._quick]),
            flames=tuple(str(file.absolute()) for file in flames),
        )
        return child(f"benchmarks.rungs.{rung.module}", course.arguments(), state / "rung.log")

    def profile(self) -> list[dict[str, Any]]:
        """Where the time of a full step goes; a flame graph of it is left in `FLAMES`."""
        FLAMES.parent.mkdir(parents=True, exist_ok=True)
        stacks = self._folder / "stacks.txt"
        made = self.run(ANSWERING, (stacks, FLAMES))
        us = made["cpu_s"] / made["events"] * 1e6
        return _profiled(stacks.read_text().splitlines(), us)


def _us(made: Sequence[Mapping[str, Any]]) -> float:
    """Processor time of an event, microseconds."""
    return statistics.median(run["cpu_s"] / run["events"] * 1e6 for run in made)


def _row(name: str, made: Sequence[Mapping[str, Any]], stock_us: float) -> dict[str, Any]:
    us = _us(made)
    speeds = [run["events"] / run["wall_s"] for run in made]
    return {
        "rung": name,
        "events_per_s": statistics.median(speeds),
        "least": min(speeds),
        "most": max(speeds),
        "events_per_s_core": 1e6 / us,
        "over_stock_core": stock_us / us,
        "us_per_event": us,
        "slates_per_event": statistics.median(run["slates"] / run["events"] for run in made),
        "repetitions": len(made),
    }


def _profiled(stacks: Sequence[str], us: float) -> list[dict[str, Any]]:
    found = pieces(stacks)
    looks = sum(samples for _, _, samples in found)
    shown = [each for each in found if each[2] >= _SHOWN * looks]
    small = looks - sum(samples for _, _, samples in shown)
    return [
        {
            "doing": phase,
            "what": piece,
            "looks": samples,
            "share": round(samples / looks, 3),
            "us_per_event": samples / looks * us,
        }
        for phase, piece, samples in [*shown, ("everything else", "", small)]
    ]
