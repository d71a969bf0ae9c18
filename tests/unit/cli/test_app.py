"""The command line: one line for a person, and the exit code for a program."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from loadprobe.cli import app as cli
from loadprobe.cli import check
from loadprobe.cli.durations import parse_duration
from loadprobe.config.file import parse_config
from loadprobe.errors import ProbeCrashed, UsageError
from loadprobe.run import checks


def ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    """Run a command; return its exit code, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["loadprobe", *words])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    shown = capsys.readouterr()
    assert isinstance(caught.value.code, int | None)
    return caught.value.code or 0, shown.out, shown.err


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("2d", 172_800.0),
        ("366d", 31_622_400.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """A duration is numbers with their units."""
    assert parse_duration(text, option="--for") == seconds


@pytest.mark.parametrize("text", ["", "90", "s", "10 s", "-1s", "1x", "1e3s", "5s!"])
def test_no_durations(text: str) -> None:
    """Anything else is refused, with the option and an example."""
    with pytest.raises(UsageError) as caught:
        parse_duration(text, option="--failover-after")
    assert str(caught.value) == (
        f"--failover-after {text!r} is not a duration; write a number with its unit, "
        "for example 90s, 10m or 1h30m"
    )


@pytest.mark.parametrize("text", ["0s", "0h0m", "367d", "9" * 400 + "d"])
def test_impossible_durations(text: str) -> None:
    """No time at all, and more than a year, are refused and never mean for ever."""
    with pytest.raises(UsageError, match="expected more than 0, and at most 366d"):
        parse_duration(text, option="--for")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run"], "Missing argument 'CONFIG'; see loadprobe run --help"),
        (["check"], "Missing argument 'CONFIG'; see loadprobe check --help"),
        (["run", "a", "b"], "Got unexpected extra argument"),
        (["run", "a", "--bogus"], "--bogus"),
        (["run", "a", "--for"], "requires an argument"),
        (["frobnicate"], "No such command 'frobnicate'; see loadprobe --help"),
        (["demo", "--shards", "99"], "'--shards'"),
        (["local", "up", "--shards", "many"], "'--shards'"),
    ],
)
def test_wrong_commands(
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong command is one line on standard error, and exit code 2."""
    code, out, err = ended(monkeypatch, capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("loadprobe: ")
    assert message in err
    assert err.count("\n") == 1


def test_help_and_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asking for help or the version is no error; no command at all shows the help."""
    code, out, err = ended(monkeypatch, capsys, "--help")
    assert (code, err) == (0, "")
    assert "check" in out
    code, out, err = ended(monkeypatch, capsys, "version")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert ended(monkeypatch, capsys, "--version") == (0, out, "")
    code, out, err = ended(monkeypatch, capsys)
    assert (code, err) == (2, "")
    assert "check" in out


def test_an_error_is_one_line_whatever_is_in_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Line breaks that a file has in its keys do not break the line."""
    path = tmp_path / "run.toml"
    path.write_text('[target]\nhost = "h"\n"a\\nb" = 1\n[[lanes]]\nname = "a"\n')
    code, _, err = ended(monkeypatch, capsys, "check", str(path))
    assert code == 2
    assert err.startswith(f"loadprobe: {path}: target.a b: unknown key")
    assert err.count("\n") == 1


def test_a_defect_is_told_in_full(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report of a crash keeps its lines, and is exit code 1."""

    def crash(_path: str) -> None:
        raise ProbeCrashed("a defect:\nline 1\nline 2")

    monkeypatch.setattr(check, "load_config", crash)
    code, _, err = ended(monkeypatch, capsys, "check", "run.toml")
    assert (code, err) == (1, "loadprobe: a defect:\nline 1\nline 2\n")


def test_an_interrupt_is_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C before anything runs ends quietly."""

    def interrupted(_path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "load_config", interrupted)
    assert ended(monkeypatch, capsys, "check", "run.toml") == (130, "", "")


@pytest.mark.parametrize(
    ("limit", "fits"), [(resource.RLIM_INFINITY, True), (366, True), (365, False)]
)
def test_open_files_are_counted_per_process(
    limit: int, *, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe needs its workers' connections to every shard, and one per replica."""
    lanes = '[[lanes]]\nname = "a"\nworkers = 101\nprocesses = 2\n'
    lanes += '[[lanes]]\nname = "b"\nworkers = 47\n'
    config = parse_config(f'[target]\nhost = "h"\n{lanes}', where="run.toml")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    # The first process: (51 + 47) workers to 3 shards, 2 lanes to 4 replicas, 64 spare.
    if fits:
        assert "needs 366" in checks.open_files(config, shards=3, replicas=4)
    else:
        with pytest.raises(UsageError, match="needs 366; raise `ulimit -Hn` to that"):
            checks.open_files(config, shards=3, replicas=4)


def test_a_wrong_command_waits_for_nothing(tmp_path: Path) -> None:
    """What a run needs is loaded when options and files are right, and not before."""
    program = (
        "import sys; from loadprobe.cli.app import main\n"
        "try: main()\n"
        "finally: print(sorted({'aiohttp', 'botocore', 'redis'} & sys.modules.keys()))"
    )
    wrong = tmp_path / "run.toml"
    right = tmp_path / "right.toml"
    wrong.write_text("[target]\nport = 70000\n")
    right.write_text('[target]\nhost = "h"\n[[lanes]]\nname = "tcp"\n')
    for path, *words in (
        (wrong,),
        (right, "--for", "soon"),
        (right, "--scenario", "none"),
    ):
        found = subprocess.run(
            [sys.executable, "-c", program, "run", str(path), *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (found.returncode, found.stdout) == (2, "[]\n"), found.stderr
