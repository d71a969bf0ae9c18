"""AUTH tokens for an auth_rotate step: read, or made, and never shown."""

import os
import secrets
import string
from pathlib import Path

from loadprobe.control.provider.secret import Secret
from loadprobe.control.scenario.keys import AuthRotateStep
from loadprobe.errors import ConfigError

_ALPHABET = string.ascii_letters + string.digits
_LENGTH = 32
"""16 to 128 characters are allowed (API reference); these have 190 bits."""


def is_missing(step: AuthRotateStep) -> bool:
    """Tell whether the token's file is still to be made."""
    return step.token_file is not None and not Path(step.token_file).exists()


def read_token(step: AuthRotateStep) -> Secret:
    """Return the token of a step.

    Raises:
        ConfigError: there is none where the step says.
    """
    if step.token_env is not None:
        value = os.environ.get(step.token_env)
        if not value:
            raise ConfigError(
                f"step {step.label}: token_env",
                f"the environment variable {step.token_env!r} is not set, or empty; "
                "put the new token into it, or use token_file",
            )
        return Secret(value)
    assert step.token_file is not None, "a scenario that was read has one of the two"
    try:
        lines = Path(step.token_file).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as exc:
        # ValueError: not UTF-8 (its text would show bytes of the secret)
        why = exc.strerror if isinstance(exc, OSError) else "not UTF-8 text"
        raise ConfigError(
            f"step {step.label}: token_file",
            f"cannot read {step.token_file!r}: {why}; it must be a text file with the "
            "new token in line 1",
        ) from None
    if not lines or not lines[0]:
        raise ConfigError(
            f"step {step.label}: token_file",
            f"{step.token_file!r} is empty; put the new token in line 1, or remove the "
            "file to have one made",
        )
    return Secret(lines[0])


def make_token(step: AuthRotateStep) -> None:
    """Write a new random token to the step's file, mode 0600.

    Raises:
        ConfigError: the file cannot be written, or is there already.
    """
    assert step.token_file is not None
    token = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(step.token_file, flags, 0o600), "w") as file:
            file.write(f"{token}\n")
    except OSError as exc:
        raise ConfigError(
            f"step {step.label}: token_file",
            f"cannot make {step.token_file!r}: {exc.strerror}; give a path in a folder "
            "that can be written to",
        ) from exc
