"""``loadprobe bench``: what it writes once every cell has ended."""

import sys
from pathlib import Path

import pytest

from loadprobe.bench.axes import Axis
from loadprobe.bench.manifest import BenchManifest, Ended, add_ended, write_manifest
from loadprobe.cli import app as cli
from tests.support.compared import write_run


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """Return a bench of two cells that have both ended."""
    manifest = BenchManifest(
        config="[[lanes]]\nname = 'tcp'\n",
        config_name="bench.toml",
        scenario="",
        scenario_name="",
        axes=[Axis("shards", ["2", "3"])],
        repeats=1,
        seed=1,
        duration="1s",
        where="local",
        node_type="",
        versions={},
    )
    write_manifest(tmp_path, manifest)
    cells = manifest.cells()
    for cell in cells:
        write_run(tmp_path / cell.label / "run", 100)
    add_ended(
        tmp_path, [Ended(c.label, c.repeat, f"{c.label}/run", 0, 1.0) for c in cells]
    )
    return tmp_path


def resumed(monkeypatch: pytest.MonkeyPatch, bench: Path) -> int | str | None:
    """Go on with a bench of which nothing is left; return the exit code."""
    words = ["loadprobe", "bench", "--resume", str(bench)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


def test_the_page_is_written_at_the_end(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is beside JSON and Markdown, with every run."""
    assert not resumed(monkeypatch, bench)
    assert "shards=2 against shards=3" in (bench / "compare.html").read_text()
    assert (bench / "compare.json").exists()
    assert "compare.html" not in capsys.readouterr().err


def test_a_page_that_fails_costs_nothing_but_itself(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The comparison is printed and kept, and what is missing is said."""
    (bench / "compare.html" / "in the way").mkdir(parents=True)
    assert not resumed(monkeypatch, bench)
    shown = capsys.readouterr()
    assert "dark_ms: time in which some shard was down" in shown.out
    assert "compare.html was not written" in shown.err
    assert (bench / "compare.json").exists()
