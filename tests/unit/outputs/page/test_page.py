"""The file of a page: its policy, its parts, and that no text of a run is markup."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from loadprobe.outputs.page.page import (
    COMPARING,
    LIVE_MODULES,
    MODULES,
    OF_COMPARISON,
    STILL_MODULES,
    make_page,
    render_page,
    write_page,
)
from tests.support.page_runs import HOSTILE, hostile_run
from tests.support.reports import make_run

STATIC = files("loadprobe.outputs.page") / "static"
VENDORED = {
    "uPlot.iife.min.js": (
        "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"
    ),
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
"""uPlot 1.6.32, as npm has it: https://www.npmjs.com/package/uplot/v/1.6.32."""


@pytest.mark.parametrize("name", VENDORED)
def test_what_is_not_ours_is_as_it_was_published(name: str) -> None:
    """The chart library and its licence are the files of one known release."""
    content = (STATIC / "vendor" / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == VENDORED[name]


def test_the_policy_names_what_may_run() -> None:
    """Every script and style of the page has its digest there, and nothing else may."""
    page = make_page(make_run()).decode()
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert found is not None
    policy = dict(part.strip().partition(" ")[::2] for part in found[1].split(";"))
    scripts = re.findall(
        r"<script(?: type=\"module\")?>(.*?)</script>", page, re.DOTALL
    )
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert policy["default-src"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["trusted-types"] == "'none'"
    assert policy["script-src"].split() == [source_of(script) for script in scripts]
    assert policy["style-src"] == source_of(style)
    assert len(scripts) == 2
    assert "http" not in page.partition("<style>")[0].replace("http-equiv", "")


ALL_MODULES = sorted({*MODULES, *LIVE_MODULES, *STILL_MODULES, *COMPARING})


def source_of(content: str) -> str:
    """Return what a policy calls a script or style."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def test_a_page_has_the_licence_of_what_is_not_ours() -> None:
    """Whoever is given a page has a copy of the chart library, and so its terms."""
    page = make_page(make_run()).decode()
    assert (STATIC / "vendor" / "uPlot.LICENSE").read_text() in page


@pytest.mark.parametrize(
    "modules",
    [MODULES, LIVE_MODULES, STILL_MODULES, COMPARING],
    ids=["run", "live", "still", "comparison"],
)
def test_modules_import_only_from_those_before(modules: tuple[str, ...]) -> None:
    """They are joined in their order, and no name is declared by two."""
    known: dict[str, str] = {}
    for module in modules:
        text = (STATIC / f"{module}.js").read_text()
        imported = re.findall(r'from "\./(\w+)\.js"', text)
        assert set(imported) <= set(modules[: modules.index(module)])
        names = re.findall(
            r"^(?:export )?(?:async )?(?:function|const|class|let) (\w+)",
            text,
            re.MULTILINE,
        )
        assert {name: known[name] for name in names if name in known} == {}
        known |= dict.fromkeys(names, module)


def test_every_module_belongs_to_a_page() -> None:
    """None is left over, and the page of a run has none of the live one's."""
    there = {file.name for file in STATIC.iterdir() if file.name.endswith(".js")}
    used = set(ALL_MODULES)
    assert there == {f"{module}.js" for module in used}
    assert "EventSource" not in make_page(make_run()).decode()


@pytest.mark.parametrize("module", ALL_MODULES)
def test_nothing_becomes_markup(module: str) -> None:
    """No module sets markup, makes code of text, or asks for anything."""
    text = (STATIC / f"{module}.js").read_text()
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\("
    )
    assert re.findall(forbidden, text) == []
    assert re.findall(r"\bfetch\b|XMLHttpRequest|WebSocket|import\(", text) == []


def test_a_document_is_data_whatever_it_holds(tmp_path: Path) -> None:
    """Markup in it cannot end its block; read back it is as it was."""
    page = make_page(hostile_run(tmp_path)).decode()
    data = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page)
    assert data is not None
    assert not set("<>&") & set(data[1])
    assert json.loads(data[1])["run"]["target"] == HOSTILE
    assert "<title>&lt;script&gt;" in page
    assert page.count("<script") == 3


@pytest.mark.parametrize("name", ["report.html", ".report.html.new"])
def test_a_link_in_a_folder_leads_nowhere(tmp_path: Path, name: str) -> None:
    """Somebody else's folder cannot have another file overwritten by its page."""
    folder, other = tmp_path / "run", tmp_path / "other"
    folder.mkdir()
    other.write_text("mine")
    (folder / name).symlink_to(other)
    page = write_page(replace(make_run(), path=folder))
    assert other.read_text() == "mine"
    assert page.read_bytes().startswith(b"<!doctype html>")
    assert not page.is_symlink()


def test_a_page_shows_any_document() -> None:
    """The front end has one seam: a document and a title."""
    page = render_page({"page_version": 1, "text": "</script>"}, title="a & b").decode()
    assert "<title>a &amp; b</title>" in page
    assert r'"\u003c/script\u003e"' in page


def test_a_page_without_charts_has_no_library() -> None:
    """Its policy allows the one script there is; what else shows it is said."""
    page = render_page({}, title="a against b", front=OF_COMPARISON).decode()
    found = re.search(r"script-src ([^;]+);", page)
    (script,) = re.findall(r"<script type=\"module\">(.*?)</script>", page, re.DOTALL)
    assert found is not None
    assert found[1] == source_of(script)
    assert "uPlot" not in page
    assert "the same as text: loadprobe compare" in page
