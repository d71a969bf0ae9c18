"""What the shipped dashboards ask of a Prometheus that scrapes a run of a test."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT
from tests.support.prometheus_server import Prometheus
from tools.pictures.queries import (
    Plain,
    Query,
    Shown,
    annotation_queries,
    panel_queries,
    panels,
)

DASHBOARDS = [
    ROOT / "grafana" / name
    for name in ("fleet.json", "maintenance.json", "shards.json")
]


def scraping(folder: Path, port: int) -> str:
    """Return the configuration that is shipped, for a run on this machine."""
    shutil.copy(ROOT / "grafana" / "loadprobe.rules.yml", folder)
    shipped = (ROOT / "deploy" / "prometheus.yml").read_text()
    return shipped.replace("loadprobe:9121", f"127.0.0.1:{port}").replace("5s", "1s")


async def answer(
    database: Prometheus, path: str, values: dict[str, Any]
) -> tuple[str, list[Any]]:
    """Return (error, what was found) of a request to the API."""
    async with database.session.get(
        f"{database.url}/api/v1/{path}", params=values
    ) as reply:
        found = await reply.json()
    if found["status"] != "success":
        return found["error"], []
    data = found["data"]
    return "", data["result"] if isinstance(data, dict) else data


async def answers(
    database: Prometheus, dashboard: dict[str, Any], shown: Shown
) -> dict[str, tuple[str, list[Any]]]:
    """Return (error, what was found) by who asks."""
    found = {}
    queries = [q for p in panels(dashboard) for q in panel_queries(p, shown, dashboard)]
    queries += [query for _, query in annotation_queries(dashboard, shown)]
    times: dict[str, Any] = {"start": shown.start, "end": shown.end}
    for query in queries:
        values: dict[str, Any] = {"query": query.expr}
        if query.step_ms:
            values |= times | {"step": query.step_ms / 1000}
        else:
            values["time"] = shown.end
        path = "query_range" if query.step_ms else "query"
        found[query.where] = await answer(database, path, values)
    for label, query in variable_queries(dashboard, shown):
        found[query.where] = await answer(
            database, f"label/{label}/values", times | {"match[]": query.expr}
        )
    return found


def variable_queries(dashboard: Plain, shown: Shown) -> Iterator[tuple[str, Query]]:
    """Yield (label, series) of the variables that list the values of a label."""
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(
                r"label_values\((.+), (\w+)\)", variable["query"]["query"]
            )
            assert match is not None, variable
            where = f"{dashboard['title']} / variable {variable['name']}"
            yield match[2], Query(where, shown.fill(match[1], 1000, dashboard))
