"""Laws of a learner's knobs: a turn that is given up has never been, a shadow is what the piece would have been."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from batches import TASKS, shop
from checkpointed import different
from hypothesis import given
from hypothesis import strategies as st
from laws import law
from models import learner, taught

from learners.filters import FilterRules
from learners.history_view import EVER, HistoryView
from learners.knobs import FACTORS, PIECES, AdjustableLearner, Turn
from learners.multitask import MultiTask, MultiTaskConfig, TaskLabels, TaskLesson
from learners.online_learner import OnlineLearner

SHOP = shop()
TURNS = (
    Turn(piece="histories", since_s=float(SHOP[6][0].histories.now_s.max())),
    Turn(piece="ranker", rate=4.0),
    Turn(piece="heads", task=0, rate=4.0),
    Turn(piece="heads", task=1, weight=0.25),
    Turn(piece="heads", task=1, reset=True),
)
turns = pytest.mark.parametrize(
    "turn", TURNS, ids=lambda turn: f"{turn.piece}-{turn.rate}-{turn.weight}-{turn.reset}"
)


def experienced(steps: int = 6) -> OnlineLearner:
    model = learner()
    taught(model, SHOP[:steps])
    return model


def pieces(model: OnlineLearner) -> dict[str, Any]:
    return {"learner": model.state_dict()}


def copied(model: OnlineLearner) -> OnlineLearner:
    other = learner()
    other.load_state_dict({name: array.copy() for name, array in model.state_dict().items()})
    return other


def test_it_has_knobs() -> None:
    assert isinstance(learner(), AdjustableLearner)
    assert {turn.piece for turn in TURNS} == set(PIECES)


@turns
def test_a_turn_that_is_undone_at_once_restores_the_piece_bit_for_bit(turn: Turn) -> None:
    model = experienced()
    before = pieces(model)
    model.turn(turn)
    assert different(pieces(model), before), "something was turned"
    model.swap(turn.piece)
    model.settle(turn.piece, keep=False)
    assert different(pieces(model), before) == []


@turns
def test_what_never_served_has_never_been(turn: Turn) -> None:
    undisturbed, model = experienced(), experienced()
    model.turn(turn)
    for each in (undisturbed, model):
        taught(each, SHOP[6:9])
    served, others = (each.recommend(SHOP[9][0].histories, 5) for each in (model, undisturbed))
    assert np.array_equal(served.item_rows, others.item_rows)
    model.settle(turn.piece, keep=False)
    assert different(pieces(model), pieces(undisturbed)) == []


@turns
def test_what_is_undone_later_goes_on_as_its_shadow_and_as_configured(turn: Turn) -> None:
    model = experienced()
    model.turn(turn)
    model.swap(turn.piece)
    taught(model, SHOP[6:9])
    shadow = own_arrays(model.state_dict(), f"knobs.shadow.{turn.piece}.")
    model.settle(turn.piece, keep=False)
    after = model.state_dict()
    assert not [name for name in after if name.startswith("knobs.shadow")]
    assert as_configured(after)
    now = own_arrays(after, {"histories": "none.", "ranker": "ranker.", "heads": "neural.tasks."}[turn.piece])
    shadow.pop("rng", None)  # of the draw that the ranker has in common with nobody
    assert all(np.array_equal(array, now[name]) for name, array in shadow.items())
    assert shadow or turn.piece == "histories"


@pytest.mark.parametrize("turn", TURNS[1:], ids=lambda turn: turn.piece)
def test_that_a_shadow_serves_is_not_told_to_other_workers(turn: Turn) -> None:
    model = experienced()
    model.share()
    model.turn(turn)
    taught(model, SHOP[6:9])
    model.contribute(0.5)
    model.swap(turn.piece)
    served = own_arrays(model.state_dict(), {"ranker": "ranker.", "heads": "neural.tasks."}[turn.piece])
    told = model.contribute(0.5).dense
    assert all(np.abs(change).max() == pytest.approx(0.0, abs=1e-6) for change in told.values())
    for name, array in own_arrays(model.state_dict(), "").items():
        if name.removeprefix("ranker.") in served and array.dtype == np.float32:
            assert array == pytest.approx(served[name.removeprefix("ranker.")], abs=1e-6)
    model.settle(turn.piece, keep=False)
    told = model.contribute(0.5).dense
    assert all(np.abs(change).max() == pytest.approx(0.0, abs=1e-6) for change in told.values())


def test_of_what_a_shadow_learns_as_much_stays_as_of_what_the_piece_learns() -> None:
    """A turn that turns nothing is its piece, however many workers share what they learn."""
    model = experienced()
    model.share()
    model.contribute(0.5)
    model.turn(Turn(piece="heads", task=0))
    began = own_arrays(model.state_dict(), "neural.tasks.heads.parameter.")
    for batches in (SHOP[6:8], SHOP[8:9]):
        taught(model, batches)
        model.contribute(0.5)
    state = model.state_dict()
    own = own_arrays(state, "neural.tasks.heads.parameter.")
    beside = own_arrays(state, "knobs.shadow.heads.heads.parameter.")
    assert own.keys() == beside.keys() == began.keys()
    moved, apart = (
        sum(float(np.square(array - others[name]).sum()) for name, array in own.items())
        for others in (began, beside)
    )
    assert moved > 0.0
    assert apart < 0.001 * moved, "but for how late answers weigh, which each calibrates by itself"


def test_a_shadow_is_calibrated_by_what_it_says_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    model = experienced()
    model.turn(Turn(piece="heads", task=1, reset=True))
    shadow = model._neural.shadow
    assert shadow is not None
    said: list[Any] = []
    heard: list[Any] = []
    learn, calibrate = shadow.learn, shadow.calibrate

    def learning(*given: Any) -> TaskLesson:
        said.append(lesson := learn(*given))
        return lesson

    def calibrating(logits: Any, *others: Any) -> None:
        heard.append(logits)
        calibrate(logits, *others)

    monkeypatch.setattr(shadow, "learn", learning)
    monkeypatch.setattr(shadow, "calibrate", calibrating)
    taught(model, SHOP[6:9])
    assert heard
    assert all(one.logits is other for one, other in zip(said, heard, strict=True))


def own_arrays(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def as_configured(state: dict[str, Any]) -> bool:
    return (
        state["knobs.view"].tolist() == [EVER, 0.0]
        and state["knobs.ranker_rate"].tolist() == [1.0]
        and bool((state["knobs.adjusted"] == 1.0).all())
    )


@turns
def test_what_is_kept_stays_turned_until_it_is_turned_back(turn: Turn) -> None:
    model = experienced()
    model.turn(turn)
    model.settle(turn.piece, keep=True)
    assert not as_configured(model.state_dict()) or turn.reset
    assert model.state_dict()["knobs.view"].tolist()[1] == 0.0
    assert not [name for name in model.state_dict() if name.startswith("knobs.shadow")]
    model.turn_back(turn.piece)
    assert as_configured(model.state_dict())


@turns
@given(st.integers(1, 8), st.booleans())
@law(4)
def test_a_restart_changes_nothing(turn: Turn, steps: int, serves: bool) -> None:
    undisturbed = experienced(4)
    undisturbed.turn(turn)
    if serves:
        undisturbed.swap(turn.piece)
    taught(undisturbed, SHOP[4:5])
    restarted = copied(undisturbed)
    one, other = taught(undisturbed, SHOP[5 : 5 + steps]), taught(restarted, SHOP[5 : 5 + steps])
    for first, second in zip(one, other, strict=True):
        assert first.compared.keys() == second.compared.keys()
        for name, pairs in first.compared.items():
            assert np.array_equal(pairs, second.compared[name], equal_nan=True)
    assert different(pieces(undisturbed), pieces(restarted)) == []


@turns
def test_piece_and_shadow_are_compared_on_the_same_examples(turn: Turn) -> None:
    model = experienced()
    assert all(lesson.compared == {} for lesson in taught(model, SHOP[6:7]))
    model.turn(turn)
    told = [lesson.compared for lesson in taught(model, SHOP[7:12])]
    found = [compared[turn.piece] for compared in told if turn.piece in compared]
    assert found
    width = 2 * len(TASKS) if turn.piece == "heads" else 2
    assert {pairs.shape[1] for pairs in found} == {width}
    assert {name for compared in told for name in compared} == {turn.piece}
    assert all(np.isfinite(pairs).any() for pairs in found)


@turns
def test_whoever_serves_what_is_turned_comes_first(turn: Turn) -> None:
    beside, serving = experienced(), experienced()
    for model in (beside, serving):
        model.turn(turn)
        taught(model, SHOP[6:9])
    serving.swap(turn.piece)
    one, other = ([lesson.compared for lesson in taught(model, SHOP[9:10])] for model in (beside, serving))
    assert any(found.get(turn.piece) is not None for found in one)
    for first, second in zip(one, other, strict=True):
        assert first.keys() == second.keys()
        for name, pairs in first.items():
            assert np.allclose(pairs, second[name], rtol=0.0, atol=2e-5, equal_nan=True)
            assert pairs[:, : pairs.shape[1] // 2].tolist() != pairs[:, pairs.shape[1] // 2 :].tolist()


@given(
    st.one_of(st.floats(0.0, FACTORS[0], exclude_max=True), st.floats(FACTORS[1], 1e9, exclude_min=True)),
    st.sampled_from(["rate", "weight"]),
)
@law(30)
def test_no_knob_is_turned_beyond_its_bound(factor: float, name: str) -> None:
    with pytest.raises(ValueError, match="is not within"):
        Turn(piece="heads", **{name: factor})


def test_a_boosted_head_takes_longer_steps_and_the_others_take_theirs() -> None:
    plain, boosted, lighter = (heads_of_two() for _ in range(3))
    boosted.adjust(0, rate=4.0)
    lighter.adjust(0, gain=0.25)
    before = plain.heads.towers.hidden.detach().clone()
    for heads in (plain, boosted, lighter):
        for _ in range(2):
            learn_once(heads)
        assert not torch.equal(heads.heads.towers.hidden, before)
    moved = [
        (heads.heads.towers.hidden - before).detach().norm(dim=(1, 2)) for heads in (plain, boosted, lighter)
    ]
    assert moved[1][0] > 2.0 * moved[0][0]
    assert moved[1][1] == pytest.approx(float(moved[0][1]), rel=0.2)
    assert lighter.adjusted.tolist() == [[1.0, 1.0], [0.25, 1.0]]


def test_a_head_that_is_reset_begins_as_a_new_one_and_the_others_stay() -> None:
    new, old = heads_of_two(), heads_of_two()
    for _ in range(3):
        learn_once(old)
    kept = old.heads.towers.hidden[1].detach().clone()
    old.reset(0)
    assert torch.equal(old.heads.towers.hidden[0], new.heads.towers.hidden[0])
    assert torch.equal(old.heads.towers.hidden[1], kept)


def heads_of_two() -> MultiTask:
    return MultiTask(TASKS[:2], 6, MultiTaskConfig(weighting="equal", learning_rate=0.01))


def learn_once(heads: MultiTask) -> None:
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.normal(size=(64, 6)).astype(np.float32)).requires_grad_()
    labels = (rng.random((64, 2)) < 0.4).astype(np.float32)
    known = np.ones_like(labels, np.bool_)
    heads.clear()
    given = TaskLabels(
        labels=labels, mask=known, late=~known, position=np.zeros(64, np.int64), group=np.arange(64)
    )
    heads.learn(rows, given)
    heads.apply()


def test_other_tasks_end_every_turn() -> None:
    model = experienced()
    for turn in TURNS[:3]:
        model.turn(turn)
    after = learner(TASKS[:1])
    after.load_state_dict(model.state_dict())
    assert not [name for name in after.state_dict() if name.startswith("knobs.shadow")]
    assert after.state_dict()["knobs.adjusted"].tolist() == [[1.0], [1.0]]


def test_histories_are_compared_on_what_a_slate_could_have_held() -> None:
    def compared(rules: FilterRules) -> int:
        model = learner(filters=rules)
        taught(model, SHOP[:6])
        model.turn(TURNS[0])
        found = [lesson.compared.get("histories", ()) for lesson in taught(model, SHOP[6:])]
        return sum(map(len, found))

    in_hand = 0
    for batch, _ in SHOP[6:]:
        for row in np.flatnonzero(batch.target & (batch.position < 0)).tolist():
            items, age_s = (
                array[batch.sequence[row]] for array in (batch.histories.item_rows, batch.histories.age_s)
            )
            ages = np.where(items >= 0, age_s, np.inf)
            in_hand += ages.min() <= 1_800.0 and items[ages.argmin()] == batch.item_rows[row]
    everything = compared(FilterRules(repeat_last=True))
    assert 0 < in_hand < everything
    assert compared(FilterRules(repeat_last=False)) == everything - in_hand


def test_older_states_have_nothing_turned() -> None:
    model = experienced()
    saved = {name: array for name, array in model.state_dict().items() if not name.startswith("knobs.")}
    after = learner()
    after.turn(TURNS[0])
    after.load_state_dict(saved)
    assert different(pieces(after), pieces(model)) == []


def test_a_view_hides_what_is_older() -> None:
    histories = SHOP[6][0].histories
    assert HistoryView().of(histories) is histories
    since = float(np.median(histories.now_s))
    seen = HistoryView(since).of(histories)
    newer = histories.now_s[:, None] - histories.age_s >= since
    filled = histories.item_rows >= 0
    assert 0 < (filled & newer).sum() < filled.sum()
    assert ((seen.item_rows >= 0) == (filled & newer)).all()
    kept = seen.item_rows >= 0
    assert (seen.item_rows[kept] == histories.item_rows[kept]).all()
