"""Task weightings against what they have to beat: single-task models, fixed weights, their own average, lots.

For every stream and seed: one model a task; equal weights; fixed weights chosen on the first fifth (its runs
are counted in `cost`); the best of the same fixed weights in hindsight; and each method. For each method that
changes its weights, also its average coefficients held fixed, and its coefficients in an order shuffled in
time: a method adapts only if it beats the first, and knows when only if it beats the second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.task_scores import Score, score
from benchmarks.task_streams import SCENARIOS, Stream, logged, made
from learners.event_batch import FloatArray
from learners.multitask import MultiTask, MultiTaskConfig
from learners.weightings.registry import WEIGHTINGS
from learners.weightings.weighting import Matrix, Present, Weighting

_WARM_UP = 0.2
_STATIC = ("equal", "fixed")
_SCALES = (0.5, 2.0)
"""What each task's weight is multiplied by, one task at a time, in the search for fixed weights."""


def measure(quick: bool, logs: Sequence[Path] = (), seeds: int | None = None) -> list[dict[str, Any]]:
    """One row for each stream and method, means over seeds and what they differ by.

    Args:
        quick: Two short made streams, two seeds and the first fifth of each log.
        logs: Folders of event logs.
        seeds: How many seeds.
    """
    torch.set_num_threads(1)
    every = range(seeds or (2 if quick else 5))
    rows: list[dict[str, Any]] = []
    for scenario in SCENARIOS[:2] if quick else SCENARIOS:
        rows += _compare([(made(scenario, seed, 6_400 if quick else 25_600), seed) for seed in every])
    for folder in logs:
        stream = logged(folder, share=0.2 if quick else 1.0)
        rows += _compare([(stream, seed) for seed in every])
    return rows


def _compare(streams: Sequence[tuple[Stream, int]]) -> list[dict[str, Any]]:
    found: dict[str, list[_Run]] = {}
    for stream, seed in streams:
        for name, run in _methods(stream, seed).items():
            found.setdefault(name, []).append(run)
    equal = found["equal"]
    rows = []
    for name, runs in found.items():
        relative = [
            np.mean(
                [
                    one.log_loss / base.log_loss - 1.0
                    for one, base in zip(run.scores, plain.scores, strict=True)
                ]
            )
            for run, plain in zip(runs, equal, strict=True)
        ]
        gain = [
            np.mean([one.auc - base.auc for one, base in zip(run.scores, plain.scores, strict=True)])
            for run, plain in zip(runs, equal, strict=True)
        ]
        every = [one for run in runs for one in run.scores]
        rows.append(
            {
                "stream": streams[0][0].name,
                "method": name,
                "log_loss_vs_equal_%": round(100.0 * float(np.mean(relative)), 3),
                "spread_%": round(100.0 * float(np.std(relative)), 3),
                "auc_vs_equal": round(float(np.mean(gain)), 4),
                "auc": round(float(np.mean([one.auc for one in every])), 4),
                "entropy": round(float(np.mean([one.entropy for one in every])), 4),
                "ratio": "-".join(f"{edge([one.ratio for one in every]):.3f}" for edge in (min, max)),
                "worst_ece": round(max(one.ece for one in every), 4),
                "cost_s": round(float(np.mean([run.cost_s for run in runs])), 2),
                "auc_by_task": _by_task(streams[0][0], runs, "auc"),
                "log_loss_by_task": _by_task(streams[0][0], runs, "log_loss"),
            }
        )
    return rows


def _by_task(stream: Stream, runs: Sequence[_Run], figure: str) -> str:
    return " ".join(
        f"{task.name}={np.mean([getattr(run.scores[k], figure) for run in runs]):.4f}"
        for k, task in enumerate(stream.tasks)
    )


class _Run:
    """One pass: what was foreseen, and the coefficients that were used."""

    def __init__(
        self, stream: Stream, seed: int, weighting: str | Weighting = "equal", **config: Any
    ) -> None:
        began = time.perf_counter()
        named = weighting if isinstance(weighting, str) else "equal"
        model = MultiTask(
            stream.tasks,
            stream.rows[0].shape[1],
            MultiTaskConfig(weighting=named, seed=seed, **config),
            counts=stream.counts,
            rates=stream.counts > 0,
        )
        if isinstance(weighting, Weighting):
            model.weighting = weighting
        watched = _Watched(model.weighting)
        model.weighting = watched
        self.foreseen: list[FloatArray] = []
        for rows, given in zip(stream.rows, stream.labels, strict=True):
            logits = model.logits(rows, given.position)
            self.foreseen.append(model.calibrated(logits))
            model.clear()
            if model.learn(rows, given).cosines is not None:
                model.apply()
            model.calibrate(logits, given.labels, given.mask, given.late)
        self.path = np.array(watched.path)
        self.scores = scores(stream, self.foreseen)
        self.cost_s = time.perf_counter() - began


