"""Logging in as an IAM user: what it takes of ``[target]``, and what it excludes."""

import msgspec

from loadprobe.config.keys import Config
from loadprobe.errors import ConfigError


def check_iam(config: Config, at: str) -> None:
    """Check what no single key can tell.

    Args:
        config: what was read.
        at: name of the file and of the section, for messages.

    Raises:
        ConfigError: keys do not fit together.
    """
    target = config.target
    if target.iam_user is None:
        given = (target.iam_cache, target.iam_region, target.iam_serverless or None)
        if any(given):
            raise ConfigError(
                at, "iam_cache, iam_region and iam_serverless need iam_user beside them"
            )
        return
    if target.username is not None or target.password_file or target.password_env:
        raise ConfigError(
            f"{at}.iam_user",
            "a token takes the place of username and password; remove those",
        )
    if target.iam_cache is None and config.control is None:
        raise ConfigError(
            f"{at}.iam_cache",
            "a token is for one cache: set it to the id of the replication group, or "
            "the name of the serverless cache",
        )
    if target.iam_region is None and config.control is None:
        raise ConfigError(f"{at}.iam_region", "missing; expected a region of AWS")
    plain = [lane.name for lane in config.lanes if not lane.tls]
    if plain:
        raise ConfigError(
            f"{at}.iam_user",
            f"ElastiCache takes tokens over TLS only; set tls = true in {plain[0]}",
        )


def with_iam_user(config: Config) -> Config:
    """Return a configuration that says for what tokens are, and whose they are."""
    target, control = config.target, config.control
    if target.iam_user is None:
        return config
    cache, region = target.iam_cache, target.iam_region
    is_serverless = target.iam_serverless
    if cache is None and control is not None:
        cache, is_serverless = control.cache, control.is_serverless
    target = msgspec.structs.replace(
        target,
        username=target.iam_user,
        iam_cache=cache,
        iam_serverless=is_serverless,
        iam_region=region or (control.region if control else None),
    )
    return msgspec.structs.replace(config, target=target)
