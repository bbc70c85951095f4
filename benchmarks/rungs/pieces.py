"""Where the time goes: sampled stacks, sorted by what the worker is doing and by what of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

PHASES: Mapping[str, tuple[str, ...]] = {
    "recommend": ("OnlineLearner.recommend ",),
    "write slates": ("Pipeline._recommend ",),
    "foresee choices": ("OnlineLearner.predict_many ",),
    "describe impressions": ("OnlineLearner.describe ",),
    "learn": ("OnlineLearner.learn_many ",),
    "labels": ("Attribution.observe ",),
    "rows to columns": ("Batcher.",),
    "histories": ("UserStates.",),
    "decode, duplicates": ("Processor._read ",),
    "rest of the step": ("Processor.process ",),
    "observer": ("WorkerObserver.",),
    "checkpoints": ("Engine._begin_checkpoint ", "Processor.snapshot ", "CheckpointStore."),
    "publish": ("KafkaPublisher.", "(aiokafka/producer/", "Engine._publish ", "Engine._deliver "),
    "fetch": ("(aiokafka/", "(faust/"),
}
"""The first that has a frame in a stack is what the worker is doing."""

PIECES: Mapping[str, tuple[str, ...]] = {
    "candidates": ("(learners/candidates.py:",),
    "brief look": ("(learners/prerank.py:",),
    "nearest items": ("(learners/nearest.py:", "NeuralModel.nearest "),
    "features": ("(learners/features.py:", "(learners/item_facts.py:"),
    "ranker": ("(learners/ranker.py:",),
    "heads": ("(learners/multitask.py:", "(learners/heads/"),
    "network": ("(learners/neural.py:", "(learners/encoders.py:", "(learners/embedding"),
    "counts": ("(learners/counts/",),
    "label rates": ("(learners/label_rates.py:", "(learners/pair_inputs.py:"),
    "slates": (
        "(learners/composition.py:",
        "(learners/diversity.py:",
        "(learners/blend.py:",
        "(learners/exploration.py:",
        "(learners/reasons.py:",
        "(learners/filters.py:",
    ),
}
"""The innermost frame that is one of these says what of it."""

_OTHER = "rest"


def pieces(stacks: Iterable[str]) -> list[tuple[str, str, int]]:
    """What is done, what of it, and in how many samples; the largest first.

    Args:
        stacks: Lines of frames as py-spy names functions, outermost first, separated by `;`, and the number of
            samples at the end. Those in which no work is known are left out: threads that wait do not count, and
            neither does a start.
    """
    counted: Counter[tuple[str, str]] = Counter()
    for frames, samples in _read(stacks):
        phase = _phase(frames)
        if phase is not None:
            counted[phase, _piece(frames)] += samples
    return [(phase, piece, samples) for (phase, piece), samples in counted.most_common()]


def _read(stacks: Iterable[str]) -> Iterator[tuple[list[str], int]]:
    for line in stacks:
        stack, _, samples = line.strip().rpartition(" ")
        if stack:
            yield stack.split(";"), int(samples)


def _phase(frames: list[str]) -> str | None:
    return next(
        (name for name, marks in PHASES.items() if any(mark in frame for frame in frames for mark in marks)),
        None,
    )


def _piece(frames: list[str]) -> str:
    for frame in reversed(frames):
        for name, marks in PIECES.items():
            if any(mark in frame for mark in marks):
                return name
    return _OTHER
