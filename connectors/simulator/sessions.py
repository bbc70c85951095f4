"""How a simulated shopper behaves in a visit: how many pages, how fast, and what follows a click."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_PAGES_MEAN = 2.5
_PAGES_MAX = 8
_SEARCHES_MEAN = 2.0
_SEARCHES_MAX = 5
_READING = (9.0, 0.5)  # of a page without clicks: median in seconds and spread of its logarithm
_FIRST_LOOK_S = 1.0
_PER_PLACE_S = 0.9
_DECISION = (2.5, 0.6)
_DWELL_SPREAD = 0.6
_CHECKOUT = (45.0, 0.6)
_OPINION = (1_800.0, 0.8)


class Planned(NamedTuple):
    """An event to come, without the id and the time that it gets when it happens."""

    event_type: str
    user_id: str
    item_id: str
    session_id: str
    recommendation_id: str | None
    position: int | None
    value: float | None


@dataclass(slots=True)
class Session:
    """A visit under way.

    Attributes:
        shopper: Slot of the shopper.
        shopper_id: Whose visit it is, also after the slot has got a new shopper.
        session_id: Id of the visit.
        searches: Own searches that still come before the first page.
        pages: Pages that are still to be shown.
    """

    shopper: int
    shopper_id: str
    session_id: str
    searches: int
    pages: int

    def planned(
        self, event_type: str, item_id: str, recommendation_id: str | None = None, position: int | None = None
    ) -> Planned:
        """An event of this visit."""
        return Planned(
            event_type, self.shopper_id, item_id, self.session_id, recommendation_id, position, None
        )


class Label(NamedTuple):
    """What follows a click: an event `after_ms` the click (always later than it), with its value."""

    after_ms: int
    event_type: str
    value: float | None


def draw_pages(rng: np.random.Generator) -> int:
    """Pages of a visit: geometric with mean 2.5, at most 8."""
    return min(int(rng.geometric(1.0 / _PAGES_MEAN)), _PAGES_MAX)


def draw_searches(rng: np.random.Generator) -> int:
    """Items found by an own search at the beginning of a visit: geometric with mean 2, at most 5."""
    return min(int(rng.geometric(1.0 / _SEARCHES_MEAN)), _SEARCHES_MAX)


def reading_ms(rng: np.random.Generator) -> int:
    """Time until the next page when nothing was clicked, milliseconds."""
    return _delay_ms(_lognormal(rng, *_READING))


def click_delay_ms(place: int, rng: np.random.Generator) -> int:
    """Time between a page and the click on its zero-based `place`: lower places are reached later."""
    return _delay_ms(_FIRST_LOOK_S + _PER_PLACE_S * place + _lognormal(rng, *_DECISION))


def labels_of_click(attraction: float, label_delay: float, rng: np.random.Generator) -> list[Label]:
    """What a click leads to: always a dwell, sometimes a cart, a purchase, a rating, in the order of causes.

    Args:
        attraction: Probability of a click on an examined place; the more attractive, the more follows.
        label_delay: Multiplies every delay, never the dwell's value.
        rng: Of the draws.

    Returns:
        Labels with their delays after the click. A cart comes before its purchase, a purchase before
        its rating; each is at least a millisecond after its cause.
    """
    dwell_s = min(_lognormal(rng, 8.0 + 50.0 * attraction, _DWELL_SPREAD), 600.0)
    labels = [Label(_delay_ms(label_delay * dwell_s), "dwell", round(dwell_s, 1))]
    cart, purchase, opinion, stars = rng.random(4).tolist()
    reached_ms = labels[0].after_ms
    bought = False
    if cart < 0.06 + 0.4 * attraction:
        cart_ms = _delay_ms(label_delay * dwell_s * (0.4 + 0.5 * cart))
        labels.append(Label(cart_ms, "add_to_cart", None))
        if purchase < 0.2 + 0.6 * attraction:
            bought = True
            reached_ms = cart_ms + _delay_ms(label_delay * _lognormal(rng, *_CHECKOUT))
            labels.append(Label(reached_ms, "purchase", None))
    if opinion < (0.35 if bought else 0.02):
        rating = min(5.0, max(1.0, round(2.0 + 3.5 * attraction + 1.6 * (stars - 0.5))))
        opinion_ms = _delay_ms(label_delay * _lognormal(rng, *_OPINION))
        labels.append(Label(reached_ms + opinion_ms, "rating", rating))
    return labels


def _lognormal(rng: np.random.Generator, median: float, spread: float) -> float:
    return median * math.exp(spread * float(rng.standard_normal()))


def _delay_ms(seconds: float) -> int:
    return max(1, round(1_000.0 * seconds))
