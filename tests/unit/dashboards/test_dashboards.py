"""Dashboards and rules: made from the catalogue, and of nothing that is not in it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from loadprobe.cli.app import app
from loadprobe.dashboards.board import COLUMNS
from loadprobe.dashboards.files import DASHBOARDS, RULES_FILE, make_files
from loadprobe.dashboards.promql import Source, chosen
from loadprobe.outputs.metrics.catalogue import CATALOGUE, MILLISECONDS
from loadprobe.outputs.metrics.metric import CLUSTER_LABEL, PREFIX, MetricKind
from tests.support.paths import ROOT
from tools.pictures.queries import Shown, panel_queries

GRAFANA = ROOT / "grafana"
SCRAPE_LABELS = {"job", "instance", "le"}
METRICS = {metric.full_name: metric for metric in (*CATALOGUE, *MILLISECONDS)}
_SELECTOR = re.compile(rf"\b({PREFIX}\w+)(?:\{{([^}}]*)\}})?")
_LABELS = re.compile(r"\b(?:by|on|group_left|ignoring|without) \(([^)]*)\)")


def strange_names(expr: str) -> set[str]:
    """Return metrics and labels of a query that the catalogue does not have."""
    strange: set[str] = set()
    known = SCRAPE_LABELS | {CLUSTER_LABEL}
    for name, matchers in _SELECTOR.findall(expr):
        plain = re.sub(r"_(bucket|count|sum)$", "", name)
        metric = METRICS.get(name) or METRICS.get(plain)
        if metric is None or (metric.kind is MetricKind.HISTOGRAM) != (name != plain):
            strange.add(name)
            continue
        labels = {*metric.labels, *SCRAPE_LABELS, CLUSTER_LABEL}
        known |= labels
        strange |= set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', matchers)) - labels
    for listed in _LABELS.findall(expr):
        strange |= {label.strip() for label in listed.split(",")} - known - {""}
    return strange


def dashboard(name: str) -> dict[str, Any]:
    """Return a dashboard."""
    found: dict[str, Any] = json.loads(make_files()[name])
    return found


def all_queries() -> Iterator[tuple[str, str]]:
    """Yield (where, query) of everything that is asked anywhere."""
    for name in DASHBOARDS:
        board = dashboard(name)
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield f"{name}: {panel['title']}", target["expr"]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{name}: ${variable['name']}", variable["query"]["query"]
        for annotation in board["annotations"].get("list", []):
            yield f"{name}: {annotation['name']}", annotation["expr"]
    for group in yaml.safe_load(make_files()[RULES_FILE])["groups"]:
        for rule in group["rules"]:
            # What is recorded is named after its metric.
            expr = re.sub(r"\w+:(\w+):\w+", r"\1", rule["expr"])
            yield f"{RULES_FILE}: {rule.get('alert', rule.get('record'))}", expr


def test_only_names_and_labels_of_the_catalogue_are_asked_for() -> None:
    """No query of a panel, variable, annotation or rule names anything else."""
    found = {where: strange_names(expr) for where, expr in all_queries()}

    assert len(found) > 60
    assert {where: names for where, names in found.items() if names} == {}


def test_shares_of_time_are_shares() -> None:
    """Each is at most 1, and is none where nothing was observed.

    What the limits do is shown where rules are run.
    """
    observed = f"{PREFIX}observed_time_seconds_total"
    dark = re.compile(rf"{PREFIX}(dark_time|outage)_seconds_total")
    shares = [
        (where, expr)
        for where, expr in all_queries()
        if observed in expr and dark.search(expr) and " / " in expr
    ]
    assert len(shares) > 8
    for where, expr in shares:
        assert "clamp_max(" in expr, where
        assert "> 0), 1)" in expr, where


@pytest.mark.parametrize(
    ("expr", "strange"),
    [
        ("loadprobe_gone_total", {"loadprobe_gone_total"}),
        ("rate(loadprobe_response_seconds[5m])", {"loadprobe_response_seconds"}),
        ("loadprobe_outages_total_sum", {"loadprobe_outages_total_sum"}),
        ('loadprobe_response_seconds_bucket{shard="1"}', {"shard"}),
        ('loadprobe_outages_total{job="a",worker=~"b"}', {"worker"}),
        ("sum by (lane, process) (loadprobe_outage_active)", {"process"}),
    ],
)
def test_the_search_finds_what_it_is_for(expr: str, strange: set[str]) -> None:
    """The search above finds names, parts of histograms and labels that are not."""
    assert strange_names(expr) == strange


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("gone_total", {}, "not in the metric catalogue: 'gone_total'"),
        ("outages_total", {"worker": '="1"'}, "not ['worker']"),
        ("response_seconds", {}, "is a histogram, asked for part ''"),
        ("outages_total", {"part": "sum"}, "is a counter, asked for part 'sum'"),
    ],
)
def test_a_selector_must_be_in_the_catalogue(
    name: str, more: dict[str, str], message: str
) -> None:
    """A query with a wrong name, label or part cannot even be made."""
    with pytest.raises(ValueError, match=re.escape(message)):
        Source()(name, **more)


def test_new_connections_are_no_part_of_the_load() -> None:
    """They are left out wherever op kinds are not chosen."""
    assert 'op!~"connect"' in chosen("lane")("outages_total")
    assert "op" not in chosen("lane")("outages_total", op="")


def test_the_files_in_the_tree_are_up_to_date() -> None:
    """grafana/ is what `loadprobe dashboards` writes, to the byte."""
    made = make_files()

    assert {name: (GRAFANA / name).read_text() for name in made} == made


def test_files_are_the_same_in_every_process(tmp_path: Path) -> None:
    """Neither the order of sets nor an earlier call changes a byte; keys are sorted."""
    code = (
        "from pathlib import Path; from loadprobe.dashboards.files import write_files; "
        f"write_files(Path({str(tmp_path)!r}))"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"PYTHONHASHSEED": "7"}
    )

    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == make_files()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_fill_the_grid(name: str) -> None:
    """Panels have numbers of their own, explain themselves and do not overlap."""
    panels = dashboard(name)["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        grid = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < COLUMNS
        taken |= cells

    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    assert all(panel.get("description") for panel in panels if panel["type"] != "row")


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_data_source_is_chosen_by_the_variable(name: str) -> None:
    """Nothing names the data source of one Grafana."""
    board = dashboard(name)

    assert [v["name"] for v in board["templating"]["list"]][:5] == [
        *("datasource", "job", "cluster", "lane", "shard")
    ]
    asking = [
        *(panel for panel in board["panels"] if panel["type"] != "row"),
        *(v for v in board["templating"]["list"] if v["type"] == "query"),
        *(a for a in board["annotations"].get("list", []) if "expr" in a),
    ]
    assert {one["datasource"]["uid"] for one in asking} == {"${datasource}"}


def test_the_film_has_steps_of_a_millisecond() -> None:
    """Its panels ask for 1 ms, and for as many points as Prometheus returns."""
    films = [
        panel
        for panel in dashboard("maintenance.json")["panels"]
        if any("loadprobe_cell_" in t["expr"] for t in panel.get("targets", []))
        and panel["type"] != "stat"
    ]

    assert [panel["title"] for panel in films] == [
        "Film",
        "Arrivals of each failing millisecond",
    ]
    assert all(p["interval"] == "1ms" for p in films)
    assert all(p["maxDataPoints"] == 11_000 for p in films)


def test_the_command_writes_all_files(tmp_path: Path) -> None:
    """`loadprobe dashboards` names each file it wrote."""
    result = CliRunner().invoke(app, ["dashboards", "--output", str(tmp_path / "new")])

    assert result.exit_code == 0
    assert {Path(line).name for line in result.output.split()} == make_files().keys()
    assert (tmp_path / "new" / RULES_FILE).read_text() == make_files()[RULES_FILE]


def test_a_run_does_not_need_the_sdk() -> None:
    """Nothing that a run imports imports the SDK; without it the command says so."""
    code = (
        "import sys; sys.modules['grafana_foundation_sdk'] = None\n"
        "import loadprobe.run.launch, loadprobe.cli.app\n"
        "sys.argv = ['loadprobe', 'dashboards']\n"
        "loadprobe.cli.app.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )

    assert done.returncode == 2
    assert "pip install 'loadprobe[dashboards]'" in done.stderr


def test_a_tool_asks_with_the_steps_of_grafana() -> None:
    """The film has 1 ms in 11 s and no more than 11,000 points in a longer time."""
    board = dashboard("maintenance.json")
    film = next(p for p in board["panels"] if p["title"] == "Film")

    assert Shown(0, 11).step_ms(film) == 1
    assert Shown(0, 900).step_ms(film) == 82
    assert Shown(0, 900, scrape_s=5).step_ms({}) == 5000
    (query,) = panel_queries(
        {"title": "x", "targets": [{"refId": "A", "expr": 'a{job=~"$job"}[$__range]'}]},
        Shown(0, 900),
        board,
    )
    assert query.expr == 'a{job=~".*"}[900s]'
