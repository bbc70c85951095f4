"""Which finding leads to which reaction: where a change shows says what is to be turned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from learners.knobs import Piece, Turn
from monitoring.drift import DriftFinding

Reaction = Literal["histories", "ranker", "head_boost", "head_reset", "task_weight"]

PIECE_OF: dict[Reaction, Piece] = {
    "histories": "histories",
    "ranker": "ranker",
    "head_boost": "heads",
    "head_reset": "heads",
    "task_weight": "heads",
}
"""The reactions, and what each of them turns; in the order in which they are tried."""

_TASTES = frozenset({"slates", "choices", "retrieval_loss", "ranking_loss"})
_RANKER_RATE = 2.0
_HEAD_RATE = 3.0
_TASK_WEIGHT = 0.25
_BROKEN = 0.5  # nats, or squares, by which a task's loss rises where its head is wrong rather than late


def reactions_to(finding: DriftFinding, given_up: Sequence[str]) -> tuple[Reaction, ...]:
    """What there is to do about a finding, each on another piece.

    What people answer and choose is foreseen worse: their tastes are others, so what they did before says the wrong
    thing, and the ranker trusts it too much. One task is foreseen worse: its head learns faster, or begins anew where
    it is quite wrong. Where that was given up lately, labels have become noise, and the others are protected from them.

    Args:
        finding: One that is reason to act.
        given_up: Tasks whose heads were turned without gain lately.
    """
    if finding.signal in _TASTES:
        return ("histories", "ranker")
    if finding.task in given_up:
        return ("task_weight",)
    if finding.signal == "loss" and finding.after - finding.before > _BROKEN:
        return ("head_reset",)
    return ("head_boost",)


def serves_at_once(finding: DriftFinding) -> bool:
    """Whether there is so little to lose that a reaction serves before it has been better.

    So it is where slates are answered worse. What the answers to other slates would have been, no shadow can tell.
    """
    return finding.signal == "slates"


def turn_of(reaction: Reaction, finding: DriftFinding, task: int) -> Turn:
    """How a reaction turns its piece.

    Args:
        reaction: Which.
        finding: What it answers.
        task: Number of the finding's task, 0 where it is no task's.
    """
    if reaction == "histories":
        return Turn(piece="histories", since_s=finding.since_ms / 1000.0)
    if reaction == "ranker":
        return Turn(piece="ranker", rate=_RANKER_RATE)
    if reaction == "task_weight":
        return Turn(piece="heads", task=task, weight=_TASK_WEIGHT)
    return Turn(piece="heads", task=task, rate=_HEAD_RATE, reset=reaction == "head_reset")
