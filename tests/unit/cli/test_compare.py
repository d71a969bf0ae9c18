"""``loadprobe compare``: folders in, an answer and an exit code out."""

import json
import sys
from pathlib import Path

import pytest

from loadprobe.cli import app as cli
from tests.support.compared import write_run
from tests.support.docs_blocks import block


def ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    """Run the command; return its exit code, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["loadprobe", "compare", *words])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    shown = capsys.readouterr()
    assert isinstance(caught.value.code, int | None)
    return caught.value.code or 0, shown.out, shown.err


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """Return a folder with two groups of six runs, the second longer by 100 ms."""
    for at in range(6):
        write_run(tmp_path / "two" / f"run{at}", 100 + at)
        write_run(tmp_path / "three" / f"run{at}", 200 + at)
    return tmp_path


def test_folders_of_runs(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The runs in a folder are repeats, and the folder's name is their label."""
    code, out, err = ended(
        monkeypatch, capsys, str(bench / "two"), str(bench / "three")
    )
    assert (code, err) == (0, "")
    assert "three: 100 ms [97.0, 103] more than two" in out


def test_labels(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs of one label are repeats, wherever they are; JSON has every point."""
    words = [f"old={bench / 'two' / f'run{at}'}" for at in range(6)]
    words += [f"new={bench / 'three' / f'run{at}'}" for at in range(6)]
    code, out, _ = ended(monkeypatch, capsys, *words, "--json")
    document = json.loads(out)
    assert code == 0
    assert [g["label"] for g in document["groups"]] == ["old", "new"]
    dark = document["figures"][0]
    assert [p["estimate"] for p in dark["repeats"][0]["points"]] == [
        100 + at for at in range(6)
    ]
    assert dark["differences"][0]["answer"] == "more"


def test_folders_of_one_name_are_two_groups(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs in folders of the same name are not taken for repeats."""
    first, second = bench / "two" / "run1", bench / "three" / "run1"
    code, out, _ = ended(monkeypatch, capsys, str(first), str(second))
    assert code == 0
    assert "too few repeats" in " ".join(out.split())


def test_conditions_end_with_three(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A condition that holds is told and makes 3 of the exit code; JUnit has both."""
    junit = bench / "junit.xml"
    code, _, err = ended(
        monkeypatch,
        capsys,
        str(bench / "two"),
        str(bench / "three"),
        "--fail-if=dark_ms.p50 > 1.1x",
        "--fail-if=dark_ms.max > 900",
        f"--junit={junit}",
    )
    assert code == 3
    assert err == (
        "loadprobe: three: dark_ms.p50 is 202.500 ms, the limit is 112.750\n"
    )
    assert 'failures="1"' in junit.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["two"], "one group of runs (two) cannot be compared"),
        (["two", "nowhere"], "nowhere': No such file or directory; name a run folder"),
        (["two", "empty"], "is no run folder, and there is none in it"),
        (["two", "three", "--fail-if=x"], "--fail-if 'x' is no condition"),
        (["two", "three", "--fail-if=x > 1"], "no run has a figure 'x'; there are"),
        (["two", "three", "--figure=x"], "--figure 'x': no run has it; there are"),
        (["two", "other"], "lanes.tcp.rate_per_s is 1000.0 in"),
        (["two", "three", "--junit=no/such/file"], "--junit: cannot write"),
    ],
)
def test_what_cannot_be_compared(
    bench: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    """Each mistake is one line that says what to do, and exit code 2."""
    (bench / "empty").mkdir()
    write_run(bench / "other" / "run", 100, rate_per_s=3000.0)
    monkeypatch.chdir(bench)
    code, _, err = ended(monkeypatch, capsys, *words)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_unlike_runs_are_compared_anyway(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What differs on purpose is named, or compared anyway with a warning on top."""
    write_run(bench / "other" / "run", 100, rate_per_s=3000.0)
    pair = str(bench / "two"), str(bench / "other")
    code, out, _ = ended(monkeypatch, capsys, *pair, "--anyway")
    assert code == 0
    assert out.startswith("NOT LIKE WITH LIKE  lanes.tcp.rate_per_s is 1000.0")
    code, out, _ = ended(monkeypatch, capsys, *pair, "--differs=lanes.tcp.rate_per_s")
    assert code == 0
    assert "NOT LIKE" not in out


def test_a_damaged_run_is_an_error(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A summary that is none is named; nothing is compared without it."""
    (bench / "two" / "run3" / "summary.json").write_text("{}")
    code, out, err = ended(
        monkeypatch, capsys, str(bench / "two"), str(bench / "three")
    )
    assert (code, out) == (2, "")
    assert "run3/summary.json" in err


def test_the_examples_run_as_they_stand(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each command of the page compares, given folders of such names."""
    for at in range(6):
        for name in ("runs/two-shards", "runs/three-shards", "before", "after"):
            write_run(tmp_path / name / f"run{at}", 100 + at)
    for name in "abcd":
        write_run(tmp_path / "runs" / name, 100)
    monkeypatch.chdir(tmp_path)
    commands = block("docs/comparing.md", holding="compare.xml").commands
    assert len(commands) == 4
    for program, command, *words in commands:
        assert (program, command) == ("loadprobe", "compare")
        code, _, err = ended(monkeypatch, capsys, *words)
        assert (code, err) == (0, "")


def test_a_page_of_it(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--html writes a file for its owner, and takes nothing from what is printed."""
    page = bench / "compare.html"
    words = (str(bench / "two"), str(bench / "three"), "--json", "--html", str(page))
    code, out, err = ended(monkeypatch, capsys, *words)
    assert (code, err) == (0, "")
    assert json.loads(out)["figures"][0]["figure"] == "dark_ms"
    content = page.read_text()
    assert "three: 100 ms [97.0, 103] more than two" in content
    assert page.stat().st_mode & 0o777 == 0o600


def test_a_page_that_cannot_be_written(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said which, after the comparison was."""
    words = (str(bench / "two"), str(bench / "three"), "--html", str(bench / "no/x"))
    code, out, err = ended(monkeypatch, capsys, *words)
    assert code == 2
    assert "more than two" in out
    assert "--html: cannot write" in err
