"""What is going to be run, as a value."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from loadprobe.clock import NS_PER_HOUR
from loadprobe.config.keys import Config, secret_variables, with_endpoint
from loadprobe.control.reach.tunnel import SshTunnel
from loadprobe.control.scenario.file import Scenario
from loadprobe.control.scenario.turns import rounds, turn_of

Reread = Callable[[], Config]
"""Reads the configuration as the command did; raises UsageError."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line adds to a configuration.

    Args:
        duration_s: least length of the load; None is until a signal, or until the
            scenario is over.
        scenario: what to change meanwhile, or None to change nothing.
        resume: go on with a run of before, if there is one.
        reread: reads the configuration again as it was read, without the lanes of the
            scenario; None: there is nothing to read.
        is_full: show all of it, not only what fits a screen.
        junit: where to write what it was judged by, for CI servers.
        is_opened: open the live page in a browser.
    """

    duration_s: float | None = None
    scenario: Scenario | None = None
    resume: bool = False
    reread: Reread | None = None
    is_full: bool = False
    junit: Path | None = None
    is_opened: bool = False


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What is going to be run; see ``preparing``.

    Args:
        config: what to measure and how; the endpoint is known, unless the group is yet
            to be created.
        duration_s: least length of the load; None is until a signal, or until the
            scenario is over.
        scenario: what to change meanwhile, or None to change nothing.
        dormant: names of lanes that the cluster does not serve yet.
        is_full: show all of it, not only what fits a screen.
        junit: where to write what it was judged by, for CI servers.
        is_opened: open the live page in a browser.
        tunnel: the way to the nodes, which is open; None if there is no tunnel.
    """

    config: Config
    duration_s: float | None = None
    scenario: Scenario | None = None
    dormant: frozenset[str] = frozenset()
    is_full: bool = False
    junit: Path | None = None
    is_opened: bool = False
    tunnel: SshTunnel | None = None

    @property
    def scenario_name(self) -> str:
        """Name of the scenario, or ""."""
        return self.scenario.name if self.scenario is not None else ""

    @property
    def segment_ns(self) -> int | None:
        """Length of a segment of the run folder; None if the run has an end."""
        if self.duration_s is not None or self.scenario is not None:
            return None
        return round(self.config.output.segment_hours * NS_PER_HOUR)

    @property
    def withheld(self) -> frozenset[str]:
        """Names of the environment variables that no process of the run inherits.

        They hold secrets; what a process has to know of those, it is told.
        """
        named = secret_variables(self.config)
        return (
            named if self.scenario is None else named | self.scenario.secret_variables
        )

    @property
    def creates(self) -> bool:
        """Tell whether the replication group is yet to be created."""
        return self.scenario is not None and self.scenario.creates is not None

    @property
    def step_names(self) -> tuple[str, ...]:
        """Names of the scenario's steps, over all rounds."""
        if self.scenario is None:
            return ()
        return tuple(
            turn_of(step, number).name for number, step in rounds(self.scenario)
        )

    @property
    def group_id(self) -> str:
        """Replication group, or ""."""
        control = self.config.control
        return control.cache if control is not None else ""

    @property
    def where(self) -> str:
        """The target for people."""
        target = self.config.target
        if target.host:
            return f"{target.host}:{target.port}"
        return f"{self.group_id} (not there yet)"

    def at_endpoint(self, host: str, port: int) -> "RunPlan":
        """Return the plan with the endpoint that the API told."""
        return replace(self, config=with_endpoint(self.config, host, port))
