"""The commands about scenarios: list, rehearse, ask before a change, clean up."""

import asyncio
import io
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from loadprobe.cli import app as cli
from loadprobe.cli.scenarios import confirm_changes
from loadprobe.config.keys import Config, Control, Lane, Target
from loadprobe.control.created import cleanup, markers
from loadprobe.control.created.markers import Marker
from loadprobe.control.provider import shared as shared_api
from loadprobe.control.provider.shared import SharedApi
from loadprobe.control.scenario import rehearsal as scenario_plan
from loadprobe.control.scenario.file import Scenario, load_scenario, shipped
from loadprobe.errors import ControlError, UsageError
from loadprobe.run import launch
from loadprobe.run.launch import RunOptions
from tests.support.scenario_stage import stage_scenario, step

TARGET = '[target]\nhost = "db.example.com"\n[[lanes]]\nname = "tcp"\n'
CONTROL = '[control]\nreplication_group = "rg"\n'


class Answers(io.StringIO):
    """What is typed at a terminal."""

    def isatty(self) -> bool:
        """Be a terminal."""
        return True


class Shell:
    """A shell in which neither API nor load exist; what would be run is kept.

    Attributes:
        ran: what would have been run.
        api: when the API was opened and closed.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        folder: Path,
    ) -> None:
        self.ran: list[RunOptions] = []
        self.api: list[str] = []
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.config = folder / "my.toml"
        self.config.write_text(TARGET + CONTROL)
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))

        async def rehearsed(
            config: Config, scenario: Scenario, shared: SharedApi
        ) -> list[str]:
            assert config.control is not None
            await shared.open(config.control)
            return [f"the plan of {scenario.name}"]

        async def run(
            config: Config, options: RunOptions, shared: SharedApi, *, is_last: bool
        ) -> int:
            assert is_last, "the process ends after it"
            self.ran.append(options)
            return 0

        @asynccontextmanager
        async def opened(control: Control, *, must_exist: bool) -> AsyncIterator[None]:
            assert (control.replication_group, must_exist) == ("rg", True)
            loop = asyncio.get_running_loop()
            self.api.append("opened")
            yield
            assert asyncio.get_running_loop() is loop
            self.api.append("closed")

        monkeypatch.setattr(scenario_plan, "rehearse", rehearsed)
        monkeypatch.setattr(launch, "launch", run)
        monkeypatch.setattr(shared_api, "open_api", opened)

    def call(self, *arguments: str, typed: str | None = None) -> tuple[int, str, str]:
        """Run a command; return its exit code, output and error output."""
        answers = io.StringIO() if typed is None else Answers(typed)
        self._monkeypatch.setattr(sys, "stdin", answers)
        self._monkeypatch.setattr(sys, "argv", ["loadprobe", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        output = self._capsys.readouterr()
        code = caught.value.code
        return code if isinstance(code, int) else 0, output.out, output.err

    def run(self, *arguments: str, typed: str | None = None) -> tuple[int, str, str]:
        """Run the command ``run`` with the configuration."""
        return self.call("run", str(self.config), *arguments, typed=typed)


@pytest.fixture
def shell(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Shell:
    """Return a shell with a configuration that has a [control] section."""
    return Shell(monkeypatch, capsys, tmp_path)


def test_scenarios_are_listed_and_shown(shell: Shell) -> None:
    """The list has names and descriptions, the one shown is the file as it is."""
    code, out, _ = shell.call("scenarios")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(shipped())
    assert load_scenario("failover").description in out
    assert shell.call("scenarios", "watch")[1] == shipped()["watch"].read_text()
    code, _, err = shell.call("scenarios", "watches")
    assert (code, err.count("\n")) == (2, 1)
    assert "did you mean 'watch'?" in err


def test_a_run_without_a_scenario_changes_nothing(shell: Shell) -> None:
    """Nobody is asked, nothing is rehearsed."""
    assert shell.run("--for", "10s")[0] == 0
    (options,) = shell.ran
    assert (options.duration_s, options.scenario) == (10.0, None)
    assert not options.resume


def test_a_dry_run_tells_and_does_nothing(shell: Shell) -> None:
    """The plan is the output; nobody is asked."""
    arguments = ("--scenario", "failover", "--dry-run")
    assert shell.run(*arguments) == (0, "the plan of failover\n", "")
    assert shell.ran == []


def test_the_name_of_the_group_has_to_be_typed(shell: Shell) -> None:
    """The right name begins the run; another one changes nothing."""
    code, _, err = shell.run(
        "--scenario", "failover", "--var", "shard=0002", typed="rg\n"
    )
    assert code == 0
    assert "the plan of failover\nThis changes rg. Type its name to go on: " in err
    (options,) = shell.ran
    assert options.scenario == load_scenario("failover", {"shard": "0002"})
    for typed in ("yes\n", ""):
        code, _, err = shell.run("--scenario", "failover", typed=typed)
        assert code == 2
        assert err.endswith("loadprobe: that is not 'rg'; nothing was changed\n")
    assert len(shell.ran) == 1
    assert shell.api == ["opened", "closed"] * 3


def test_a_copy_without_a_group_is_asked_for_by_its_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keys of a cluster that has no name in any API are replaced, too."""
    config = Config(target=Target("db"), lanes=(Lane("tcp"),))
    text = step("copy", target_host="there", tool="command", command=["true"])
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(UsageError, match="changes the existing cluster at there, and"):
        confirm_changes(config, stage_scenario(text), [])


