"""Scenario files: what is accepted, what is refused and how, and those that ship."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from loadprobe.control.scenario.file import (
    check_lanes,
    describe_file,
    find_scenario,
    load_scenario,
    parse_scenario,
    shipped,
)
from loadprobe.control.scenario.keys import (
    OPERATIONS,
    Abort,
    ExecStep,
    Expect,
    ExpectedDark,
    FailoverStep,
    HoldStep,
    ScaleStep,
    ScenarioKeys,
    TlsStep,
)
from loadprobe.control.scenario.step_keys import BaseStep
from loadprobe.control.scenario.transfer_keys import TargetedStep
from loadprobe.errors import ConfigError, UsageError
from tests.support.paths import ROOT

BAD_FILES = sorted((ROOT / "tests" / "scenarios").glob("*.toml"))
SHIPPED = sorted((ROOT / "scenarios").glob("*.toml"))
GIVEN = {
    "engine-upgrade": {"version": "8.0"},
    "migration": {"source_host": "10.0.0.5"},
}
"""Variables that have no default, by scenario."""


def parsed(text: str, **variables: str) -> object:
    """Parse a scenario with a description of its own."""
    text = f'description = "x"\n{text}'
    return parse_scenario(text, where="s.toml", name="s", variables=variables)


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_bad_files(path: Path) -> None:
    """Every bad file is refused with the message in its first line."""
    expected = path.read_text().partition("\n")[0].removeprefix("# ")
    with pytest.raises(ConfigError) as caught:
        load_scenario(str(path))
    assert str(caught.value) == f"{path}: {expected}"
    assert caught.value.exit_code == 2
    assert "hunter2" not in str(caught.value)


def test_every_operation_has_a_good_example() -> None:
    """Each operation can be written down, and becomes its own kind of step."""
    required: dict[str, dict[str, object]] = {
        "create": {"node_type": "cache.t4g.micro"},
        "tls": {"mode": "preferred"},
        "durability": {"mode": "async"},
        "scale": {"shards": "+1"},
        "replicas": {"count": 2},
        "node_type": {"node_type": "next"},
        "engine": {"version": "8.0"},
        "auth_rotate": {"token_env": "TOKEN"},
        "migrate_start": {"source_host": "db"},
        "migrate_test": {"source_host": "db"},
        "migrate_prepare": {"source_host": "db"},
        "user_group": {"user_group": "mine"},
        "seed": {"node_type": "small", "snapshots": ["a.rdb"]},
        "hold": {"seconds": 1},
        "exec": {"command": ["true"]},
        "copy": {"tool": "redis-shake"},
    }
    for operation, kind in OPERATIONS.items():
        keys = {"operation": operation, **required.get(operation, {})}
        step = msgspec.convert(keys, kind)
        assert type(step) is kind
        assert step.label == operation


def test_steps_are_named_after_their_operation() -> None:
    """Names are unique: a number is added, and names that were given are kept."""
    scenario = parse_scenario(
        'description = "x"\n'
        + '[[steps]]\noperation = "hold"\nseconds = 1\n' * 2
        + '[[steps]]\noperation = "failover"\nname = "hold-2"\n',
        where="s.toml",
        name="s",
    )
    assert [step.name for step in scenario.steps] == ["hold", "hold-3", "hold-2"]
    assert [type(step) for step in scenario.steps] == [HoldStep, HoldStep, FailoverStep]


def test_variables_are_replaced_with_their_type() -> None:
    """A text that is one variable becomes its value; within a text it is spelt out."""
    text = """description = "x"
baseline_s = "${pause_s}"
[vars]
pause_s = 10.5
out = 2
host = "db"
force = false
[[steps]]
operation = "scale"
shards = "${out}"
[[steps]]
operation = "exec"
command = ["ping", "-c${out}", "${host}.example.com", "$${HOME}", "$HOME"]
"""
    scenario = parse_scenario(
        text, where="s", name="s", variables={"out": "3", "pause_s": "1"}
    )
    scale, program = scenario.steps
    assert isinstance(scale, ScaleStep)
    assert isinstance(program, ExecStep)
    assert (scenario.baseline_s, scale.shards) == (1.0, 3)
    assert program.command == ("ping", "-c3", "db.example.com", "${HOME}", "$HOME")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"outt": "3"}, "--var outt: s.toml has no such variable; did you mean 'out'?"),
        ({"out": "x"}, "--var out: 'x' is not usable; expected a whole number"),
        ({"flag": "yes"}, "--var flag: 'yes' is not usable; expected true or false"),
        ({"ratio": "x"}, "--var ratio: 'x' is not usable; expected a number"),
    ],
)
def test_variables_that_cannot_be_used(variables: dict[str, str], message: str) -> None:
    """A wrong --var is refused with its name and what it takes."""
    with pytest.raises(UsageError) as caught:
        parsed("[vars]\nout = 1\nflag = true\nratio = 0.5\n", **variables)
    assert str(caught.value) == message


def test_a_variable_of_a_scenario_without_any() -> None:
    """It is said that there are none."""
    with pytest.raises(UsageError, match="no such variable; it has none"):
        parsed("", shard="0001")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_can_be_read(path: Path) -> None:
    """Every file that ships is found by its name, is right, and begins with a text."""
    scenario = load_scenario(path.stem, GIVEN.get(path.stem))
    assert find_scenario(path.stem) == path
    assert scenario.name == path.stem
    assert describe_file(path) == scenario.description
    comments = path.read_text().partition("\n\ndescription")[0].splitlines()
    assert len(comments) >= 3
    assert all(line.startswith("#") for line in comments)
    assert {"Does:", "Costs:", "Expect:"} <= set(" ".join(comments).split())


def test_the_shipped_scenarios_are_those_promised() -> None:
    """The list is what the documentation names."""
    promised = {
        "tls-migration",
        "failover",
        "failover-each-shard",
        "scale-out-in",
        "replicas",
        "node-type",
        "engine-upgrade",
        "auth-rotation",
        "service-update",
        "migration",
        "watch",
    }
    assert promised <= set(shipped())
    page = (ROOT / "docs" / "scenarios.md").read_text()
    assert [name for name in shipped() if f"`{name}`" not in page] == []


def test_the_wheel_takes_the_scenarios_along() -> None:
    """The build is told to put scenarios/ into the package, where they are found."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"scenarios": "loadprobe/scenarios"}


