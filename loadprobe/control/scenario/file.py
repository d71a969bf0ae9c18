"""Reading a scenario file: TOML, variables, unknown keys refused, order checked.

What a file alone can tell is checked here, so that a scenario that was read can only
fail for reasons that lie in the cluster or its provider.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import loadprobe
from loadprobe.config.file import add_lanes
from loadprobe.config.keys import Client, Config, Lane
from loadprobe.config.toml import Keys, convert, decode, read_file, shown, suggest
from loadprobe.control.scenario.keys import (
    BACK,
    OPERATIONS,
    RECORDED,
    Abort,
    AuthRotateStep,
    CreateStep,
    DeleteStep,
    Expect,
    ExpectedDark,
    Making,
    NodeTypeStep,
    ScenarioKeys,
    SeedStep,
    Step,
    cuts_over,
)
from loadprobe.control.scenario.serverless_keys import CreateServerlessStep
from loadprobe.control.scenario.tls_order import check_mode
from loadprobe.control.scenario.transfer_keys import CutoverStep
from loadprobe.control.scenario.transfer_rules import check_transfer, is_offline
from loadprobe.control.scenario.variables import (
    Value,
    fill_variables,
    resolve_variables,
)
from loadprobe.errors import ConfigError, UsageError

_KEYS = Keys(
    {
        "": ScenarioKeys,
        "lanes": Lane,
        "lanes.client": Client,
        "expected": ExpectedDark,
        "expect": Expect,
        "abort": Abort,
    },
    words={
        "steps": "[[steps]] sections",
        "vars": "a [vars] section of texts, numbers and flags",
        "lanes": "[[lanes]] sections",
        "expected": "[[expected]] sections",
        "expect": "an [expect] section",
        "abort": "an [abort] section",
    },
)
_VARS = Keys({"": ScenarioKeys}, words={"vars": _KEYS.words["vars"]})
_REFUSED = dict.fromkeys(
    ("token", "auth_token", "password"),
    "a secret is not part of a scenario; set token_file or token_env",
)
TRANSPORTS = ("tcp", "tls", "all")
"""What ``expected.dark`` may name besides lanes."""


class _Vars(msgspec.Struct, frozen=True):
    vars: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario that can be carried out.

    Args:
        name: name of the file, without its ending.
        description: one sentence.
        steps: in their order; every one has a name.
        baseline_s: load before the first step.
        after_s: load after the last step.
        repeat: how often the steps are carried out.
        lanes: further lanes, besides those of the configuration.
        expected: darkness by plan.
        expect: what has to be true at the end.
        abort: what ends it early.
    """

    name: str
    description: str
    steps: tuple[Step, ...] = ()
    baseline_s: float = 10.0
    after_s: float = 10.0
    repeat: int = 1
    lanes: tuple[Lane, ...] = ()
    expected: tuple[ExpectedDark, ...] = ()
    expect: Expect = field(default_factory=Expect)
    abort: Abort = field(default_factory=Abort)

    def has(self, *kinds: type[Step]) -> bool:
        """Tell whether a step is of one of some kinds."""
        return any(isinstance(step, kinds) for step in self.steps)

    @property
    def secret_variables(self) -> frozenset[str]:
        """Names of the environment variables that hold secrets of the steps."""
        keys = ("token_env", "target_password_env")
        names = (getattr(step, key, None) for step in self.steps for key in keys)
        return frozenset(name for name in names if name)

    @property
    def creates(self) -> Making | None:
        """The step that creates the group or cache, None if it is there before."""
        return next((s for s in self.steps if isinstance(s, Making)), None)

    @property
    def cuts_over(self) -> bool:
        """Whether the lanes begin at a source, and go over to the target by a step."""
        return any(isinstance(s, CutoverStep) or cuts_over(s) for s in self.steps)


def load_scenario(
    name_or_path: str, variables: Mapping[str, str] | None = None
) -> Scenario:
    """Read a scenario that is shipped, or a file.

    Args:
        name_or_path: a name in ``shipped``; or a path, which ends in .toml or has a
            slash in it.
        variables: values for [vars], as given on the command line.

    Raises:
        ConfigError: the file is wrong; the message names file, key and remedy.
        UsageError: there is no such scenario or variable.
    """
    path = find_scenario(name_or_path)
    return parse_scenario(
        read_file(path), where=name_or_path, name=path.stem, variables=variables
    )