def test_ctrl_c_ends_the_asking(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one does, although an event loop waits beside; the API is closed."""

    def interrupt(_answers: Answers) -> str:
        signal.raise_signal(signal.SIGINT)
        return "rg\n"

    monkeypatch.setattr(Answers, "readline", interrupt)
    # Who was started in the background of a shell ignores it.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert shell.run("--scenario", "failover", typed="")[0] == 130
    finally:
        signal.signal(signal.SIGINT, former)
    assert shell.ran == []
    assert shell.api == ["opened", "closed"]


def test_without_a_terminal_a_yes_is_needed(shell: Shell) -> None:
    """A pipe cannot be asked; with --yes nobody is."""
    code, _, err = shell.run("--scenario", "failover")
    assert code == 2
    assert "there is no terminal to ask at; look at --dry-run, then give --yes" in err
    assert shell.run("--scenario", "failover", "--yes")[0] == 0
    assert shell.run("--scenario", "watch")[0] == 0
    assert [options.scenario for options in shell.ran] == [
        load_scenario("failover"),
        load_scenario("watch"),
    ]


def test_failover_is_short_for_a_scenario(shell: Shell) -> None:
    """The shard's id is completed, and the baseline is what was given."""
    assert shell.run("--failover", "2", "--failover-after", "3s")[0] == 0
    (options,) = shell.ran
    assert options.scenario is not None
    assert options.scenario.steps == load_scenario("failover", {"shard": "0002"}).steps
    assert options.scenario.baseline_s == 3.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--scenario", "failover", "--failover", "1"),
            "--scenario and --failover exclude each other; give one of them",
        ),
        (("--dry-run",), "--var and --dry-run are about a scenario; give --scenario"),
        (("--var", "a=b"), "--var and --dry-run are about a scenario; give --scenario"),
        (
            ("--scenario", "failover", "--var", "shard"),
            "--var 'shard' is not of the form KEY=VALUE, for example shard=0002",
        ),
        (
            ("--scenario", "failover", "--var", "shrd=1"),
            "--var shrd: failover has no such variable; did you mean 'shard'?",
        ),
    ],
)
def test_options_that_do_not_fit(
    shell: Shell, arguments: tuple[str, ...], message: str
) -> None:
    """Wrong combinations are refused in one line, before anything is asked."""
    assert shell.run(*arguments) == (2, "", f"loadprobe: {message}\n")


def test_a_failover_without_a_group(shell: Shell) -> None:
    """It is said where the group is to be named."""
    shell.config.write_text(TARGET)
    code, _, err = shell.run("--failover", "1")
    assert code == 2
    assert "--failover 1 needs to know the replication group: add [control]" in err


def abandoned(group: str = "made") -> Marker:
    """Leave a marker behind, as of a process that is gone."""
    markers.write(Control(group), now_ns=1, mark="7f3a")
    (path,) = markers.folder().glob(f"{group}-*.json")
    marker = msgspec.json.decode(path.read_bytes(), type=Marker)
    marker = msgspec.structs.replace(marker, boot_id="another")
    path.write_bytes(msgspec.json.encode(marker))
    return marker


def test_a_run_mentions_what_was_left_behind(shell: Shell) -> None:
    """It is no reason not to run, and neither is a note that cannot be read."""
    abandoned()
    code, _, err = shell.run("--for", "10s")
    assert code == 0
    assert err == (
        "loadprobe: an earlier run created made at us-east-1 and left it behind; "
        "delete it: loadprobe cleanup\n"
    )
    (markers.folder() / "broken.json").write_text("{")
    code, _, err = shell.run("--for", "10s")
    assert code == 0
    assert "broken.json" in err


def test_cleaning_up(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each group is asked for by name, unless --yes is given."""
    cleaned: list[Marker] = []

    async def clean_up(marker: Marker, *, tell: cleanup.Tell) -> bool:
        cleaned.append(marker)
        tell(f"{marker.where}: deleted")
        return True

    monkeypatch.setattr(cleanup, "clean_up", clean_up)
    assert shell.call("cleanup") == (0, "no run left a group behind\n", "")
    marker = abandoned()
    code, _, err = shell.call("cleanup")
    assert code == 2
    assert "made at us-east-1 was left behind, and there is no terminal" in err
    assert shell.call("cleanup", typed="no\n")[0] == 2
    assert cleaned == []
    assert shell.call("cleanup", typed="made\n")[1] == "made at us-east-1: deleted\n"
    assert shell.call("cleanup", "--yes")[0] == 0
    assert cleaned == [marker] * 2
    (path,) = markers.folder().glob("*.json")
    elsewhere = msgspec.structs.replace(marker, host="another")
    path.write_bytes(msgspec.json.encode(elsewhere))
    code, out, err = shell.call("cleanup", "--yes")
    assert (code, out) == (0, "")
    assert "made at us-east-1 is left alone" in err
    assert cleaned == [marker] * 2
    assert shell.call("cleanup", "--yes", "--force")[0] == 0
    assert cleaned == [marker, marker, elsewhere]


def test_a_clean_up_that_fails(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still there is named; the other groups are deleted all the same."""
    tried: list[str] = []

    async def clean_up(marker: Marker, *, tell: cleanup.Tell) -> bool:
        tried.append(marker.group)
        if marker.group == "made":
            raise ControlError("not allowed")
        tell(f"{marker.where}: deleted")
        return True

    monkeypatch.setattr(cleanup, "clean_up", clean_up)
    abandoned()
    abandoned("other")
    assert shell.call("cleanup", "--yes") == (
        1,
        "other at us-east-1: deleted\n",
        "loadprobe: made at us-east-1 is still there: not allowed\n",
    )
    assert sorted(tried) == ["made", "other"]
