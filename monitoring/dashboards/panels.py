"""What dashboards are made of: panels of few kinds, the same variables, and drift and reactions as annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as shared
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Panel: TypeAlias = Builder[models.Panel]
Query: TypeAlias = tuple[str, str]
"""PromQL and legend."""

Thresholds: TypeAlias = Sequence[tuple[float, str]]
"""From which value on which colour; green below the first."""

SOURCE = shared.DataSourceRef(type_val="prometheus", uid="prometheus")
WIDTH = 24
_HEIGHT, _LOW = 8, 4
_CHOSEN = ('job=~"$job"', 'instance=~"$worker"')


def of(name: str, *labels: str) -> str:
    """A metric of the chosen workers."""
    return f"{name}{{{', '.join([*_CHOSEN, *labels])}}}"


def per_second(name: str, *labels: str, by: str = "") -> str:
    """The rate of a counter, of all chosen workers together."""
    return f"sum{f' by ({by})' if by else ''} (rate({of(name, *labels)}[$__rate_interval]))"


def mean(query: str, by: str = "") -> str:
    """Over those that know it; the comparison is true of every number, and leaves out what is none."""
    return f"avg{f' by ({by})' if by else ''} ({query} > -1e9)"


def share(part: str, whole: str) -> str:
    """One sum over another."""
    return f"{part} / {whole}"


def quantile(q: float, name: str, *labels: str, by: str = "") -> str:
    """Of a histogram: the buckets of all chosen workers are added up before."""
    return f"histogram_quantile({q}, {per_second(f'{name}_bucket', *labels, by=', '.join(['le', by]).strip(', '))})"


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    width: int = 8,
    limits: tuple[float | None, float | None] = (None, None),
    thresholds: Thresholds = (),
    stacked: bool = False,
    bars: bool = False,
    logarithmic: bool = False,
) -> Panel:
    """Figures over time.

    Args:
        title: A few words.
        description: What it means, and what to look for.
        queries: Each becomes as many lines as it has series.
        unit: Grafana's name of the unit.
        width: Of 24.
        limits: Of the vertical axis.
        thresholds: Drawn as dashed lines.
        stacked: Whether lines stand on each other.
        bars: Whether to draw bars: for what happens seldom.
        logarithmic: Whether the vertical axis is: for sizes of different orders.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(width)
        .height(_HEIGHT)
        .line_width(1)
        .fill_opacity(60 if bars else 25 if stacked else 5)
        .draw_style(shared.GraphDrawStyle.BARS if bars else shared.GraphDrawStyle.LINE)
        .show_points(shared.VisibilityMode.NEVER)
        .tooltip(common.VizTooltipOptions().mode(shared.TooltipDisplayMode.MULTI))
        .legend(
            common.VizLegendOptions()
            .display_mode(shared.LegendDisplayMode.LIST)
            .placement(shared.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .thresholds(_thresholds(thresholds))
        .targets(_targets(queries))
    )
    least, most = limits
    if least is not None:
        panel = panel.min(least)
    if most is not None:
        panel = panel.max(most)
    if logarithmic:
        panel = panel.scale_distribution(
            common.ScaleDistributionConfig().type(shared.ScaleDistribution.LOG).log(10)
        )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(shared.StackingMode.NORMAL))
    if thresholds:
        panel = panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(shared.GraphThresholdsStyleMode.DASHED)
        )
    return panel


def number(
    title: str,
    description: str,
    query: str,
    *,
    unit: str = "short",
    width: int = 4,
    thresholds: Thresholds = (),
    decimals: int | None = None,
) -> Panel:
    """One figure of now, with its recent past behind it."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(width)
        .height(_LOW)
        .graph_mode(shared.BigValueGraphMode.AREA)
        .color_mode(shared.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(thresholds))
        .targets(_targets([(query, "")]))
    )
    return panel if decimals is None else panel.decimals(decimals)


def bars(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str = "short",
    width: int = 8,
    thresholds: Thresholds = (),
    limits: tuple[float, float | None] = (0.0, None),
) -> Panel:
    """Figures of now beside each other."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(width)
        .height(_HEIGHT)
        .min(limits[0])
        .orientation(shared.VizOrientation.HORIZONTAL)
        .display_mode(shared.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(thresholds))
        .targets(_targets([query]))
    )
    return panel if limits[1] is None else panel.max(limits[1])


