"""What a simulation has shown: click rates of each arm and of the oracle, whole and in time windows."""

from __future__ import annotations

from typing import Literal

import msgspec

Arm = Literal["recommended", "fallback", "popularity", "random"]

ARMS: tuple[Arm, ...] = ("recommended", "fallback", "popularity", "random")
_MAX_WINDOWS = 60


class ArmReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the shoppers of one arm were shown and did.

    `fallback` is the popularity slate for a shopper who is to get recommendations and has none yet.
    `empty_places` were left open by slates with too few items; they count as shown in the click rate, so a
    short slate gains nothing from standing on the most examined places only.
    """

    impressions: int
    empty_places: int
    clicks: int
    add_to_carts: int
    purchases: int
    click_rate: float | None


class ClickRates(msgspec.Struct, frozen=True, kw_only=True):
    """Clicks per impression, an empty place being one; None where nothing was shown.

    `oracle` is the expectation, by the true model, of the best slate for the shoppers of `recommended` at the same
    moments; `informed` that of the best slate for who knows everything but the visit's intent (`Informed`). Where
    nobody sees recommendations both are of everybody's moments.
    """

    recommended: float | None
    fallback: float | None
    popularity: float | None
    random: float | None
    oracle: float | None
    informed: float | None = None


class WindowReport(msgspec.Struct, frozen=True, kw_only=True):
    """The click rates of one stretch of simulated time, by the time of the impressions."""

    start_ms: int
    end_ms: int
    click_rate: ClickRates
    places: dict[str, int]


class SimulatorReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a simulation so far.

    Attributes:
        simulated_s: Simulated time that has passed, seconds.
        events: Events handed out.
        sessions: Visits begun.
        shoppers: Shoppers who ever were, the brand-new ones included.
        items: Items that ever were on sale.
        recommendations: Slates received.
        shoppers_per_arm: Shoppers of each fixed arm now.
        click_rate: Of each arm and of the oracle.
        lift_over_popularity: `recommended / popularity - 1`: 0.5 is half as many clicks again.
        lift_over_random: `recommended / random - 1`.
        share_of_oracle: `recommended / oracle`.
        share_of_informed: `recommended / informed`.
        arms: Counts of each arm.
        windows: The same in stretches of simulated time, at most 60, equally long.
    """

    simulated_s: float
    events: int
    sessions: int
    shoppers: int
    items: int
    recommendations: int
    shoppers_per_arm: dict[str, int]
    click_rate: ClickRates
    lift_over_popularity: float | None
    lift_over_random: float | None
    share_of_oracle: float | None
    share_of_informed: float | None
    arms: dict[str, ArmReport]
    windows: list[WindowReport]


class _Counts:
    """Places, open or filled, and clicks per arm, and the oracle's."""

    __slots__ = ("clicks", "informed_clicks", "oracle_clicks", "oracle_places", "places")

    # The oracle's are told apart by arm: who was shown what to click on has less left to be shown.

    def __init__(self) -> None:
        self.places: dict[Arm, int] = dict.fromkeys(ARMS, 0)
        self.clicks: dict[Arm, int] = dict.fromkeys(ARMS, 0)
        self.oracle_places: dict[Arm, int] = dict.fromkeys(ARMS, 0)
        self.oracle_clicks: dict[Arm, float] = dict.fromkeys(ARMS, 0.0)
        self.informed_clicks: dict[Arm, float] = dict.fromkeys(ARMS, 0.0)

    def add(self, other: _Counts) -> None:
        for arm in ARMS:
            self.places[arm] += other.places[arm]
            self.clicks[arm] += other.clicks[arm]
            self.oracle_places[arm] += other.oracle_places[arm]
            self.oracle_clicks[arm] += other.oracle_clicks[arm]
            self.informed_clicks[arm] += other.informed_clicks[arm]

    def rates(self) -> ClickRates:
        beside: tuple[Arm, ...] = ("recommended",) if self.oracle_places["recommended"] else ARMS
        places = sum(self.oracle_places[arm] for arm in beside)
        return ClickRates(
            **{arm: _ratio(self.clicks[arm], self.places[arm]) for arm in ARMS},
            oracle=_ratio(sum(self.oracle_clicks[arm] for arm in beside), places),
            informed=_ratio(sum(self.informed_clicks[arm] for arm in beside), places),
        )


