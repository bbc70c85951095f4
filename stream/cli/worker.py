"""`freshet worker`."""

from __future__ import annotations

import faulthandler
import os
import sys

import click

from stream.cli.context import CommandFailed, broker_errors, effective_settings, kafka_client
from stream.logs import set_up_logs
from stream.worker_card import worker_name


@click.command()
@click.option(
    "--http", metavar="HOST:PORT", help="Where metrics and health are served; port 0 takes a free one."
)
@click.pass_context
def worker(ctx: click.Context, http: str | None) -> None:
    """Learn from the events topic and publish recommendations, until SIGINT or SIGTERM.

    Serves a page that shows what it knows, /metrics, /healthz, /readyz, /status and /users/ID over HTTP (default
    127.0.0.1:8321). Goes on exactly where the last checkpoint in the state folder ends.
    """
    overrides = {"worker": {"http": http}} if http else {}
    settings = effective_settings(ctx, overrides)
    client = kafka_client(settings)
    set_up_logs(settings.worker.log_level, settings.worker.log_format, worker_name())
    faulthandler.enable()  # where each thread was, should compiled code bring the process down

    from stream.worker import WorkerError, run_worker

    with broker_errors():  # a missing topic is told before anything is started
        try:
            again = run_worker(settings, client)
        except WorkerError as error:
            raise CommandFailed(str(error)) from error
    if again:
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, "-m", "stream.cli.main", *sys.argv[1:]])
