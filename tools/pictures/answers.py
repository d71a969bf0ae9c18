"""Asks Prometheus all that a dashboard asks, and lays the answers out for the page."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from tools.pictures.queries import (
    Plain,
    Query,
    Shown,
    annotation_queries,
    name_of,
    panel_queries,
    panels,
)


class QueryError(Exception):
    """Prometheus did not answer a query."""


def ask(url: str, query: Query, shown: Shown) -> list[dict[str, Any]]:
    """Return the series of a query.

    Args:
        url: of Prometheus.
        query: what is asked.
        shown: the time that is shown.

    Raises:
        QueryError: Prometheus refused it.
    """
    if query.step_ms:
        times = {
            "start": shown.start,
            "end": shown.end,
            "step": query.step_ms / 1000,
        }
        answer = _get(url, "query_range", {"query": query.expr, **times})
    else:
        answer = _get(url, "query", {"query": query.expr, "time": shown.end})
    if answer["status"] != "success":
        raise QueryError(f"{query.where}: {answer['error']}: {query.expr}")
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def _get(url: str, path: str, values: Mapping[str, object]) -> dict[str, Any]:
    address = f"{url}/api/v1/{path}?{urllib.parse.urlencode(values)}"
    try:
        with urllib.request.urlopen(address, timeout=60) as reply:
            answer: dict[str, Any] = json.load(reply)
    except urllib.error.HTTPError as exc:
        answer = json.load(exc)
    return answer


def answered_panels(url: str, dashboard: Plain, shown: Shown) -> list[dict[str, Any]]:
    """Return all panels, each with its series, by its place on the grid."""
    marks = [
        {"at": at, "text": text, "color": annotation["iconColor"]}
        for annotation, query in annotation_queries(dashboard, shown)
        for at, text in sorted(
            {
                (float(value) / 1000, name_of(query.legend, row["metric"]))
                for row in ask(url, query, shown)
                for _, value in row["values"]
            }
        )
        if shown.start <= at <= shown.end
    ]
    rows = [
        {"type": "row", "title": row["title"], "grid": row["gridPos"]}
        for row in dashboard["panels"]
        if row["type"] == "row"
    ]
    return rows + [
        _answered(url, panel, dashboard, shown) | {"marks": marks}
        for panel in panels(dashboard)
    ]


def _answered(url: str, panel: Plain, dashboard: Plain, shown: Shown) -> dict[str, Any]:
    settings = panel["fieldConfig"]["defaults"]
    queries = list(panel_queries(panel, shown, dashboard))
    answers = [ask(url, query, shown) for query in queries]
    found: dict[str, Any] = {
        "type": panel["type"],
        "title": panel["title"],
        "grid": panel["gridPos"],
        "settings": settings,
        "from": shown.start,
        "to": shown.end,
        "step": max(query.step_ms for query in queries) / 1000,
    }
    if panel["type"] == "table":
        return found | _table(panel, answers)
    found["series"] = [
        {
            "name": name_of(query.legend, row["metric"]),
            "labels": row["metric"],
            "points": row["values"] if query.step_ms else [row["value"]],
        }
        for query, rows in zip(queries, answers, strict=True)
        for row in rows
    ]
    return found


def _table(panel: Plain, answers: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the columns and rows of a table, merged by their labels."""
    organize = panel["transformations"][1]["options"]
    units: dict[str, dict[str, Any]] = {}
    for override in panel["fieldConfig"]["overrides"]:
        properties = {p["id"]: p["value"] for p in override["properties"]}
        units.setdefault(override["matcher"]["options"], {}).update(properties)
    titles = organize["renameByName"]
    places = sorted(organize["indexByName"].items(), key=lambda item: item[1])
    order = [titles[name] for name, _ in places if name in titles]
    merged: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for number, rows in enumerate(answers):
        letter = chr(ord("A") + number)
        title = titles.get(f"Value #{letter}", titles.get("Value"))
        for row in rows:
            labels = row["metric"]
            key = tuple(sorted(labels.items()))
            cells = merged.setdefault(key, {titles[k]: v for k, v in labels.items()})
            cells[title] = float(row["value"][1])
    sort = panel["options"]["sortBy"][0]
    key_title = sort["displayName"]
    return {
        "columns": [
            {"title": title, "settings": units.get(title, {})}
            for title in order
            if not units.get(title, {}).get("custom.hidden")
        ],
        "rows": sorted(
            (cells for cells in merged.values() if key_title in cells),
            key=lambda cells: cells[key_title],
            reverse=sort["desc"],
        ),
    }
