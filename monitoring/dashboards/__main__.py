"""`python -m monitoring.dashboards`: writes the dashboards' JSON, which Grafana is provisioned with."""

from __future__ import annotations

import json
from pathlib import Path

import click
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.dashboards.drift import drift
from monitoring.dashboards.learning import learning
from monitoring.dashboards.overview import overview
from monitoring.dashboards.pipeline import pipeline
from monitoring.dashboards.recommendations import recommendations

FOLDER = Path("docker/grafana/dashboards")
BOARDS = (overview, learning, drift, recommendations, pipeline)


def boards() -> dict[str, str]:
    """File name and JSON of each dashboard."""
    return {
        f"{make.__name__}.json": json.dumps(make().build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for make in BOARDS
    }


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=FOLDER)
def main(folder: Path) -> None:
    """Write them to FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in boards().items():
        (folder / name).write_text(text, encoding="utf-8")
        click.echo(folder / name)


if __name__ == "__main__":
    main()
