"""Secrets by reference: a file or an environment variable, read when it is used."""

import os

from loadprobe.config.bounded_file import read_bounded_text
from loadprobe.errors import ConfigError


def read_secret(
    section: str, key: str, *, file: str | None, env: str | None = None
) -> str | None:
    """Return the secret behind a reference, or None if there is none.

    Args:
        section: of the configuration, for messages ("target").
        key: of the secret, without what tells where it is ("password").
        file: path of a file whose first line is the secret.
        env: name of an environment variable that holds it.

    Raises:
        ConfigError: the file or environment variable is missing or empty.
    """
    word = key.replace("_", " ")
    if file is not None:
        try:
            text = read_bounded_text(file)
        except (OSError, ValueError) as exc:
            # ValueError: not UTF-8 (its text would show bytes of the secret)
            why = exc.strerror if isinstance(exc, OSError) else "not UTF-8 text"
            raise ConfigError(
                f"{section}.{key}_file",
                f"cannot read {file!r}: {why}; it must be a text "
                f"file with the {word} in line 1",
            ) from None
        lines = text.splitlines()
        if not lines or not lines[0]:
            raise ConfigError(
                f"{section}.{key}_file",
                f"{file!r} is empty; put the {word} in line 1",
            )
        return lines[0]
    if env is not None:
        value = os.environ.get(env)
        if not value:
            raise ConfigError(
                f"{section}.{key}_env",
                f"the environment variable {env!r} is not set, or "
                f"empty; put the {word} into it, or use {key}_file",
            )
        return value
    return None