def find_scenario(name_or_path: str) -> Path:
    """Return the file of a scenario.

    Raises:
        UsageError: it is neither a path nor the name of one that is shipped.
    """
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        return Path(name_or_path)
    known = shipped()
    if name_or_path not in known:
        raise UsageError(
            f"no scenario {name_or_path!r} is shipped{suggest(name_or_path, known)} "
            "(a file of your own needs .toml at its end, or a slash in its path)"
        )
    return known[name_or_path]


def shipped() -> dict[str, Path]:
    """Return name -> file of the scenarios that come with loadprobe."""
    package = Path(loadprobe.__file__).parent
    # Inside of an installed package, beside the package in its repository.
    folders = (package / "scenarios", package.parent / "scenarios")
    folder = next((folder for folder in folders if folder.is_dir()), folders[0])
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def describe_file(path: Path) -> str:
    """Return the description of a scenario file, without checking anything else."""
    raw = decode(read_file(path), where=str(path))
    return str(raw.get("description", ""))


def parse_scenario(
    text: str, *, where: str, name: str, variables: Mapping[str, str] | None = None
) -> Scenario:
    """Parse and check a scenario.

    Args:
        text: TOML.
        where: name of the file, for messages.
        name: of the scenario.
        variables: values for [vars], as given on the command line.

    Raises:
        ConfigError: anything is wrong; the message names file, key and remedy.
        UsageError: a variable is not one of [vars].
    """
    raw = decode(text, where=where)
    given = convert({"vars": raw.get("vars", {})}, _Vars, keys=_VARS, where=where)
    values = resolve_variables(given.vars, variables or {}, where=where)
    filled = {
        key: raw[key] if key == "vars" else fill_variables(raw[key], key, values, where)
        for key in raw
    }
    top = convert(filled, ScenarioKeys, keys=_KEYS, where=where)
    steps = _named(
        [
            _step(raw_step, where=where, at=f"steps[{index}]")
            for index, raw_step in enumerate(top.steps)
        ],
        where=where,
    )
    scenario = Scenario(
        name=name,
        description=top.description,
        steps=steps,
        baseline_s=top.baseline_s,
        after_s=top.after_s,
        repeat=top.repeat,
        lanes=top.lanes,
        expected=(*top.expected, *_expected_end(steps, top.expected)),
        expect=_expect(top.expect, steps, raw, where=where),
        abort=top.abort,
    )
    _check_order(scenario, where)
    _check_references(scenario, where)
    return scenario


def with_lanes(
    config: Config, scenario: Scenario, *, where: str | None = None
) -> Config:
    """Return a configuration with the lanes of a scenario, and check that they fit.

    Args:
        config: without them.
        scenario: what was read.
        where: name of the file, for messages; that of the scenario if None.

    Raises:
        ConfigError: a lane does not fit, or one that the scenario names is not there.
    """
    where = where or scenario.name
    added = add_lanes(config, scenario.lanes, where=where)
    check_lanes(scenario, (lane.name for lane in config.lanes), where=where)
    return added


def check_lanes(scenario: Scenario, lanes: Iterable[str], *, where: str) -> None:
    """Check that every lane that a scenario names is there.

    Args:
        scenario: what was read.
        lanes: names of the lanes of the configuration.
        where: name of the file, for messages.

    Raises:
        ConfigError: one is not.
    """
    own = (lane.name for lane in scenario.lanes)
    known = dict.fromkeys((*TRANSPORTS, *lanes, *own))
    for index, expected in enumerate(scenario.expected):
        for lane in expected.dark:
            if lane not in known:
                raise ConfigError(
                    f"{where}: expected[{index}].dark",
                    f"{lane!r} is no lane of this run{suggest(lane, known)}",
                )


# --- steps ---------------------------------------------------------------------------


def _step(raw: Mapping[str, object], *, where: str, at: str) -> Step:
    """Turn a [[steps]] section into the step of its operation."""
    operation = raw.get("operation")
    kind = OPERATIONS.get(operation) if isinstance(operation, str) else None
    if kind is None:
        if "operation" not in raw:
            problem = f"missing; expected one of {', '.join(OPERATIONS)}"
        elif isinstance(operation, str):
            more = suggest(operation, OPERATIONS)
            problem = f"{shown(operation)} is no operation{more}"
        else:
            known = ", ".join(OPERATIONS)
            problem = f"{shown(operation)} is not usable; expected one of {known}"
        raise ConfigError(f"{where}: {at}.operation", problem)
    keys = Keys({"": kind}, refused=_REFUSED, otherwise="text (not empty)")
    return convert(raw, kind, keys=keys, where=where, at=at)


