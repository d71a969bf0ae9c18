"""The kinds of panels in use, each as a function of what is shown."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import (
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from loadprobe.dashboards.board import DATASOURCE

Steps = Sequence[tuple[float | None, str]]
"""Colours by the value from which on they hold; the first holds from None on."""

GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"
PURPLE, BLUE, PALE = "purple", "blue", "#b8dcb0"
BY_PLAN = "#8ab8ff"
BAD_ABOVE_ZERO: Steps = ((None, "green"), (0.000_5, "red"))
WARN_ABOVE_ZERO: Steps = ((None, "green"), (0.000_5, "orange"))
NEUTRAL: Steps = ((None, "blue"),)
PLANNED_ABOVE_ZERO: Steps = ((None, "green"), (0.000_5, BY_PLAN))
_P = TypeVar(
    "_P",
    heatmap.Panel,
    stat.Panel,
    statetimeline.Panel,
    table.Panel,
    timeseries.Panel,
)


def ranged(expr: str, legend: str = "") -> prometheus.Dataquery:
    """Return a query over the time that is shown."""
    return prometheus.Dataquery().expr(expr).legend_format(legend or "__auto").range()


def instant(expr: str, legend: str = "") -> prometheus.Dataquery:
    """Return a query at the end of the time that is shown."""
    return prometheus.Dataquery().expr(expr).legend_format(legend or "__auto").instant()


def _colours(steps: Steps) -> build.ThresholdsConfig:
    return (
        build.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=color) for value, color in steps])
    )


def _named(
    panel: _P, title: str, about: str, queries: Sequence[prometheus.Dataquery]
) -> _P:
    panel.title(title).description(about).datasource(DATASOURCE)
    for number, query in enumerate(queries):
        panel.with_target(query.ref_id(chr(ord("A") + number)))
    return panel


def number(
    title: str,
    *queries: prometheus.Dataquery,
    about: str,
    unit: str = "none",
    steps: Steps = NEUTRAL,
    decimals: int | None = None,
) -> stat.Panel:
    """Return a panel with one large number for each query."""
    panel = _named(stat.Panel(), title, about, queries)
    panel.unit(unit).thresholds(_colours(steps))
    panel.color_mode(common.BigValueColorMode.BACKGROUND_SOLID)
    panel.graph_mode(common.BigValueGraphMode.NONE)
    panel.reduce_options(
        build_common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")
    )
    if decimals is not None:
        panel.decimals(decimals)
    return panel


def lines(
    title: str,
    *queries: prometheus.Dataquery,
    about: str,
    unit: str,
    stacked: bool = False,
    logarithmic: bool = False,
) -> timeseries.Panel:
    """Return a graph; stacked ones are made of bars, one a step."""
    panel = _named(timeseries.Panel(), title, about, queries)
    panel.unit(unit).show_points(common.VisibilityMode.NEVER)
    panel.legend(
        build_common.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel.tooltip(
        build_common.VizTooltipOptions()
        .mode(common.TooltipDisplayMode.MULTI)
        .sort(common.SortOrder.DESCENDING)
    )
    if stacked:
        panel.draw_style(common.GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
        panel.stacking(build_common.StackingConfig().mode(common.StackingMode.NORMAL))
    else:
        panel.line_width(1).min(0) if not logarithmic else panel.line_width(1)
    if logarithmic:
        panel.scale_distribution(
            build_common.ScaleDistributionConfig()
            .type(common.ScaleDistribution.LOG)
            .log(10)
        )
    return panel


def states(
    title: str,
    *queries: prometheus.Dataquery,
    about: str,
    texts: Mapping[int, tuple[str, str]],
    ranges: Sequence[tuple[float, float, str, str]] = (),
) -> statetimeline.Panel:
    """Return a row for each series that is coloured by its state.

    Args:
        title: of the panel.
        queries: whose values are states.
        about: what a person has to know.
        texts: state -> (text, colour).
        ranges: (from, to, text, colour) for values that are no states.
    """
    panel = _named(statetimeline.Panel(), title, about, queries)
    mappings: list[model.ValueMapping] = [
        model.ValueMap(
            options={
                str(value): model.ValueMappingResult(
                    text=text, color=color, index=index
                )
                for index, (value, (text, color)) in enumerate(texts.items())
            }
        )
    ]
    mappings += [
        model.RangeMap(
            options=model.DashboardRangeMapOptions(
                from_val=low,
                to=high,
                result=model.ValueMappingResult(
                    text=text, color=color, index=len(texts) + index
                ),
            )
        )
        for index, (low, high, text, color) in enumerate(ranges)
    ]
    panel.mappings(mappings).fill_opacity(85).line_width(0).row_height(0.85)
    panel.show_value(common.VisibilityMode.NEVER).merge_values(True)
    panel.legend(
        build_common.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    return panel


def cells(
    title: str, query: prometheus.Dataquery, *, about: str, unit: str
) -> heatmap.Panel:
    """Return a heat map of the buckets of a histogram."""
    panel = _named(heatmap.Panel(), title, about, [query])
    query.format(PromQueryFormat.HEATMAP).legend_format("{{le}}")
    panel.calculate(False).cell_gap(0)
    panel.y_axis(heatmap.YAxisConfig().unit(unit))
    panel.color(
        heatmap.HeatmapColorOptions()
        .mode(heatmap_model.HeatmapColorMode.SCHEME)
        .scheme("Oranges")
        .scale(heatmap_model.HeatmapColorScale.EXPONENTIAL)
        .exponent(0.4)
        .steps(64)
    )
    panel.filter_values(heatmap.FilterValueRange().le(1e-9))
    return panel


class Column:
    """One column of numbers in a table.

    Args:
        title: its heading.
        expr: a query whose series are the rows.
        unit: of the numbers.
        steps: colours of the cells; None leaves them plain.
        hidden: only links need it.
    """

    def __init__(
        self,
        title: str,
        expr: str,
        *,
        unit: str = "none",
        steps: Steps | None = None,
        hidden: bool = False,
    ) -> None:
        self.title = title
        self.expr = expr
        self.unit = unit
        self.steps = steps
        self.hidden = hidden


def rows(
    title: str,
    keys: Sequence[str],
    columns: Sequence[Column],
    *,
    about: str,
    sort: str,
    descending: bool = True,
    link: tuple[str, str] | None = None,
) -> table.Panel:
    """Return a table: a row for each set of labels, a column for each query.

    Args:
        title: of the panel.
        keys: labels that tell the rows apart, and all that is shown of them.
        columns: the numbers.
        about: what a person has to know.
        sort: title of the column by which rows are sorted.
        descending: the greatest comes first.
        link: (text, address) of a link in every row.
    """
    queries = [instant(column.expr).format(PromQueryFormat.TABLE) for column in columns]
    panel = _named(table.Panel(), title, about, queries)
    letters = [chr(ord("A") + number) for number in range(len(columns))]
    names = {
        f"Value #{letter}" if columns[1:] else "Value": column.title
        for letter, column in zip(letters, columns, strict=True)
    }
    panel.transformations(
        [
            model.DataTransformerConfig(id_val="merge", options={}),
            model.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": {
                        name: place
                        for place, name in enumerate(["Time", *keys, *names])
                    },
                    "renameByName": {key: key.capitalize() for key in keys} | names,
                },
            ),
        ]
    )
    panel.sort_by(
        [build_common.TableSortByFieldState().display_name(sort).desc(descending)]
    )
    for column in columns:
        settings = [model.DynamicConfigValue(id_val="unit", value=column.unit)]
        if column.hidden:
            settings.append(model.DynamicConfigValue("custom.hidden", value=True))
        if column.steps is not None:
            settings += [
                model.DynamicConfigValue("thresholds", _colours(column.steps).build()),
                model.DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
            ]
        panel.override_by_name(column.title, settings)
    if link is not None:
        text, address = link
        target = [{"title": text, "url": address}]
        panel.override_by_name(sort, [model.DynamicConfigValue("links", target)])
    return panel
