"""``loadprobe report`` as a page and as Markdown."""

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loadprobe.cli.app import app
from loadprobe.cli.pages import save_page
from loadprobe.errors import UsageError
from loadprobe.outputs.folder.reader import load_run
from tests.support.written_run import write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a run."""
    return write_run(tmp_path_factory.mktemp("runs"))


def test_a_page_is_written_again(folder: Path) -> None:
    """--html writes it into the run folder, for its owner alone, and says where."""
    page = folder / "report.html"
    page.unlink(missing_ok=True)
    ended = CliRunner().invoke(app, ["report", str(folder), "--html"])
    assert (ended.exit_code, ended.stdout) == (0, f"{page}\n")
    assert page.read_bytes().startswith(b"<!doctype html>")
    assert page.stat().st_mode & 0o777 == 0o600


def test_a_page_goes_where_it_is_wanted(folder: Path, tmp_path: Path) -> None:
    """--output names another file, and means a page."""
    page = tmp_path / "page.html"
    ended = CliRunner().invoke(app, ["report", str(folder), "--output", str(page)])
    assert (ended.exit_code, ended.stdout) == (0, f"{page}\n")
    assert b"shard 0002 was dark on lane tcp for" in page.read_bytes()


def test_page_and_picture_are_two_files(folder: Path, tmp_path: Path) -> None:
    """One name for both is refused."""
    words = ["report", str(folder), "--html", "--png", "-o", str(tmp_path / "x")]
    ended = CliRunner().invoke(app, words)
    assert "--output is one file" in str(ended.exception)
    assert not (tmp_path / "x").exists()


def test_markdown_is_printed(folder: Path) -> None:
    """--markdown says the verdict on standard output."""
    ended = CliRunner().invoke(app, ["report", str(folder), "--markdown"])
    assert ended.exit_code == 0
    assert ended.stdout.startswith("## run: outage - 1 incident: shard 0002")
    assert "| who | dark ms |" in ended.stdout


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cells.film", b"LPFILM01\x00\x00\x00\x05abcde"),
        ("cells.film", None),
        ("events.ndjson", b'{"schema_version":1,"file":"events"}\n{}\n{}\n'),
        ("outages.json", b"{"),
    ],
)
def test_what_is_damaged_is_left_out(
    folder: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    """The verdict stands without it, on the page and as text, which say what is not."""
    copy = Path(shutil.copytree(folder, tmp_path / "run"))
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    ended = CliRunner().invoke(app, ["report", str(copy), "--html"])
    assert ended.exit_code == 0
    page = (copy / "report.html").read_text()
    (missing,) = re.findall(r'"missing":\[("left out: [^]]*)\]', page)
    assert name in missing
    assert "shard 0002 was dark on lane tcp for" in page
    ended = CliRunner().invoke(app, ["report", str(copy), "--full"])
    assert ended.exit_code == 0
    assert "Missing: left out: " in ended.stdout
    with pytest.raises(UsageError, match=re.escape(name)):
        load_run(copy)


def test_a_damaged_verdict_is_an_error(folder: Path, tmp_path: Path) -> None:
    """Nothing stands without it, if nothing is there to judge the run anew by."""
    copy = Path(shutil.copytree(folder, tmp_path / "run"))
    (copy / "summary.json").write_bytes(b"{")
    ended = CliRunner().invoke(app, ["report", str(copy)])
    assert isinstance(ended.exception, UsageError)
    assert "summary.json was not written by loadprobe, or is damaged" in str(
        ended.exception
    )


def test_a_page_that_cannot_be_written_is_an_error(folder: Path) -> None:
    """It names the file, the reason and the way out."""
    with pytest.raises(UsageError, match=r"none/p\.html.*No such file.*--output"):
        save_page(load_run(folder), folder / "none" / "p.html")
