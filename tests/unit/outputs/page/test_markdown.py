"""A run as Markdown: the verdict for a ticket."""

from pathlib import Path

from loadprobe.outputs.page.markdown import render_markdown
from tests.support.page_runs import hostile_run
from tests.support.reports import make_run


def test_the_verdict_comes_first() -> None:
    """Headline, sentences, who was down, and the checks of the data."""
    lines = render_markdown(make_run()).splitlines()
    assert lines[0] == "## demo: outage - 1 incident: shard 0002, both lanes"
    assert lines[2] == (
        "127.0.0.1:7000, 2026-01-02 03:04:05.000 UTC, 1 min 00 s, scenario failover"
    )
    assert "| who | dark ms | at least | at most | whose fault | by plan ms |" in lines
    row = "| tcp, shard 0002 | 2,104.0 | 2,101.0 | 2,107.0 | shard | 0 |"
    assert row in lines
    assert "> writing series.ndjson failed once" in lines
    assert any(line.startswith("lost writes 0; stale reads not") for line in lines)


def test_a_clean_run_has_no_table() -> None:
    """It says so in a sentence."""
    text = render_markdown(make_run(dark=False))
    assert "No shard was dark." in text
    assert "| who |" not in text


def test_names_are_text(tmp_path: Path) -> None:
    """Markup of a run is escaped: a ticket shows it as it is."""
    text = render_markdown(hostile_run(tmp_path))
    assert "\\<script\\>" in text
    assert "<script>" not in text.replace("\\<script\\>", "")
