"""What the keys of steps that move data have to agree on. Pure."""

import re
from collections.abc import Sequence

from loadprobe.control.scenario.keys import ExecStep, HoldStep, Step
from loadprobe.control.scenario.transfer_keys import (
    CopyStep,
    CutoverStep,
    DrainStep,
    TargetedStep,
)
from loadprobe.errors import ConfigError

_ONLY_OF = {
    "command": ("command",),
    "file": ("redis-cli",),
    "per_shard": ("redis-shake",),
    "live": ("riot",),
    "caught_up": ("riot", "command"),
}
"""Key of a copy -> the tools that have it."""


def check_transfer(step: object, at: str) -> None:
    """Check one step.

    Args:
        step: any step.
        at: where it is, for messages.

    Raises:
        ConfigError: its keys do not fit.
    """
    if isinstance(step, TargetedStep):
        _check_target(step, at)
    if isinstance(step, CopyStep):
        _check_copy(step, at)


def is_offline(before: Sequence[Step], steps: Sequence[Step]) -> bool:
    """Tell whether all before a "seed" step is about the source alone.

    Then the lanes are there, and the group need not be.

    Args:
        before: the steps before it.
        steps: all of the scenario.
    """
    of_source = DrainStep | CopyStep | HoldStep | ExecStep
    return any(isinstance(step, CutoverStep) for step in steps) and all(
        isinstance(step, of_source) for step in before
    )


def _check_target(step: TargetedStep, at: str) -> None:
    if step.target_password_file is not None and step.target_password_env is not None:
        raise ConfigError(
            at, "give target_password_file or target_password_env, one of them"
        )
    if step.target_host is None and (step.target_tls or not step.target_cluster):
        raise ConfigError(
            at,
            "target_tls and target_cluster belong to a target_host; of the group of "
            "[control] both are known",
        )
    is_waiting = isinstance(step, CutoverStep) and step.catch_up_s
    if is_waiting and isinstance(step, CutoverStep) and step.writers == "at_once":
        raise ConfigError(
            f"{at}.catch_up_s", 'only with writers = "drained": else nothing waits'
        )


def _check_copy(step: CopyStep, at: str) -> None:
    for key, tools in _ONLY_OF.items():
        if getattr(step, key) and step.tool not in tools:
            raise ConfigError(
                f"{at}.{key}", f"only of {' and '.join(tools)}, not of {step.tool}"
            )
    if step.tool == "command" and step.command is None:
        raise ConfigError(f"{at}.command", 'missing: tool = "command" runs it')
    if step.tool == "command" and (step.program or step.arguments):
        raise ConfigError(at, "program and arguments are part of command")
    if (step.method == "rdb") != (step.file is not None):
        raise ConfigError(f"{at}.file", 'goes with method = "rdb", and only with it')
    if step.method == "rdb" and step.tool != "redis-cli":
        raise ConfigError(f"{at}.method", f"only of redis-cli, not of {step.tool}")
    if step.tool == "riot" and step.live != (step.caught_up is not None):
        raise ConfigError(
            f"{at}.caught_up",
            "goes with live = true, and only with it: which line of its output says "
            "that the scan is done",
        )
    if step.caught_up is not None:
        try:
            re.compile(step.caught_up)
        except re.error as exc:
            raise ConfigError(
                f"{at}.caught_up", f"is no regular expression: {exc}"
            ) from exc
