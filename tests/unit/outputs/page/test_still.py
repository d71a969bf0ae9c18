"""A picture of the film: Chromium is asked how much room it takes, and then for it."""

import stat
from pathlib import Path

import pytest

from loadprobe.errors import UsageError
from loadprobe.outputs.page.still import write_still
from tests.support.page_runs import planted_run

PNG = "\\211PNG\\r\\n\\032\\n"
ANSWERS = f"""#!/bin/sh
echo "$@" >> "$0.asked"
for word in "$@"; do
  case $word in
    --dump-dom) printf '<html lang="en" data-still="drawn" data-height="640">' ;;
    --screenshot=*) printf '{PNG}' > "${{word#--screenshot=}}" ;;
  esac
done
"""


def chromium(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a program that is called chromium on PATH, and nothing else of the kind."""
    path = folder / "bin" / "chromium"
    path.parent.mkdir()
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{path.parent}:/bin:/usr/bin")
    return path


def test_a_window_as_high_as_the_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second window has the height that the first one asked for; all is ours."""
    program = chromium(tmp_path, monkeypatch, ANSWERS)
    run = planted_run(tmp_path / "run", length_s=20, dark_at_ms=9_000)
    path = write_still(run, tmp_path / "film.png")
    assert path.read_bytes() == b"\x89PNG\r\n\x1a\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first, second = program.with_name("chromium.asked").read_text().splitlines()
    assert "--window-size=1280,640" in second
    assert "--window-size=1280,640" not in first
    assert "film.html" in second


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 1\n", "no program"])
def test_a_chromium_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """It is one sentence, with what to do instead."""
    chromium(tmp_path, monkeypatch, script)
    run = planted_run(tmp_path / "run", length_s=20, dark_at_ms=9_000)
    with pytest.raises(UsageError, match="chromium"):
        write_still(run, tmp_path / "film.png")
    assert not (tmp_path / "film.png").exists()


def test_without_chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said how to get it, and that the page needs none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    run = planted_run(tmp_path / "run", length_s=20, dark_at_ms=9_000)
    with pytest.raises(UsageError, match="apt-get install chromium.*--html"):
        write_still(run, tmp_path / "film.png")
