"""Keep the Kafka client's log away from a person who is told of its errors anyway."""

from __future__ import annotations

import logging

import click


def hold_back_client_logs(ctx: click.Context) -> None:
    """Silence aiokafka, whose every retry is a line on stderr; `--debug` shows them."""
    if not ctx.find_root().obj["debug"]:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
