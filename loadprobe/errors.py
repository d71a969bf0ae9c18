"""The errors loadprobe raises.

LoadprobeError                 anything a person can act on: printed as one line
+-- UsageError                 exit code 2: nothing was started
|   +-- ConfigError            a configuration file or value is wrong
|   +-- PreflightError         the target, port, folder or certificate is not usable
|       +-- NotThereYet        the target cannot be reached, or is not ready
+-- RunError                   exit code 1: the run itself failed
    +-- ProbeCrashed           a probe process met something it does not know
    +-- ControlError           the provider's API refused or did not answer

A failed *request* is never an exception: it is data (see core.outcome).
"""


class LoadprobeError(Exception):
    """Base of all errors; the text says what was done, with what, and what to do."""

    exit_code = 1


class UsageError(LoadprobeError):
    """Nothing was started: the command, the configuration or the target is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration value is missing, mistyped or impossible.

    Args:
        where: the file, and the path of the key in it ("run.toml: lanes[0].workers").
        problem: what is wrong and what is expected.
    """

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


class PreflightError(UsageError):
    """Something the run needs is not usable (network, TLS, port, folder, server)."""


class NotThereYet(PreflightError):
    """The target cannot be reached or is not ready, which may change by itself."""


class RunError(LoadprobeError):
    """The run started and could not be completed."""


class ProbeCrashed(RunError):
    """A probe process ended with an exception that no table knows."""


class ControlError(RunError):
    """An API call of the controller was refused or remained without an answer."""
