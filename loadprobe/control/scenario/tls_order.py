"""The order in which the TLS mode can change: one step at a time.

Pure.
"""

from loadprobe.control.scenario.keys import Making, Step, TlsStep
from loadprobe.errors import ConfigError

_TLS_ORDER = ("none", "preferred", "required")


def check_mode(step: Step, mode: str | None, at: str) -> str | None:
    """Return the TLS mode after a step, None if it cannot be told.

    Args:
        step: what is carried out.
        mode: the one before it; None if it cannot be told.
        at: where it stands, for messages.

    Raises:
        ConfigError: it leaves one out.
    """
    if not isinstance(step, Making | TlsStep):
        return mode
    if mode is not None and {mode, step.mode} == {_TLS_ORDER[0], _TLS_ORDER[2]}:
        raise ConfigError(
            f"{at}.mode",
            f'"{mode}" cannot become "{step.mode}" in one step; '
            'add a step with mode = "preferred" before it',
        )
    return step.mode
