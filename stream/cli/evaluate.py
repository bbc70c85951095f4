"""`freshet evaluate`: how good the recommendations are, on a log, beside simpler recommenders."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from connectors.sources.files import LogError
from stream.cli.context import CommandFailed, effective_settings, json_option, print_json, say
from stream.evaluation.log import EvaluationLog, read_log
from stream.settings import Settings

if TYPE_CHECKING:
    from stream.evaluation.evaluate import Evaluation

_EVERY_S = 0.2
_WIDTH = 120  # of tables that go into a file


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--types", metavar="A,B", help="Read only these event types.")
@click.option(
    "--exclude-seen", is_flag=True, help="Leave out what a user had had earlier, of lists and of counts."
)
@click.option("--peers", is_flag=True, help="Measure simpler recommenders on the same events too.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Runs of freshet.")
@click.option(
    "--folds", type=click.IntRange(min=2), metavar="K", help="Also validate by K learners; K runs more."
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many events.")
@click.option(
    "--predictions",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.csv.gz",
    help="Write the list that each scored event was examined by.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.png",
    help="Draw HR@10 over time.",
)
@json_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    paths: tuple[Path, ...],
    types: str | None,
    exclude_seen: bool,
    peers: bool,
    seeds: int,
    folds: int | None,
    limit: int | None,
    predictions: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure how good the recommendations are on the event logs at PATH.

    Each event is foreseen before it is learned, by the same step that the worker runs: its item is sought in
    a list of twenty out of everything that has appeared so far. docs/evaluation.md says how exactly.
    Event types that nobody declared count as choices here.
    """
    wanted = frozenset(filter(None, map(str.strip, types.split(",")))) if types else None
    for file in (predictions, plot):
        if file is not None and not file.absolute().parent.is_dir():
            raise click.UsageError(f"There is no folder {file.absolute().parent} to write {file.name} into.")
    try:
        log = read_log(paths, types=wanted, limit=limit)
    except LogError as error:
        raise CommandFailed(str(error)) from error
    settings, notices = _settings(ctx, log)
    for notice in notices:
        say(notice)
    evaluation, result = _evaluate(
        log,
        settings,
        exclude_seen=exclude_seen or settings.recommend.exclude_seen,
        seeds=seeds,
        peers=peers,
        folds=folds or 0,
    )
    result["notices"] = notices
    result["read"] = {"types": sorted(wanted) if wanted else None, "limit": limit}
    console = Console(stderr=as_json)
    _show(result, console if console.is_terminal else Console(stderr=as_json, width=_WIDTH))
    if as_json:
        print_json(result)
    # What was measured is told by now, whatever becomes of the files.
    if predictions is not None:
        _predictions(predictions, evaluation)
    if plot is not None:
        _plot(plot, result)


def _settings(ctx: click.Context, log: EvaluationLog) -> tuple[Settings, list[str]]:
    """The settings with the log's own event types declared, and what there is to tell about the log."""
    settings = effective_settings(ctx)
    notices = list(log.notices)
    if own := sorted(set(log.types) - set(settings.events.decoded)):
        notices.append(f"Declared for this run, as choices: {', '.join(own)}.")
        settings = effective_settings(ctx, {"events": {"types": {name: {} for name in own}}})
    return settings, notices


def _evaluate(log: EvaluationLog, settings: Settings, **options: Any) -> tuple[Evaluation, dict[str, Any]]:
    """An evaluation, and its report with the circumstances."""
    # torch and scipy take seconds to import; a wrong argument should not wait for them
    from stream.allocator import keep_temporaries
    from stream.evaluation.evaluate import evaluate as run
    from stream.evaluation.report import report
    from stream.evaluation.surroundings import peak_memory_mib, surroundings
    from stream.warm_up import warm_up

    keep_temporaries()
    warm_up(settings)
    try:
        with _progress(len(log.events)) as announce:
            evaluation = run(log, settings, announce=announce, **options)
        result = report(evaluation)
    except FloatingPointError as error:
        raise CommandFailed(
            f"The learner diverged: {error} Nothing was measured; lower learner.learning_rate, or report it."
        ) from error
    result["peak_memory_mib"] = peak_memory_mib()
    result["made_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    result["surroundings"] = surroundings()
    return evaluation, result


def _predictions(path: Path, evaluation: Evaluation) -> None:
    from stream.evaluation.predictions_file import PredictionsError, write_predictions

    try:
        rows = write_predictions(path, evaluation)
    except PredictionsError as error:
        raise CommandFailed(str(error)) from error
    say(f"{rows:,} lists are in {path}.")


def _plot(path: Path, result: dict[str, Any]) -> None:
    from monitoring.window_plot import plot_windows

    windows = result["windows"]
    seen = ", seen items excluded" if result["exclude_seen"] else ""
    try:
        plot_windows(
            path,
            windows["starts_ms"],
            windows["hr10"],
            title=f"{result['log']}{seen}: HR@10 in windows of equally many events",
            label="HR@10",
        )
    except (OSError, ValueError) as error:
        raise CommandFailed(f"{path} cannot be drawn: {error}") from error
    say(f"HR@10 over time is in {path}.")


def _show(result: dict[str, Any], console: Console) -> None:
    from stream.evaluation.view import headline, tables

    for line in headline(result):
        console.print(line, highlight=False, soft_wrap=True)
    for table in tables(result):
        console.print(table)


@contextmanager
def _progress(events: int) -> Iterator[Any]:
    """Bars on stderr, one a run; nothing where stderr is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def announce(what: str) -> Any:
            task = progress.add_task(what, total=events)
            due_s = time.monotonic()

            def done(count: int) -> None:
                nonlocal due_s
                if count == events or time.monotonic() >= due_s:
                    due_s = time.monotonic() + _EVERY_S
                    progress.update(task, completed=count)

            return done

        yield announce
