"""Whether a worker should be started again, and whether it does its work: from plain facts, with every reason."""

from __future__ import annotations

STUCK_AFTER_S = 120.0
UNDELIVERED_S = 10.0


def why_not_alive(*, busy: bool, since_progress_s: float, undelivered_s: float) -> list[str]:
    """Why it should be started again; nothing where that would not help.

    Args:
        busy: Whether records wait or a step is under way.
        since_progress_s: Since a step has ended.
        undelivered_s: For how long results have waited for the broker, which a restart would not bring back.
    """
    if undelivered_s > 0.0 or not busy or since_progress_s <= STUCK_AFTER_S:
        return []
    return [f"records wait, and no step has ended for {since_progress_s:.0f} s"]


def why_not_ready(
    *, owned: int | None, topic_problem: str | None, undelivered_s: float, fenced: bool
) -> list[str]:
    """What it still waits for.

    Args:
        owned: How many partitions are its own; None before the group has shared them for the first time.
        topic_problem: What is wrong with the events topic or the broker, None where nothing is.
        undelivered_s: For how long results have waited for the broker.
        fenced: Whether it stood still for longer than its session and is about to start again.
    """
    reasons = []
    if fenced:
        reasons.append("it stood still for longer than its session, and starts again")
    if owned is None:
        reasons.append("partitions are not assigned yet")
    elif owned == 0:
        reasons.append("no partitions are assigned: other members of the group have them all")
    if topic_problem is not None:
        reasons.append(topic_problem)
    if undelivered_s > UNDELIVERED_S:
        reasons.append(f"results have waited for the broker for {undelivered_s:.0f} s")
    return reasons