class Tally:
    """Counts while the simulation runs; memory is bounded by merging windows in pairs.

    Args:
        start_ms: Simulated time at which the first window begins.
        window_s: First length of a window, simulated seconds.
    """

    def __init__(self, start_ms: int, window_s: float) -> None:
        self._start_ms = start_ms
        self._window_ms = max(1, round(1_000.0 * window_s))
        self._total = _Counts()
        self._windows: list[_Counts] = []
        self._empty: dict[Arm, int] = dict.fromkeys(ARMS, 0)
        self._follow_ups: dict[str, dict[Arm, int]] = {
            "add_to_cart": dict.fromkeys(ARMS, 0),
            "purchase": dict.fromkeys(ARMS, 0),
        }

    def page(self, arm: Arm, impressions: int, empty: int, clicks: int, at_ms: int) -> None:
        """A page of `arm` was shown at `at_ms`; its clicks count where its impressions do."""
        self._empty[arm] += empty
        for counts in (self._total, self._window(at_ms)):
            counts.places[arm] += impressions + empty
            counts.clicks[arm] += clicks

    def oracle(
        self, arm: Arm, places: int, expected_clicks: float, informed_clicks: float, at_ms: int
    ) -> None:
        """The best slates instead of a page of `arm`, the oracle's and the informed one's, would have got so many
        clicks at `at_ms`.
        """
        for counts in (self._total, self._window(at_ms)):
            counts.oracle_places[arm] += places
            counts.oracle_clicks[arm] += expected_clicks
            counts.informed_clicks[arm] += informed_clicks

    def follow_up(self, arm: Arm, event_type: str) -> None:
        """A click of `arm` led to `event_type`; other types than cart and purchase are not counted."""
        if event_type in self._follow_ups:
            self._follow_ups[event_type][arm] += 1

    @property
    def rates(self) -> ClickRates:
        """Of the whole run so far."""
        return self._total.rates()

    def arms(self) -> dict[str, ArmReport]:
        """The counts of each arm."""
        return {
            arm: ArmReport(
                impressions=self._total.places[arm] - self._empty[arm],
                empty_places=self._empty[arm],
                clicks=self._total.clicks[arm],
                add_to_carts=self._follow_ups["add_to_cart"][arm],
                purchases=self._follow_ups["purchase"][arm],
                click_rate=_ratio(self._total.clicks[arm], self._total.places[arm]),
            )
            for arm in ARMS
        }

    def windows(self) -> list[WindowReport]:
        """The windows so far, oldest first."""
        return [
            WindowReport(
                start_ms=self._start_ms + index * self._window_ms,
                end_ms=self._start_ms + (index + 1) * self._window_ms,
                click_rate=counts.rates(),
                places={str(arm): count for arm, count in counts.places.items()},
            )
            for index, counts in enumerate(self._windows)
        ]

    def _window(self, at_ms: int) -> _Counts:
        index = max(0, at_ms - self._start_ms) // self._window_ms
        while index >= _MAX_WINDOWS:
            merged = []
            for first in range(0, len(self._windows), 2):
                pair = self._windows[first]
                for other in self._windows[first + 1 : first + 2]:
                    pair.add(other)
                merged.append(pair)
            self._windows = merged
            self._window_ms *= 2
            index = max(0, at_ms - self._start_ms) // self._window_ms
        while len(self._windows) <= index:
            self._windows.append(_Counts())
        return self._windows[index]


def lift(rate: float | None, other: float | None) -> float | None:
    """`rate / other - 1`, None where either is missing or the other is zero."""
    return rate / other - 1.0 if rate is not None and other else None


def share(rate: float | None, other: float | None) -> float | None:
    """`rate / other`, None where either is missing or the other is zero."""
    return rate / other if rate is not None and other else None


def _ratio(part: float, whole: int) -> float | None:
    return part / whole if whole else None
