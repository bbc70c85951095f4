"""A worker that stood still says so, and says nothing else."""

from __future__ import annotations

import asyncio

import pytest

from stream.lease import FencedError, Lease


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_lease_holds_while_it_is_renewed_and_lapses_for_good_when_it_was_not() -> None:
    clock = Clock()
    lease = Lease(6.0, clock)
    for _ in range(10):
        clock.now += 5.0
        lease.renew()
    clock.now += 6.0
    lease.require()
    clock.now += 60.0
    with pytest.raises(FencedError, match=r"stood still for 60\.0 s"):
        lease.require()
    lease.renew()
    clock.now += 1.0
    with pytest.raises(FencedError, match=r"stood still for 60\.0 s"):
        lease.require()


def test_who_renews_first_after_standing_still_cannot_save_it() -> None:
    clock = Clock()
    lease = Lease(6.0, clock)
    clock.now += 7.0
    lease.renew()
    with pytest.raises(FencedError):
        lease.require()


async def test_a_lease_begins_when_somebody_keeps_it() -> None:
    """Before, the worker was in no group; to reach the broker may take long."""
    clock = Clock()
    lease = Lease(6.0, clock)
    clock.now += 60.0
    keeping = asyncio.create_task(lease.keep())
    await asyncio.sleep(0.02)
    lease.require()
    assert not keeping.done()
    keeping.cancel()


async def test_standing_still_is_noticed_where_nothing_is_to_be_said() -> None:
    clock = Clock()
    lease = Lease(0.05, clock)
    keeping = asyncio.create_task(lease.keep())
    await asyncio.sleep(0.02)
    assert not keeping.done()
    clock.now += 1.0
    with pytest.raises(FencedError):
        await asyncio.wait_for(keeping, 1.0)
