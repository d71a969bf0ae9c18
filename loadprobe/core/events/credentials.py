"""What a run is told of credentials that change, and of its configuration. Pure."""

from loadprobe.core.events.fact import Fact


class CredentialsChanged(Fact, frozen=True, tag="run/credentials_changed"):
    """New connections log in, or are encrypted, by something else from now on.

    Args:
        what: keys of ``[target]`` whose values or files are others; no values.
        by: ``file``, ``reload`` or ``iam``.
    """

    what: tuple[str, ...]
    by: str


class ConfigReloaded(Fact, frozen=True, tag="run/config_reloaded"):
    """The configuration was read again, and what had changed is taken over.

    Args:
        changed: keys whose values are others; no values.
        by: ``signal``, or who asked by HTTP.
        anew: those of them for which the run goes over into a new segment.
    """

    changed: tuple[str, ...]
    by: str
    anew: tuple[str, ...] = ()


class ReloadRefused(Fact, frozen=True, tag="run/reload_refused"):
    """The configuration was read again, and nothing of it is in force.

    Args:
        reason: why.
        by: ``signal``, or who asked by HTTP.
    """

    reason: str
    by: str


class LoginsRenewed(Fact, frozen=True, tag="run/logins_renewed"):
    """Open connections of a lane have logged in anew; none was closed for it.

    Args:
        lane: its name.
        process: of the probe.
        renewed: connections that were let in.
        refused: connections that were not, and stay as they were.
        reason: what the server said against them, or "".
    """

    lane: str
    process: int
    renewed: int
    refused: int
    reason: str
