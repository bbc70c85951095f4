"""From the ranker's score and the tasks' probabilities to one score, as a sum of parts that anybody may look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import BoolArray, FloatArray, IntArray
from learners.state_arrays import Arrays
from learners.task import Task
from learners.task_axes import Axis, Each, Rest, TaskAxes, filled

_TRUST_A_TASK_AT = 200.0  # labels of the rarer kind at which a forecast counts half
_TRUST_AT = 300.0  # answers of shown places at which what they teach counts half
_HALF_LIFE = 100_000.0  # labels
_LABELS_PER_STEP = 256
_STIFFNESS = 50.0  # what it takes to move a weight, in units of value · p (1 - p) x²
_STIFFNESS_OF_THE_LEADING_TASK = 20.0
_STIFFNESS_OF_OTHER_TASKS = 10_000.0  # what few answers taught is noise at first, and there are many tasks
_MOST_LOGIT = 8.0
_LEAST = 1e-6


class Blend:
    """What a shown place is worth: a logistic regression of what came of them, and before that a fixed formula.

    The formula is ranker score + Σ_k v_k t_k log p_k, with v_k the task's value and
    t_k = evidence_k / (evidence_k + 200). The ranker compares an item with everything that a user could choose;
    which of the shown items are taken is another question, whose answers come with their positions. From these
    learns s = w·x, with x the heads' inputs (I) and their log-odds (K):

        minimise Σ_k v_k Σ_labels CE(y, σ(s + a_k + c log(1 + position)))

    One score for all tasks, each with its intercept; a label counts what its task is worth, so that the tasks
    share w about as they share the expected value of a place. By an online Newton step with forgetting (as
    `calibration.OnlineCalibration`); the weights are held at 0, that of one task's log-odds at 1: of the task whose
    answers were worth most in the first step. The log-odds of the others are held at 0 much harder, since they are
    learned from few answers; their labels teach w all the same. The score is

        (1 - τ) · formula + τ · s          τ = answers / (answers + 300)

    where answers are positives at shown places: who sends no positions is served by the formula.

    Args:
        tasks: Axis K.
        inputs: I, width of the heads' inputs without vectors.
    """

    def __init__(self, tasks: Sequence[Task], inputs: int) -> None:
        K = len(tasks)
        self._tasks, self._inputs = K, inputs
        self._values = np.array([task.value for task in tasks])
        self._takes_part = np.array([task.kind != "regression" and task.value > 0.0 for task in tasks])
        size = inputs + 2 * K + 1  # inputs, log-odds, intercepts, position
        self._prior = np.zeros(size)
        self._stiffness = np.full(size, _STIFFNESS)
        self._stiffness[inputs : inputs + K] = _STIFFNESS_OF_OTHER_TASKS
        self._stiffness[inputs + K :] = 1.0
        self._weights = np.zeros(size)
        self._information = np.zeros((size, size))
        self._answers = 0.0
        self._waiting_x: FloatArray = np.zeros((_LABELS_PER_STEP, size), np.float32)
        self._waiting_y, self._waiting_value = np.zeros((2, _LABELS_PER_STEP))
        self._waiting = 0

    @property
    def trust(self) -> float:
        """τ."""
        return float(self._answers / (self._answers + _TRUST_AT))

    @property
    def weights(self) -> NDArray[np.float64]:
        """(I + K,) w."""
        return self._weights[: self._inputs + self._tasks].copy()

    def parts(
        self, ranked: FloatArray, foreseen: FloatArray, inputs: FloatArray, evidence: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(..., K + 2) parts whose sum is the score: the ranker's, each task's, and that of the other inputs.

        Args:
            ranked: (...) the ranker's scores.
            foreseen: (..., K) the tasks' probabilities and expected values.
            inputs: (..., I) the heads' inputs.
            evidence: (K,) how much each task has to go by.
        """
        trust, I, K = self.trust, self._inputs, self._tasks  # noqa: E741
        parts = np.zeros((*ranked.shape, K + 2))
        parts[..., 0] = (1.0 - trust) * np.where(np.isfinite(ranked), ranked, 0.0)
        formula = self._values * evidence / (evidence + _TRUST_A_TASK_AT)
        p = np.clip(foreseen.astype(np.float64), _LEAST, 1.0)
        parts[..., 1 : K + 1] = (1.0 - trust) * formula * np.log(p)
        parts[..., 1 : K + 1] += trust * self._weights[I : I + K] * _log_odds(p) * (evidence > 0.0)
        parts[..., K + 1] = trust * (inputs @ self._weights[:I])
        return parts

    def learn_many(
        self,
        inputs: FloatArray,
        foreseen: FloatArray,
        position: IntArray,
        labels: FloatArray,
        mask: BoolArray,
        late: BoolArray,
        evidence: NDArray[np.float64],
    ) -> None:
        """Take in labels, and take a step as soon as there are enough of them.

        Args:
            inputs: (L, I) the heads' inputs, as they were when the item was shown.
            foreseen: (L, K) what the heads had said.
            position: (L,) where the item was shown; rows without a position say nothing of places.
            labels: (L, K).
            mask: (L, K) which are known.
            late: (L, K) which are positives whose negative was taken in before, and is taken back now.
            evidence: (K,) how much each task has to go by.
        """
        counts = mask & self._takes_part & (position >= 0)[:, None]
        # What is taken back counts once more, as it did, and less than nothing.
        row, task, taken_back = np.nonzero(np.stack([counts, counts & late], axis=2))
        y = np.where(taken_back, 0.0, labels[row, task])
        value = np.where(taken_back, -1.0, 1.0) * self._values[task]
        I, K = self._inputs, self._tasks  # noqa: E741
        x = np.zeros((len(row), len(self._weights)), np.float32)
        x[:, :I] = inputs[row]
        x[:, I : I + K] = _log_odds(np.clip(foreseen[row], _LEAST, 1.0)) * (evidence > 0.0)
        x[np.arange(len(row)), I + K + task] = 1.0
        x[:, -1] = np.log1p(position[row])
        begin = 0
        while begin < len(row):
            end = min(begin + _LABELS_PER_STEP - self._waiting, len(row))
            there = slice(self._waiting, self._waiting + end - begin)
            self._waiting_x[there], self._waiting_y[there] = x[begin:end], y[begin:end]
            self._waiting_value[there] = value[begin:end]
            self._waiting += end - begin
            begin = end
            if self._waiting == _LABELS_PER_STEP:
                self._step(self._waiting_x.astype(np.float64), self._waiting_y, self._waiting_value)
                self._waiting = 0

    def _step(self, x: NDArray[np.float64], y: NDArray[np.float64], value: NDArray[np.float64]) -> None:
        if not self._prior.any():
            self._begin(x, y, value)
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ self._weights, -_MOST_LOGIT, _MOST_LOGIT)))
        keep = 0.5 ** (len(y) / _HALF_LIFE)
        information = keep * self._information + (x * (value * p * (1.0 - p))[:, None]).T @ x
        slope = x.T @ (value * (p - y)) + (1.0 - keep) * self._stiffness * (self._weights - self._prior)
        step = np.linalg.solve(information + np.diag(self._stiffness), slope)
        if np.isfinite(step).all():  # what is no number would be remembered for ever
            self._weights, self._information = self._weights - step, information
            self._answers += float(y.sum())

    def _begin(self, x: NDArray[np.float64], y: NDArray[np.float64], value: NDArray[np.float64]) -> None:
        """Choose the leading task; what was learned without one is given up."""
        I, K = self._inputs, self._tasks  # noqa: E741
        worth = (x[:, I + K : I + 2 * K] * (value * y)[:, None]).sum(axis=0)
        if worth.any():
            leading = I + int(worth.argmax())
            self._prior[leading] = 1.0
            self._stiffness[leading] = _STIFFNESS_OF_THE_LEADING_TASK
            self._weights, self._answers = self._prior.copy(), 0.0
            self._information[:] = 0.0

    def state_dict(self) -> Arrays:
        """Weights, what is known of them, and the labels that wait."""
        return {
            "weights": self._weights.copy(),
            "prior": self._prior.copy(),
            "stiffness": self._stiffness.copy(),
            "information": self._information.copy(),
            "answers": np.array([self._answers]),
            "waiting_x": self._waiting_x.copy(),
            "waiting_y": self._waiting_y.copy(),
            "waiting_value": self._waiting_value.copy(),
            "waiting": np.array([self._waiting]),
        }

    def task_axes(self, inputs: Axis) -> TaskAxes:
        """Where the tasks are in it, given where they are in the heads' inputs."""
        size = [*filled(inputs, None), Each(), Each(), Rest(1)]
        of_weights: TaskAxes = {name: {0: size} for name in ("weights", "prior", "stiffness")}
        return {**of_weights, "information": {0: size, 1: size}, "waiting_x": {1: size}}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`.

        Labels of a task that is gone do not wait any more. Where it was the leading one, its log-odds were most of s,
        so the formula serves until answers have chosen another.

        Raises:
            ValueError: Saved with other tasks or inputs.
        """
        if arrays["weights"].shape != self._weights.shape:
            raise ValueError(
                f"the blend was saved with {len(arrays['weights'])} weights, configured are {len(self._weights)}"
            )
        self._weights, self._prior = arrays["weights"].copy(), arrays["prior"].copy()
        self._information, self._stiffness = arrays["information"].copy(), arrays["stiffness"].copy()
        self._answers = float(arrays["answers"][0])
        self._waiting_x, self._waiting_y = arrays["waiting_x"].copy(), arrays["waiting_y"].copy()
        self._waiting_value, self._waiting = arrays["waiting_value"].copy(), int(arrays["waiting"][0])
        if not self._prior.any():
            self._answers = 0.0
        I, K = self._inputs, self._tasks  # noqa: E741
        kept = np.flatnonzero(self._waiting_x[: self._waiting, I + K : I + 2 * K].any(axis=1))
        self._waiting = len(kept)
        for column in (self._waiting_x, self._waiting_y, self._waiting_value):
            column[: self._waiting] = column[kept]


def _log_odds(p: NDArray[Any]) -> NDArray[Any]:
    log_odds: NDArray[Any] = np.clip(
        np.log(p) - np.log1p(-np.minimum(p, 1.0 - _LEAST)), -_MOST_LOGIT, _MOST_LOGIT
    )
    return log_odds
