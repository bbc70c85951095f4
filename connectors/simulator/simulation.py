"""The engine of the simulation: time and slates go in, events come out; no clock, no I/O, one seed."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from connectors.event import Event
from connectors.recommendation import Recommendation
from connectors.simulator.audience import Audience
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.informed import Informed
from connectors.simulator.popularity import DecayedPopularity
from connectors.simulator.report import Arm, SimulatorReport, Tally, lift, share
from connectors.simulator.sessions import (
    Planned,
    Session,
    click_delay_ms,
    draw_pages,
    draw_searches,
    labels_of_click,
    reading_ms,
)
from connectors.simulator.world import SEARCH_FOCUS, Slots, World

_STEP_MS = 5_000
_EVENTS_PER_PAGE = (
    12.0  # a guess that books pages in advance; the true number replaces it when they are shown
)
_LATENESS_MS = 10_000
_LATENESS_CALLS = 2.5  # where simulated time leaps, a call alone is as late as that
_MAX_LATENESS = 6.0  # times the lateness above
_SEARCHED_ITEMS = 200


class Simulation:
    """Shoppers who visit, see slates, click or not, and what follows.

    The same config, start and sequence of calls give the same events. Events come out in the order of event
    time, over all calls. `advance` and `receive` belong to one thread.

    Args:
        config: Size and switches.
        start_ms: Simulated time of the start, UTC milliseconds; nothing happens before it.
    """

    def __init__(self, config: SimulatorConfig, start_ms: int) -> None:
        self.config = config
        self._start_ms = self._now_ms = start_ms
        self._rng = np.random.default_rng(config.seed)
        self._world = World(config, start_ms, self._rng)
        self._informed = Informed(self._world)
        half_life_s = config.popularity_half_life_s
        self._popularity = DecayedPopularity(config.items, half_life_s, start_ms, self._rng)
        self._audience = Audience(self._world, config, start_ms, self._rng)
        self._tally = Tally(start_ms, config.window_s)
        self._slates: dict[str, Recommendation] = {}
        self._received = 0
        self.last_served: str | None = None
        """The shopper whose slate was received last."""
        self._agenda: list[tuple[int, int, Session | Planned]] = []
        self._order = itertools.count()
        self._ready: deque[Planned] = deque()
        self._ready_ms = start_ms
        self._owed = 0.0
        self._pages = 0
        self._sessions = 0
        self._events = 0
        self._next_birth_ms = self._after_birth(start_ms)
        # Two runs of one seed are two streams: the start keeps their ids apart.
        self._prefix = f"w{config.seed}-{start_ms:x}"

    @property
    def titles(self) -> Mapping[str, str]:
        """A readable title for every item on sale and for those that were until lately; live, read-only."""
        return MappingProxyType(self._world.titles)

    @property
    def now_ms(self) -> int:
        """Simulated time up to which the simulation has advanced."""
        return self._now_ms

    @property
    def world(self) -> World:
        """The truth, for those who measure what could be known of it."""
        return self._world

    def receive(self, recommendation: Recommendation) -> None:
        """Take the newest slate for a shopper; one for a shopper who is not here is counted and dropped."""
        self._received += 1
        if recommendation.user_id in self._world.shopper_slots:
            self._slates[recommendation.user_id] = recommendation
            self.last_served = recommendation.user_id

    def advance(self, now_ms: int, limit: int) -> list[Event]:
        """Let simulated time pass up to `now_ms`.

        So many visits begin that `limit` events come out of a call on average; what is due beyond it comes
        out of the next calls, later but in order. In the first simulated minute fewer come out, and so
        they do when nearly every shopper is already in a visit.

        Args:
            now_ms: Simulated time, UTC milliseconds; time never goes back, so an earlier one counts as now.
            limit: The most events that are returned, and the number that is aimed at.

        Returns:
            Events in the order of their time, each at most `now_ms`.
        """
        events: list[Event] = []
        begin_ms, span_ms = self._now_ms, now_ms - self._now_ms
        steps = max(1, -(-span_ms // _STEP_MS))
        for step in range(1, steps + 1):
            if span_ms > 0:
                until_ms = begin_ms + span_ms * step // steps
                wanted = limit / steps * self._pressure(span_ms)
                self._owed = min(self._owed + wanted, wanted + 10 * _EVENTS_PER_PAGE)
                self._begin_sessions(self._now_ms, until_ms)
                self._now_ms = until_ms
            self._run(limit, events)
        return events

    def worth(self, recommendation: Recommendation) -> tuple[float, float] | None:
        """The clicks that the true model expects of a slate now, and those of the best one.

        None of a shopper who is not here, or who does not see recommendations.
        """
        world = self._world
        shopper = world.shopper_slots.get(recommendation.user_id)
        if shopper is None or self._audience.arms[shopper] != "recommended":
            return None
        _, best = world.best_slate(shopper, self._now_ms)
        slate = np.array(self._on_sale(recommendation), np.intp)
        return world.expected_clicks(shopper, slate, self._now_ms), best

    def best_slate(self, shopper_id: str) -> list[str]:
        """The slate that the true model expects the most clicks of, for this shopper now.

        Raises:
            KeyError: There is no such shopper.
        """
        world = self._world
        slate, _ = world.best_slate(world.shopper_slots[shopper_id], self._now_ms)
        return [world.item_ids[slot] for slot in slate.tolist()]

    def report(self) -> SimulatorReport:
        """What has been shown so far; cheap enough to be called every second."""
        rates = self._tally.rates
        return SimulatorReport(
            simulated_s=(self._now_ms - self._start_ms) / 1_000.0,
            events=self._events,
            sessions=self._sessions,
            shoppers=self._world.shoppers_made,
            items=self._world.items_made,
            recommendations=self._received,
            shoppers_per_arm=self._audience.shoppers_per_arm(),
            click_rate=rates,
            lift_over_popularity=lift(rates.recommended, rates.popularity),
            lift_over_random=lift(rates.recommended, rates.random),
            share_of_oracle=share(rates.recommended, rates.oracle),
            share_of_informed=share(rates.recommended, rates.informed),
            arms=self._tally.arms(),
            windows=self._tally.windows(),
        )

    # What happens when

    def _pressure(self, span_ms: int) -> float:
        """Part of the wanted events to book: less than 1 while events come out later than they should.

        Without it, one chance burst after the other would make the queue of due events longer for good.
        """
        late_ms = self._now_ms - self._agenda[0][0] if self._agenda else 0
        lateness_ms = max(_LATENESS_MS, _LATENESS_CALLS * span_ms)
        if late_ms > _MAX_LATENESS * lateness_ms:
            return 0.0
        return 0.95 if late_ms > lateness_ms else 1.0

    def _begin_sessions(self, from_ms: int, until_ms: int) -> None:
        """Begin visits between two moments until enough events are booked."""
        while self._owed > 0.0:
            at_ms = int(self._rng.integers(from_ms + 1, until_ms + 1))
            visitor = self._audience.begin_visit(at_ms)
            if visitor is None:
                return
            shopper, gone = visitor
            if gone is not None:
                self._slates.pop(gone, None)
            self._informed.begin_visit(shopper)
            organic = self._rng.random() < self.config.organic_share
            self._sessions += 1
            session = Session(
                shopper=shopper,
                shopper_id=self._world.shopper_ids[shopper],
                session_id=f"{self._prefix}-s{self._sessions}",
                searches=draw_searches(self._rng) if organic else 0,
                pages=draw_pages(self._rng),
            )
            self._owed -= session.pages * _EVENTS_PER_PAGE
            self._plan(at_ms, session)

    def _plan(self, at_ms: int, what: Session | Planned) -> None:
        heapq.heappush(self._agenda, (at_ms, next(self._order), what))

    def _run(self, limit: int, events: list[Event]) -> None:
        """Let happen what is due by now, in order, until `limit` events are out."""
        while len(events) < limit:
            if self._ready:
                events.append(self._happen(self._ready.popleft(), self._ready_ms))
                continue
            if not self._agenda or self._agenda[0][0] > self._now_ms:
                return
            at_ms, _, what = heapq.heappop(self._agenda)
            if self._next_birth_ms <= at_ms:
                self._renew_items(at_ms)
            if isinstance(what, Planned):
                events.append(self._happen(what, at_ms))
            elif what.searches:
                self._search(what, at_ms)
            else:
                self._show_page(what, at_ms)

    def _happen(self, planned: Planned, at_ms: int) -> Event:
        self._events += 1
        if planned.event_type in ("click", "view"):
            slot = self._world.item_slots.get(planned.item_id)
            if slot is not None:
                self._popularity.add(slot, at_ms)
        if self._events == self.config.rotate_at:
            self._world.rotate()
        return Event(
            event_id=f"{self._prefix}-{self._events}",
            event_type=planned.event_type,
            occurred_at_ms=at_ms,
            user_id=planned.user_id,
            item_id=planned.item_id,
            session_id=planned.session_id,
            recommendation_id=planned.recommendation_id,
            position=planned.position,
            value=planned.value,
        )

    def _renew_items(self, at_ms: int) -> None:
        while self._next_birth_ms <= at_ms:
            slot = int(self._rng.integers(self.config.items))
            self._world.place_item(slot)
            self._popularity.forget(slot)
            self._next_birth_ms = self._after_birth(self._next_birth_ms)

    def _after_birth(self, at_ms: float) -> float:
        if self.config.new_items == 0.0:
            return float("inf")
        return at_ms + 3_600_000.0 * float(self._rng.exponential(1.0 / self.config.new_items))

    # What shoppers do

    def _search(self, session: Session, at_ms: int) -> None:
        """An own search: the shopper views something to the own taste; another search or a page follows."""
        world, rng = self._world, self._rng
        found = rng.integers(self.config.items, size=_SEARCHED_ITEMS)
        logits = world.logits(session.shopper, at_ms, found)
        # Gumbel noise turns the maximum into a draw from the softmax; a search is more focused than browsing.
        best = int(np.argmax(SEARCH_FOCUS * logits + rng.gumbel(size=_SEARCHED_ITEMS)))
        view = session.planned("view", world.item_ids[found[best]])
        self._ready.append(view)
        self._ready_ms = at_ms
        self._informed.viewed(session.shopper, int(found[best]), at_ms)
        stay_ms, labels = self._follow_up(session, view, int(found[best]), float(logits[best]), at_ms)
        self._owed -= 1 + labels
        session.searches -= 1
        self._plan(at_ms + stay_ms + reading_ms(rng), session)

    def _show_page(self, session: Session, at_ms: int) -> None:
        """One page: a slate is shown, some places are clicked, and the next page follows."""
        world, rng, shopper = self._world, self._rng, session.shopper
        arm, recommendation_id, slate = self._slate_for(shopper, at_ms)
        logits = world.logits(shopper, at_ms, slate)
        chances = world.attraction(logits) * world.examination[: len(slate)]
        clicked = np.flatnonzero(rng.random(len(slate)) < chances).tolist()
        self._tally.page(arm, len(slate), self.config.places - len(slate), len(clicked), at_ms)
        if self._pages % self.config.oracle_every == 0:
            _, expected = world.best_slate(shopper, at_ms)
            informed = world.expected_clicks(shopper, self._informed.best_slate(shopper, at_ms), at_ms)
            self._tally.oracle(arm, self.config.places, expected, informed, at_ms)
        self._pages += 1

        slots = slate.tolist()
        for place, slot in enumerate(slots):
            item_id = world.item_ids[slot]
            self._ready.append(session.planned("impression", item_id, recommendation_id, place))
        self._ready_ms = at_ms
        booked = len(slots)
        next_ms = at_ms + reading_ms(rng)
        for place in clicked:
            delay_ms = self.config.label_delay * click_delay_ms(place, rng)
            click_ms = at_ms + max(1, round(delay_ms))
            click = session.planned("click", world.item_ids[slots[place]], recommendation_id, place)
            self._plan(click_ms, click)
            self._informed.clicked(shopper, slots[place], at_ms)
            stay_ms, labels = self._follow_up(
                session, click, slots[place], float(logits[place]), click_ms, arm
            )
            next_ms += stay_ms
            booked += 1 + labels
        self._owed += _EVENTS_PER_PAGE - booked
        session.pages -= 1
        if session.pages:
            self._plan(next_ms, session)
        else:
            self._audience.end_visit(shopper, next_ms)

    def _slate_for(self, shopper: int, at_ms: int) -> tuple[Arm, str | None, Slots]:
        """What the shopper is shown now: the arm it counts for, the recommendation behind it, item slots."""
        places, arm = self.config.places, self._audience.arms[shopper]
        if arm == "random":
            return arm, None, self._rng.choice(self.config.items, places, replace=False)
        if arm == "recommended":
            recommendation = self._slates.get(self._world.shopper_ids[shopper])
            if recommendation is not None:
                on_sale = self._on_sale(recommendation)
                if on_sale:
                    return arm, recommendation.recommendation_id, np.array(on_sale, dtype=np.intp)
            arm = "fallback"
        popular = self._popularity.top(min(5 * places, self.config.items))
        # A fair baseline does not repeat what the shopper clicked or bought just now.
        had = self._world.satiated(shopper, at_ms)
        fresh = [slot for slot in popular.tolist() if slot not in had] if had else []
        if len(fresh) >= places:
            return arm, None, np.array(fresh[:places], dtype=np.intp)
        return arm, None, popular[:places]

    def _on_sale(self, recommendation: Recommendation) -> list[int]:
        """The slots that a page has of a slate: an item that is no longer sold is left out, the next one moves up."""
        known = (self._world.item_slots.get(item.item_id) for item in recommendation.items)
        return list(dict.fromkeys(slot for slot in known if slot is not None))[: self.config.places]

    def _follow_up(
        self, session: Session, click: Planned, slot: int, logit: float, click_ms: int, arm: Arm | None = None
    ) -> tuple[int, int]:
        """Plan what a click or view leads to; returns how long it keeps the shopper (ms) and its events."""
        world = self._world
        world.remember_click(session.shopper, slot, click_ms)
        stay_ms = 0
        labels = labels_of_click(world.attraction_of(logit), self.config.label_delay, self._rng)
        for label in labels:
            at_ms = click_ms + label.after_ms
            self._plan(at_ms, click._replace(event_type=label.event_type, value=label.value))
            if label.event_type == "dwell" and label.value is not None:
                stay_ms = round(1_000.0 * label.value)
            elif label.event_type == "purchase":
                world.remember_purchase(session.shopper, slot, at_ms)
            if arm is not None:
                self._tally.follow_up(arm, label.event_type)
        return stay_ms, len(labels)
