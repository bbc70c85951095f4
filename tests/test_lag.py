"""Lag in time, from offsets."""

from __future__ import annotations

from monitoring.lag import LagClock


def test_who_has_applied_everything_is_as_fresh_as_the_last_look() -> None:
    clock = LagClock(100.0)
    assert clock.look(100.0, end=10, applied=9) == 100.0
    assert clock.look(105.0, end=10, applied=9) == 105.0


def test_who_falls_behind_stays_at_the_look_whose_end_was_reached() -> None:
    clock = LagClock(0.0)
    clock.look(0.0, end=10, applied=9)
    assert clock.look(5.0, end=20, applied=12) == 0.0
    assert clock.look(10.0, end=30, applied=18) == 0.0
    assert clock.look(15.0, end=40, applied=19) == 5.0, (
        "what had arrived at 5 s is applied, what came later is not"
    )
    assert clock.look(20.0, end=50, applied=45) == 15.0
    assert clock.look(25.0, end=50, applied=49) == 25.0


def test_a_backlog_of_the_start_counts_from_the_start() -> None:
    clock = LagClock(50.0)
    assert clock.look(50.0, end=1_000, applied=-1) == 50.0
    assert clock.look(60.0, end=1_000, applied=500) == 50.0


def test_an_empty_partition_is_never_behind() -> None:
    assert LagClock(0.0).look(7.0, end=0, applied=-1) == 7.0


def test_a_lag_of_hours_needs_no_more_memory_and_does_not_get_smaller() -> None:
    clock = LagClock(0.0)
    clock.look(0.0, end=1, applied=0)
    for n in range(1, 5_000):
        assert clock.look(float(n), end=1 + n, applied=0) == 0.0
    assert len(clock._ends) <= 1_000


def test_a_steady_lag_of_hours_stays_what_it_is() -> None:
    """2,400 looks behind, more than are remembered."""
    clock, lag = LagClock(0.0), 2_400
    for n in range(10 * lag):
        caught_up_at = clock.look(float(n), end=n, applied=n - lag - 1)
        if n > 2 * lag:
            assert lag <= n - caught_up_at <= 1.02 * lag
