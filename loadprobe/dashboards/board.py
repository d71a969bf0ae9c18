"""A dashboard that lays itself out, and the text of its file.

Panels flow from left to right in rows of 24 columns and are numbered as they come, so
that a dashboard that did not change is the same file to the byte.
"""

import json
from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import (
    heatmap,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import DataSourceRef

from loadprobe.dashboards.promql import Source, chosen
from loadprobe.outputs.metrics.metric import CLUSTER_LABEL

COLUMNS = 24
DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
AnyPanel = (
    heatmap.Panel | stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel
)


class Board:
    """One dashboard.

    Args:
        title: its title.
        uid: its address.
        about: one sentence.
        window: how far back it looks at first, for example ``15m``.
        refresh: how often it looks again.
    """

    def __init__(
        self, title: str, *, uid: str, about: str, window: str, refresh: str
    ) -> None:
        self.builder = (
            build.Dashboard(title)
            .uid(uid)
            .description(about)
            .tags(["loadprobe"])
            .time(f"now-{window}", "now")
            .refresh(refresh)
            .timezone("browser")
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .editable()
            .link(
                build.DashboardLink("loadprobe")
                .type(model.DashboardLinkType.DASHBOARDS)
                .tags(["loadprobe"])
                .as_dropdown(True)
                .keep_time(True)
                .include_vars(True)
            )
        )
        self._x = 0
        self._y = 0
        self._height = 0
        self._panels = 0
        self._rows: list[tuple[int, int]] = []

    def row(self, title: str) -> None:
        """Begin a titled row."""
        self._break()
        self.builder.with_row(
            build.Row(title)
            .id(self._number())
            .grid_pos(model.GridPos(h=1, w=COLUMNS, x=0, y=self._y))
        )
        self._y += 1

    def add(self, panel: AnyPanel, *, width: int, height: int) -> None:
        """Put a panel beside the one before, or under it if there is no room."""
        if self._x + width > COLUMNS:
            self._break()
        panel.id(self._number())
        panel.grid_pos(model.GridPos(h=height, w=width, x=self._x, y=self._y))
        self.builder.with_panel(panel)
        self._x += width
        self._height = max(self._height, height)

    def _break(self) -> None:
        self._y += self._height
        self._x = self._height = 0

    def _number(self) -> int:
        self._panels += 1
        return self._panels

    def choose_datasource(self) -> None:
        """Add the variable for the data source."""
        self.builder.with_variable(
            build.DatasourceVariable("datasource")
            .label("Data source")
            .type("prometheus")
        )

    def choose(self, label: str, *, metric: str, source: Source) -> None:
        """Add a variable with the values of a label.

        Args:
            label: the label.
            metric: a metric that has it.
            source: the series that are asked.
        """
        self.builder.with_variable(
            build.QueryVariable(label)
            .label(label.capitalize())
            .datasource(DATASOURCE)
            .query(
                {"query": f"label_values({source(metric)}, {label})", "refId": label}
            )
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(model.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(model.VariableOption(text="All", value="$__all", selected=True))
        )

    def choose_scope(self) -> None:
        """Add the variables datasource, job, cluster, lane and shard.

        The values of each are those of what was chosen before.
        """
        self.choose_datasource()
        labels: list[str] = []
        for label, metric in (
            ("job", "build_info"),
            (CLUSTER_LABEL, "build_info"),
            ("lane", "operations_total"),
            ("shard", "operations_total"),
        ):
            self.choose(label, metric=metric, source=chosen(*labels))
            labels.append(label)

    def choose_one_of(self, name: str, values: Sequence[str]) -> None:
        """Add a variable that has one of some values; the first is chosen."""
        options = [
            model.VariableOption(text=text, value=text, selected=place == 0)
            for place, text in enumerate(values)
        ]
        self.builder.with_variable(
            build.CustomVariable(name)
            .label(name.capitalize())
            .values(",".join(values))
            .options(options)
            .current(options[0])
        )

    def annotate(self, name: str, *, expr: str, title: str, color: str) -> None:
        """Add marks at the times that a query gives, in UNIX seconds."""
        self.builder.annotation(
            build.AnnotationQuery()
            .name(name)
            .datasource(DATASOURCE)
            .enable(True)
            .icon_color(color)
            .expr(f"{expr} * 1000")
            .title_format(title)
            .use_value_for_time(True)
        )

    def text(self) -> str:
        """Return the file."""
        built = self.builder.build()
        return json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
