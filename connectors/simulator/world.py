"""The truth behind the simulated behaviour: items, shoppers, and how likely one clicks the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from connectors.simulator.config import SimulatorConfig
from connectors.simulator.titles import item_title

Floats = npt.NDArray[np.float64]
Slots = npt.NDArray[np.intp]

BIAS = -3.9
SHARPNESS = 3.8
QUALITY_SPREAD = 0.7
ITEM_SPREAD = 0.6
LEANING_SPREAD = 0.45
INTENT = 0.5
SEARCH_FOCUS = 2.0
CATEGORY_POWER = 0.5
EXAMINATION_POWER = 0.5
CLICKED_PENALTY = 4.0
PURCHASED_PENALTY = 8.0
PURCHASE_CONSTANT_S = 14 * 86_400.0
_NEGLIGIBLE = 0.02  # a smaller penalty is forgotten; it would change a click probability by under 2 %


class World:
    """Items (N), shoppers (S), categories (K) and vectors of length D; the click model stands on them.

    Slots are reused: a new item takes the slot of one that is no longer sold, a brand-new shopper the slot
    of one who does not come back. Ids are never used twice.

    Args:
        config: Size and switches.
        start_ms: Simulated time at which everybody's taste is drawn.
        rng: Of every draw.
    """

    def __init__(self, config: SimulatorConfig, start_ms: int, rng: np.random.Generator) -> None:
        self.config = config
        self.rng = rng
        N, S, K, D = config.items, config.shoppers, config.categories, config.dimension
        self.categories: Floats = _unit(rng.standard_normal((K, D)))
        weights = rng.permutation(np.arange(1, K + 1, dtype=np.float64) ** -CATEGORY_POWER)
        self._category_cdf: Floats = np.cumsum(weights / weights.sum())
        self.examination: Floats = np.arange(1, config.places + 1, dtype=np.float64) ** -EXAMINATION_POWER

        self.item_ids: list[str] = [""] * N
        self.item_slots: dict[str, int] = {}
        self.titles: dict[str, str] = {}
        self.item_category: Slots = np.zeros(N, dtype=np.intp)
        self.item_vectors: Floats = np.zeros((N, D))
        self.quality: Floats = np.zeros(N)
        self.items_made = 0
        self._clicked: list[dict[int, int]] = [{} for _ in range(S)]
        self._purchased: list[dict[int, int]] = [{} for _ in range(S)]
        for slot in range(N):
            self.place_item(slot)

        self.shopper_ids: list[str] = [""] * S
        self.shopper_slots: dict[str, int] = {}
        self.tastes: Floats = np.zeros((S, D))
        self._mix_from: Floats = np.zeros((S, K))
        self._mix_to: Floats = np.zeros((S, K))
        self._leaning_from: Floats = np.zeros((S, D))
        self._leaning_to: Floats = np.zeros((S, D))
        self._way: list[float] = [0.0] * S
        self._drifted_at_ms: list[int] = [start_ms] * S
        self.shoppers_made = 0
        for slot in range(S):
            self.place_shopper(slot, start_ms)

    # Arrivals

    def place_item(self, slot: int) -> str:
        """Put a new item on sale in `slot`, in place of the one that was there; returns its id."""
        rng, D = self.rng, self.config.dimension
        old = self.item_ids[slot]
        if old:
            del self.item_slots[old]
            for memory in (*self._clicked, *self._purchased):
                memory.pop(slot, None)
        item_id = f"w{self.config.seed}-i{self.items_made:05d}"
        self.items_made += 1
        category = int(rng.integers(self.config.categories))
        vector = self.categories[category] + ITEM_SPREAD * rng.standard_normal(D) / math.sqrt(D)
        self.item_ids[slot] = item_id
        self.item_slots[item_id] = slot
        self.item_category[slot] = category
        self.item_vectors[slot] = _unit(vector)
        self.quality[slot] = QUALITY_SPREAD * rng.standard_normal()
        self.titles[item_id] = item_title(category, self.items_made, rng)
        if len(self.titles) > 4 * self.config.items:
            # Old slates may still name an item that is no longer sold, so titles go last, the oldest first.
            retired = next(known for known in self.titles if known not in self.item_slots)
            del self.titles[retired]
        return item_id

    def place_shopper(self, slot: int, now_ms: int) -> str:
        """Let a brand-new shopper in, in place of the one in `slot`; returns the new id."""
        old = self.shopper_ids[slot]
        if old:
            del self.shopper_slots[old]
        shopper_id = f"w{self.config.seed}-u{self.shoppers_made:05d}"
        self.shoppers_made += 1
        self.shopper_ids[slot] = shopper_id
        self.shopper_slots[shopper_id] = slot
        self._mix_from[slot], self._leaning_from[slot] = self.fresh_taste(self.rng)
        self._mix_to[slot], self._leaning_to[slot] = self.fresh_taste(self.rng)
        self._way[slot] = float(self.rng.random())
        self._drifted_at_ms[slot] = now_ms
        self._clicked[slot] = {}
        self._purchased[slot] = {}
        self._set_taste(slot)
        return shopper_id

    def fresh_taste(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """One or two favourite categories (K,), popular ones more often, and an own leaning (D,)."""
        D = self.config.dimension
        mix = np.zeros(self.config.categories)
        for weight in rng.dirichlet((1.0,) * int(rng.integers(1, 3))):
            category = min(int(np.searchsorted(self._category_cdf, rng.random())), self.config.categories - 1)
            mix[category] += weight
        return mix, LEANING_SPREAD * rng.standard_normal(D) / math.sqrt(D)

    # Change

    def begin_visit(self, slot: int, now_ms: int) -> None:
        """A shopper comes with an intent: the taste of this visit leans to one of the favourite categories."""
        self._drift(slot, now_ms)
        mix = self._mix(slot)
        intent = int(np.searchsorted(np.cumsum(mix), self.rng.random() * float(mix.sum())))
        self._set_taste(slot, min(intent, self.config.categories - 1))

    def rotate(self) -> None:
        """Change everybody's favourite categories at once: each category's lovers turn to another one."""
        self.turn(range(self.config.shoppers), self.successors())

    def successors(self) -> Slots:
        """(K,) for each category whose lovers it gets in a rotation; one cycle: no category keeps its own."""
        order = self.rng.permutation(self.config.categories)
        successor = np.empty_like(order)
        successor[order] = np.roll(order, 1)
        return successor

    def turn(self, shoppers: Sequence[int], successor: Slots) -> None:
        """Let some shoppers' love of each category go to the one whose lovers another one gets."""
        slots = np.asarray(shoppers, np.intp)
        self._mix_from[slots] = self._mix_from[slots][:, successor]
        self._mix_to[slots] = self._mix_to[slots][:, successor]
        for slot in slots.tolist():
            self._set_taste(slot)

    def _drift(self, slot: int, now_ms: int) -> None:
        """Move a shopper on to `now_ms`, on the way from the last taste to the next one."""
        elapsed_ms = now_ms - self._drifted_at_ms[slot]
        if elapsed_ms <= 0 or self.config.drift == 0.0:
            return
        self._drifted_at_ms[slot] = now_ms
        way = self._way[slot] + self.config.drift * elapsed_ms / 3_600_000.0
        if way >= 1.0:
            self._mix_from[slot], self._leaning_from[slot] = self._mix_to[slot], self._leaning_to[slot]
            self._mix_to[slot], self._leaning_to[slot] = self.fresh_taste(self.rng)
            way %= 1.0
        self._way[slot] = way

    def _mix(self, slot: int) -> Floats:
        way = self._way[slot]
        mix: Floats = (1.0 - way) * self._mix_from[slot] + way * self._mix_to[slot]
        return mix

    def _set_taste(self, slot: int, intent: int | None = None) -> None:
        taste = self._lasting_taste(slot)
        if intent is not None:
            taste = (1.0 - INTENT) * taste + INTENT * self.categories[intent]
        self.tastes[slot] = _unit(taste)

    def _lasting_taste(self, slot: int) -> Floats:
        way = self._way[slot]
        leaning = (1.0 - way) * self._leaning_from[slot] + way * self._leaning_to[slot]
        taste: Floats = self._mix(slot) @ self.categories + leaning
        return taste

    def intents(self, slot: int) -> tuple[Floats, Floats]:
        """What a visit of this shopper can be for now: probabilities (I,), and the tastes (I, D) that go with them."""
        return self.intents_of(self._mix(slot), self._lasting_taste(slot))

    def intents_of(self, mix: Floats, lasting: Floats) -> tuple[Floats, Floats]:
        """The same for favourites (K,) and a lasting taste (D,)."""
        there = np.flatnonzero(mix)
        tastes = (1.0 - INTENT) * lasting + INTENT * self.categories[there]
        prior: Floats = mix[there] / mix[there].sum()
        return prior, _unit(tastes)

    def remember_click(self, shopper: int, item: int, at_ms: int) -> None:
        """The shopper has enough of the item for a while."""
        self._clicked[shopper][item] = at_ms

    def remember_purchase(self, shopper: int, item: int, at_ms: int) -> None:
        """The shopper has the item and will not want it again soon."""
        self._purchased[shopper][item] = at_ms

    # The click model

    def logits(
        self, shopper: int, now_ms: int, items: Slots | None = None, *, taste: Floats | None = None
    ) -> Floats:
        """Attraction of items to a shopper now, as log-odds of a click on an examined place.

        Args:
            shopper: Slot of the shopper.
            now_ms: Simulated time, for the satiation.
            items: Slots of the items; every item on sale when None.
            taste: As if the shopper had this one; the true one of this visit when None.

        Returns:
            `BIAS + SHARPNESS * <taste, item> + quality - satiation`, one per item.
        """
        taste = self.tastes[shopper] if taste is None else taste
        penalties = self._penalties(shopper, now_ms)
        logits: Floats
        if items is None:
            logits = self.item_vectors @ taste
            logits *= SHARPNESS
            logits += self.quality
            logits += BIAS
            for slot, penalty in penalties.items():
                logits[slot] -= penalty
            return logits
        logits = self.item_vectors[items] @ taste
        logits *= SHARPNESS
        logits += self.quality[items]
        logits += BIAS
        if penalties:
            for place, slot in enumerate(items.tolist()):
                if slot in penalties:
                    logits[place] -= penalties[slot]
        return logits

    def attraction(self, logits: Floats) -> Floats:
        """Probability of a click on an examined place."""
        odds: Floats = np.exp(logits)
        return odds / (1.0 + odds)

    def attraction_of(self, logit: float) -> float:
        """`attraction` of one place."""
        return 1.0 / (1.0 + math.exp(-logit))

    def best_slate(self, shopper: int, now_ms: int) -> tuple[Slots, float]:
        """The slate with the most expected clicks now, and that expectation.

        The best items stand on the most examined places, so no other slate expects more (rearrangement
        inequality). It looks at this page only, not at the satiation that it causes.
        """
        logits = self.logits(shopper, now_ms)
        places = self.config.places
        part = np.argpartition(logits, -places)[-places:]
        slate = part[np.argsort(-logits[part])]
        return slate, float(self.examination @ self.attraction(logits[slate]))

    def expected_clicks(self, shopper: int, slate: Slots, now_ms: int) -> float:
        """Expected clicks of a shopper on a slate of at most `places` items now."""
        attraction = self.attraction(self.logits(shopper, now_ms, slate))
        return float(self.examination[: len(slate)] @ attraction)

    def satiated(self, shopper: int, now_ms: int) -> set[int]:
        """Slots of the items that the shopper clicked or bought too lately to want them again."""
        return {slot for slot, penalty in self._penalties(shopper, now_ms).items() if penalty > 1.0}

    def _penalties(self, shopper: int, now_ms: int) -> dict[int, float]:
        """Satiation per item slot; what has become negligible is forgotten."""
        penalties: dict[int, float] = {}
        for memory, strength, constant_s in (
            (self._clicked[shopper], CLICKED_PENALTY, self.config.satiation_s),
            (self._purchased[shopper], PURCHASED_PENALTY, PURCHASE_CONSTANT_S),
        ):
            faded = []
            for slot, at_ms in memory.items():
                penalty = strength * math.exp(-max(0, now_ms - at_ms) / (1_000.0 * constant_s))
                if penalty < _NEGLIGIBLE:
                    faded.append(slot)
                else:
                    penalties[slot] = penalties.get(slot, 0.0) + penalty
            for slot in faded:
                del memory[slot]
        return penalties


def _unit(vectors: Floats) -> Floats:
    norms: Floats = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, 1e-12)