def scores(stream: Stream, foreseen: Sequence[FloatArray]) -> list[Score]:
    """(K,) of everything after the warm-up: each row once, as it was foreseen first, by what came of it."""
    start = stream.after(_WARM_UP)
    p = np.concatenate(foreseen[start:])
    labels = np.concatenate(stream.answers[start:])
    mask = np.concatenate([given.mask & ~given.late for given in stream.labels[start:]])
    return [score(p[mask[:, k], k], labels[mask[:, k], k]) for k in range(len(stream.tasks))]


def _methods(stream: Stream, seed: int) -> dict[str, _Run]:
    runs = {"single_task": _single(stream, seed)}
    for name in WEIGHTINGS:
        if name != "fixed":
            runs[name] = _Run(stream, seed, name)
    rng = np.random.default_rng(seed)
    for name in [name for name in WEIGHTINGS if name not in _STATIC]:
        path = runs[name].path
        average = np.nanmean(path, axis=0)
        runs[f"{name}, its average"] = _Run(stream, seed, _Replayed(stream, _always(average)))
        order = rng.permutation(len(path))
        shuffled = np.where(np.isnan(path), average, path)[order]
        runs[f"{name}, shuffled"] = _Run(stream, seed, _Replayed(stream, shuffled.__getitem__))
    runs |= _fixed(stream, seed)
    return runs


def _always(coefficients: Matrix) -> Callable[[int], Matrix]:
    return lambda _: coefficients


def _single(stream: Stream, seed: int) -> _Run:
    """One model a task, which sees no labels of others, put together as if they were one run."""
    alone = [_Run(stream.only(k), seed) for k in range(len(stream.tasks))]
    first, *others = alone
    first.scores = [run.scores[0] for run in alone]
    first.cost_s += sum(run.cost_s for run in others)
    return first


def _fixed(stream: Stream, seed: int) -> dict[str, _Run]:
    """The best of some fixed weights on the first fifth, and over the whole stream."""
    K = len(stream.tasks)
    tried = [np.ones(K)] + [np.where(np.arange(K) == k, scale, 1.0) for k in range(K) for scale in _SCALES]
    beginning = stream.first(_WARM_UP)

    def run(of: Stream, weights: Matrix) -> _Run:
        return _Run(of, seed, _Replayed(of, _always(weights)))

    def badness(one: _Run) -> float:
        return float(np.nanmean([task.entropy for task in one.scores]))

    early = [run(beginning, weights) for weights in tried]
    whole = [run(stream, weights) for weights in tried]
    chosen = whole[int(np.argmin([badness(one) for one in early]))]
    tuned = _relabelled(chosen, chosen.cost_s + sum(one.cost_s for one in early))
    best = min(whole, key=badness)
    return {
        "fixed, tuned on the first fifth": tuned,
        "fixed, best in hindsight": _relabelled(best, sum(one.cost_s for one in whole)),
    }


def _relabelled(run: _Run, cost_s: float) -> _Run:
    other = object.__new__(_Run)
    other.foreseen, other.path, other.scores, other.cost_s = run.foreseen, run.path, run.scores, cost_s
    return other


class _Watched(Weighting):
    """Writes down the coefficients of a weighting, NaN where a task was absent."""

    def __init__(self, inner: Weighting) -> None:
        self._inner = inner
        self.path: list[Matrix] = []

    def weigh(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        """See `Weighting`."""
        found = self._inner.weigh(gram, losses, present)
        self.path.append(np.where(present, found, np.nan))
        return found

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        raise NotImplementedError("the inner weighting has them")

    def _because(self, task: int) -> str:
        return ""


class _Replayed(Weighting):
    """Coefficients that were there before."""

    def __init__(self, stream: Stream, coefficients: Callable[[int], Matrix]) -> None:
        super().__init__(stream.tasks)
        self._given, self._step = coefficients, -1

    def weigh(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        """See `Weighting`."""
        self._step += 1
        return np.where(present, self._given(self._step), 0.0)

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        raise NotImplementedError("they are given")

    def _because(self, task: int) -> str:
        return "it was so before"