def _named(steps: list[Step], *, where: str) -> tuple[Step, ...]:
    """Give every step a name of its own."""
    names: dict[str, int] = {}
    for index, step in enumerate(steps):
        if step.name in names:
            raise ConfigError(
                f"{where}: steps[{index}].name",
                f"{step.name!r} is used by two steps; rename one",
            )
        if step.name is not None:
            names[step.name] = index
    named = []
    for step in steps:
        name, number = step.name or step.operation, 1
        while step.name is None and name in names:
            number += 1
            name = f"{step.operation}-{number}"
        names[name] = 0
        named.append(msgspec.structs.replace(step, name=name))
    return tuple(named)


def _expected_end(
    steps: Sequence[Step], expected: Sequence[ExpectedDark]
) -> Iterator[ExpectedDark]:
    """Yield what need not be written: a group that is deleted serves nobody."""
    told = {each.from_step for each in expected}
    for step in steps:
        if isinstance(step, DeleteStep) and step.label not in told:
            yield ExpectedDark(dark=("all",), from_step=step.label)


def _expect(
    expect: Expect, steps: Sequence[Step], raw: Mapping[str, object], *, where: str
) -> Expect:
    """Return what is expected of data that may be gone at the end."""
    if not any(isinstance(step, DeleteStep) for step in steps):
        return expect
    given = raw.get("expect")
    is_given = isinstance(given, Mapping) and "max_lost_writes" in given
    if is_given and expect.max_lost_writes != RECORDED:
        raise ConfigError(
            f"{where}: expect.max_lost_writes",
            'nothing is left to look writes up in after "delete"; set "any", or remove '
            "that step: the group is deleted at the end of the run anyway",
        )
    return msgspec.structs.replace(expect, max_lost_writes=RECORDED)


# --- what no single key can tell -----------------------------------------------------


def _check_order(scenario: Scenario, where: str) -> None:
    last = len(scenario.steps) - 1
    mode: str | None = None
    for index, step in enumerate(scenario.steps):
        at = f"{where}: steps[{index}]"
        match step:
            case SeedStep() if is_offline(scenario.steps[:index], scenario.steps):
                pass
            case CreateStep() | CreateServerlessStep() if index > 0:
                raise ConfigError(
                    at, f'"{step.operation}" can only be the first step; move it'
                )
            case DeleteStep() if index < last:
                raise ConfigError(at, '"delete" can only be the last step; move it')
            case DeleteStep() if scenario.creates is None:
                raise ConfigError(
                    at,
                    '"delete" is only for a group that the scenario created; '
                    'add a "create" step, or remove this one',
                )
            case CreateStep() | CreateServerlessStep() if step.keep and scenario.has(
                DeleteStep
            ):
                raise ConfigError(
                    f"{at}.keep",
                    'true, and there is a "delete" step; remove one of the two',
                )
            case CreateStep() | CreateServerlessStep() | AuthRotateStep() if (
                scenario.repeat > 1
            ):
                raise ConfigError(
                    f"{where}: repeat",
                    f'"{step.operation}" cannot be repeated; set it to 1',
                )
            case AuthRotateStep() if (step.token_file is None) == (
                step.token_env is None
            ):
                raise ConfigError(at, "give token_file or token_env, one of them")
        check_transfer(step, at)
        mode = check_mode(step, mode, at)


def _check_references(scenario: Scenario, where: str) -> None:
    names = {step.label: index for index, step in enumerate(scenario.steps)}
    for index, expected in enumerate(scenario.expected):
        for key in ("from_step", "until_step"):
            name = getattr(expected, key)
            if name is not None and name not in names:
                more = suggest(name, names) if names else "; there are no steps"
                raise ConfigError(
                    f"{where}: expected[{index}].{key}", f"{name!r} is no step{more}"
                )
    kinds = [step for step in scenario.steps if isinstance(step, NodeTypeStep)]
    if kinds and kinds[0].node_type == BACK:
        raise ConfigError(
            f"{where}: steps[{scenario.steps.index(kinds[0])}].node_type",
            f'"{BACK}" needs a node_type step before it',
        )