def matrix(
    title: str,
    description: str,
    query: str,
    *,
    row: str,
    column: str,
    width: int = 12,
    limits: tuple[float, float] = (-1.0, 1.0),
    decimals: int = 2,
) -> Panel:
    """A heat map of two labels: cells are coloured by their values of now."""
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("short")
        .decimals(decimals)
        .span(width)
        .height(_HEIGHT + 2)
        .min(limits[0])
        .max(limits[1])
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.CONTINUOUS_RD_YL_GR))
        .thresholds(_thresholds(()))
        .cell_options(shared.TableColoredBackgroundCellOptions())
        .targets(
            [
                prometheus.Dataquery()
                .expr(query)
                .instant()
                .format(PromQueryFormat.TABLE)
                .datasource(SOURCE)
                .ref_id("A")
            ]
        )
        .transformations(
            [
                models.DataTransformerConfig(
                    id_val="groupingToMatrix",
                    options={
                        "columnField": column,
                        "rowField": row,
                        "valueField": "Value",
                        "emptyValue": "null",
                    },
                )
            ]
        )
    )


def board(
    uid: str, title: str, description: str, rows: Sequence[tuple[str, Sequence[Panel]]]
) -> dashboard.Dashboard:
    """A dashboard with the variables and annotations that all of them have."""
    made = (
        dashboard.Dashboard(f"freshet: {title}")
        .uid(f"freshet-{uid}")
        .description(description)
        .tags(["freshet"])
        .readonly()
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("10s")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(_variable("job", "Cluster", "label_values(freshet_ready, job)"))
        .with_variable(_variable("worker", "Worker", 'label_values(freshet_ready{job=~"$job"}, instance)'))
        .with_variable(_variable("task", "Task", 'label_values(freshet_task_weight{job=~"$job"}, task)'))
        .annotation(_findings("worse", "red"))
        .annotation(_findings("better", "green"))
        .annotation(_reactions())
        .annotation(_outcomes())
        .link(
            dashboard.DashboardLink("Dashboards")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["freshet"])
            .keep_time(True)
            .include_vars(True)
        )
    )
    for name, panels in rows:
        made = made.with_row(dashboard.Row(name))
        for panel in panels:
            made = made.with_panel(panel)
    return made


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": query, "refId": name})
        .definition(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .include_all(True)
        .all_value(".*")
        .multi(True)
        .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _findings(direction: str, colour: str) -> dashboard.AnnotationQuery:
    found = of("freshet_drift_findings_total", f'direction="{direction}"', 'task=~"$task|"')
    return _annotation(
        f"Drift, {direction}",
        colour,
        f"sum by (signal, task) (increase({found}[1m])) > 0",
        f"Drift: {{{{signal}}}} {{{{task}}}} is {direction}",
        "signal,task",
    )


def _reactions() -> dashboard.AnnotationQuery:
    acted = of("freshet_drift_decisions_total", 'decision="acted"')
    return _annotation(
        "Reactions",
        "blue",
        f"sum by (reaction) (increase({acted}[1m])) > 0",
        "Reaction: {{reaction}}",
        "reaction",
    )


def _outcomes() -> dashboard.AnnotationQuery:
    came = of("freshet_drift_outcomes_total")
    return _annotation(
        "Outcomes",
        "purple",
        f"sum by (reaction, outcome) (increase({came}[1m])) > 0",
        "Reaction {{reaction}}: {{outcome}}",
        "reaction,outcome",
    )


def _annotation(name: str, colour: str, query: str, title: str, tags: str) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(True)
        .icon_color(colour)
        .expr(query)
        .step("60s")
        .title_format(title)
        .tag_keys(tags)
    )


def _thresholds(steps: Thresholds) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps(
            [
                models.Threshold(value=None, color="green"),
                *(models.Threshold(value=value, color=colour) for value, colour in steps),
            ]
        )
    )


def _targets(queries: Sequence[Query]) -> list[Builder[Dataquery]]:
    return [
        prometheus.Dataquery()
        .expr(query)
        .legend_format(legend or "__auto")
        .range()
        .datasource(SOURCE)
        .ref_id(chr(ord("A") + n))
        for n, (query, legend) in enumerate(queries)
    ]
