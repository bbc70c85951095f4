"""The pieces of a model that can be turned, each with its shadow while it is compared; see `knobs`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.history_view import HistoryView
from learners.knobs import PIECES, Piece, Turn
from learners.neural import NeuralModel
from learners.ranker import Ranker
from learners.state_arrays import Arrays, nest, unnest


class TurnedPiece(ABC):
    """One piece: as it is, or turned.

    Attributes:
        serves: Whether the piece that serves is the one that is turned.
    """

    serves = False

    def turn(self, turn: Turn) -> None:
        """See `AdjustableLearner`."""
        self.turn_back()
        self._turn(turn)

    def swap(self) -> None:
        """See `AdjustableLearner`."""
        self.serves = not self.serves
        self._change_places()

    def settle(self, *, keep: bool) -> None:
        """See `AdjustableLearner`."""
        if keep != self.serves:
            self.swap()
        self._give_up_shadow()

    def turn_back(self) -> None:
        """See `AdjustableLearner`."""
        self.settle(keep=self.serves)
        self.serves = False
        self._as_configured()

    @abstractmethod
    def state_dict(self) -> Arrays:
        """How far it is turned, and the shadow."""

    @abstractmethod
    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`, of a piece that is turned back and knows already whether it serves."""

    @abstractmethod
    def _turn(self, turn: Turn) -> None:
        """Make a shadow that is turned."""

    @abstractmethod
    def _change_places(self) -> None:
        """The shadow is the piece, and the piece the shadow."""

    @abstractmethod
    def _give_up_shadow(self) -> None:
        """Only the piece that serves is left."""

    @abstractmethod
    def _as_configured(self) -> None:
        """The piece is turned no more."""


class TurnedHistories(TurnedPiece):
    """Slates count only what users did since a moment.

    Attributes:
        view: What is hidden, in slates or beside them.
    """

    def __init__(self) -> None:
        self.view = HistoryView()

    @property
    def served(self) -> HistoryView:
        """How slates look at histories."""
        return self.view if self.serves else HistoryView()

    def state_dict(self) -> Arrays:
        """See `TurnedPiece`."""
        return {"view": self.view.array()}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """See `TurnedPiece`."""
        self.view = HistoryView.of_array(arrays["view"])

    def _turn(self, turn: Turn) -> None:
        self.view = HistoryView(turn.since_s, tried=True)

    def _change_places(self) -> None:
        pass  # a view has no state

    def _give_up_shadow(self) -> None:
        self.view = replace(self.view, tried=False) if self.serves else HistoryView()

    def _as_configured(self) -> None:
        self.view = HistoryView()


class TurnedRanker(TurnedPiece):
    """The ranker learns by larger or smaller steps.

    Args:
        ranker: The one that serves.

    Attributes:
        shadow: The other one.
    """

    def __init__(self, ranker: Ranker) -> None:
        self.shadow: Ranker | None = None
        self._ranker = ranker
        self._rate = 1.0

    @property
    def served_rate(self) -> float:
        """What the steps of the one that serves are multiplied by."""
        return self._rate if self.serves else 1.0

    def state_dict(self) -> Arrays:
        """See `TurnedPiece`."""
        shadow = {} if self.shadow is None else self.shadow.shadow_arrays()
        return {"ranker_rate": np.array([self._rate]), **nest("shadow.ranker", shadow)}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """See `TurnedPiece`."""
        self._rate = float(arrays["ranker_rate"][0])
        shadow = unnest("shadow.ranker", arrays)
        if shadow:
            self.shadow = self._ranker.shadow()
            self.shadow.load_shadow(shadow)
        self._quicken()

    def _turn(self, turn: Turn) -> None:
        self._rate = turn.rate
        self.shadow = self._ranker.shadow()
        self._quicken()

    def _change_places(self) -> None:
        if self.shadow is not None:
            served = self._ranker.shadow()
            self._ranker.become(self.shadow)
            self.shadow = served
            self._quicken()

    def _give_up_shadow(self) -> None:
        self.shadow = None
        self._rate = self.served_rate

    def _as_configured(self) -> None:
        self._rate = 1.0
        self._quicken()

    def _quicken(self) -> None:
        """One of the two is turned, the other one is as configured."""
        self._ranker.quicken(self.served_rate)
        if self.shadow is not None:
            self.shadow.quicken(1.0 if self.serves else self._rate)


class TurnedHeads(TurnedPiece):
    """The head of a task learns otherwise. The shadow is the neural model's: it learns with the rest of it.

    Args:
        neural: Whose multi-task part it is.
    """

    def __init__(self, neural: NeuralModel) -> None:
        self._neural = neural

    def state_dict(self) -> Arrays:
        """See `TurnedPiece`."""
        shadow = self._neural.shadow
        shadows = (
            {} if shadow is None else {**nest("heads", shadow.state_dict()), "adjusted": shadow.adjusted}
        )
        return {"adjusted": self._neural.multitask.adjusted, **nest("shadow", shadows)}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """See `TurnedPiece`."""
        self._neural.multitask.adjust_all(arrays["adjusted"])
        heads = unnest("shadow.heads", arrays)
        if heads:
            shadow = self._neural.shadow = self._neural.multitask.shadow()
            shadow.load_state_dict(heads)
            shadow.adjust_all(arrays["shadow.adjusted"])

    def _turn(self, turn: Turn) -> None:
        shadow = self._neural.shadow = self._neural.multitask.shadow()
        shadow.adjust(turn.task, rate=turn.rate, gain=turn.weight)
        if turn.reset:
            shadow.reset(turn.task)

    def _change_places(self) -> None:
        if self._neural.shadow is not None:
            served = self._neural.multitask.shadow()
            self._neural.multitask.become(self._neural.shadow)
            self._neural.shadow = served

    def _give_up_shadow(self) -> None:
        self._neural.shadow = None

    def _as_configured(self) -> None:
        for task in range(len(self._neural.multitask.tasks)):
            self._neural.multitask.adjust(task)


class Turned:
    """All pieces of a model.

    Args:
        neural: The neural model.
        ranker: The ranker.
    """

    def __init__(self, neural: NeuralModel, ranker: Ranker) -> None:
        self.histories, self.ranker, self.heads = TurnedHistories(), TurnedRanker(ranker), TurnedHeads(neural)
        self._pieces = dict[Piece, TurnedPiece](
            zip(PIECES, (self.histories, self.ranker, self.heads), strict=True)
        )

    def __getitem__(self, piece: Piece) -> TurnedPiece:
        """A piece by its name."""
        return self._pieces[piece]

    def state_dict(self) -> Arrays:
        """How the pieces are turned, and the shadows that there are."""
        arrays: Arrays = {"serving": np.array([piece.serves for piece in self._pieces.values()])}
        for piece in self._pieces.values():
            arrays |= piece.state_dict()
        return arrays

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; nothing, as older states have it, is nothing turned."""
        # Once whatever was turned served at once.
        serving = arrays.get("serving", np.ones(len(PIECES), np.bool_)).tolist()
        for piece, serves in zip(self._pieces.values(), serving, strict=True):
            piece.turn_back()
            if arrays:
                piece.serves = serves
                piece.load_state_dict(arrays)