def test_the_tls_migration_follows_the_guide() -> None:
    """none, preferred, required, and back; what is dark by plan is said."""
    scenario = load_scenario("tls-migration")
    modes = [step.mode for step in scenario.steps if isinstance(step, TlsStep)]
    assert modes == ["preferred", "required", "preferred", "none"]
    spans = [(e.dark, e.from_step, e.until_step) for e in scenario.expected]
    assert spans == [
        (("tcp",), "required", "preferred-again"),
        (("tls",), "none-again", "preferred"),
    ]


@pytest.mark.parametrize("more", ["", "[expect]\nmax_lost_writes = 'any'\n"])
def test_the_end_of_a_created_group_is_expected(more: str) -> None:
    """What is deleted serves nobody, and no write can be looked up in it."""
    text = (
        'description = "x"\n[[steps]]\noperation = "create"\nnode_type = "small"\n'
        '[[steps]]\noperation = "delete"\nname = "end"\n'
    )
    scenario = parse_scenario(text + more, where="s.toml", name="s")
    assert scenario.expected == (ExpectedDark(dark=("all",), from_step="end"),)
    assert scenario.expect == Expect(max_lost_writes="any")
    told = '[[expected]]\ndark = ["tcp"]\nfrom_step = "end"\n'
    scenario = parse_scenario(text + told, where="s.toml", name="s")
    assert [each.dark for each in scenario.expected] == [("tcp",)]


def test_names_that_are_no_scenario() -> None:
    """A wrong name is answered with a close one, a missing file with its path."""
    with pytest.raises(UsageError, match="no scenario 'failovr' is shipped; did you"):
        load_scenario("failovr")
    with pytest.raises(ConfigError, match="nowhere.toml: cannot read it: No such file"):
        load_scenario("nowhere.toml")


def test_lanes_of_an_expectation_must_be_there() -> None:
    """A lane that the run does not have is refused; transports always are there."""
    text = """description = "x"
[[steps]]
operation = "hold"
seconds = 1
[[expected]]
dark = ["all", "tcp", "tls", "mine"]
from_step = "hold"
"""
    scenario = parse_scenario(text, where="s.toml", name="s")
    check_lanes(scenario, ["mine"], where="s.toml")
    with pytest.raises(ConfigError) as caught:
        check_lanes(scenario, ["mice"], where="s.toml")
    assert str(caught.value) == (
        "s.toml: expected[0].dark: 'mine' is no lane of this run; did you mean 'mice'?"
    )


def test_every_key_is_documented() -> None:
    """The page on scenarios names every operation with its keys."""
    page = (ROOT / "docs" / "scenarios.md").read_text()
    common = {field.name for field in msgspec.structs.fields(BaseStep)}
    for operation, kind in OPERATIONS.items():
        rows = page.partition("### `[[steps]]`")[2].splitlines()
        (row,) = [row for row in rows if row.startswith(f"| `{operation}` |")]
        if operation == "seed":  # it has those of "create"
            row += next(each for each in rows if each.startswith("| `create` |"))
        if issubclass(kind, TargetedStep):
            row += page.partition("#### Copies and cut-overs")[2].partition("###")[0]
        keys = {field.name for field in msgspec.structs.fields(kind)} - common
        assert [key for key in keys if f"`{key}`" not in row] == []
    tops = [field.name for field in msgspec.structs.fields(ScenarioKeys)]
    assert [key for key in (*tops, *common) if key not in page] == []
    for section, struct in (("expect", Expect), ("abort", Abort)):
        for field in msgspec.structs.fields(struct):
            assert f"`{section}.{field.name}`" in page
