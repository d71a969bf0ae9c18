"""A commented configuration for an endpoint, as a person would begin one. Pure."""

import json
from dataclasses import dataclass

PASSWORD_ENV = "REDIS_PASSWORD"  # noqa: S105 - the name of a variable
"""Where the password is looked for, if an endpoint wants one and none was named."""

_COLUMN = 34
"""Comments begin there."""

_OUTRO = """
[http]
listen = "127.0.0.1:9121"         # metrics and the API of the run; "" serves nothing

# [slo]                           # a run that misses one of these exits with code 3
# max_outage_ms = 1000
# availability = 0.999
# p99_ms = 10
# max_lost_writes = 0

# [control]                       # only to see, or to cause, what ElastiCache does
# replication_group = "my-cluster"     # or serverless_cache = "my-cache"
# region = "us-east-1"
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of an endpoint.

    Args:
        host: name or address.
        port: its port.
        addresses: what the name leads to, in words.
        transports: whether lanes go by TLS: (False,), (True,) or both.
        is_cluster: whether it is in cluster mode; None: it would not tell.
        shards: how many there are, 0 if that is not known.
        wants_login: it refuses commands without a login.
        ca_file: certificate authorities to trust, None: those of the system.
        username: the ACL user, None: the default user.
        password_env: where its password is, None: nowhere.
        password_file: the same.
    """

    host: str
    port: int
    addresses: str
    transports: tuple[bool, ...]
    is_cluster: bool | None
    shards: int = 0
    wants_login: bool = False
    ca_file: str | None = None
    username: str | None = None
    password_env: str | None = None
    password_file: str | None = None

    @property
    def words(self) -> str:
        """Return what was found in one line."""
        spoken = " and ".join("TLS" if tls else "plaintext" for tls in self.transports)
        mode = "without cluster mode"
        if self.is_cluster is None:
            mode = "cluster mode not known"
        elif self.is_cluster:
            mode = f"cluster mode, {self.shards} shard{'s' * (self.shards != 1)}"
        login = "wants a login" if self.wants_login else "no login needed"
        if self.password_env or self.password_file:
            login = "login taken"
        return f"{self.host}:{self.port}: {spoken}; {mode}; {login}"


def write_config(found: Found, *, by: str) -> str:
    """Return a configuration as text, with what was found and why.

    Args:
        found: what is known of the endpoint.
        by: the command that makes it.
    """
    lines = [
        f"# Made by `{by}`.",
        "# All keys are in docs/configuration.md. Can it be run? loadprobe check FILE",
        "",
        _line("name", "run", "names the run folders and the metrics"),
        "",
        "[target]",
        _line("host", found.host, found.addresses),
        _line("port", found.port),
        *_cluster(found),
        *_login(found),
    ]
    if found.ca_file is not None:
        lines.append(_line("ca_file", found.ca_file, "who signed its certificate"))
    for tls in found.transports:
        lines += ["", *_lane(tls=tls)]
    return "\n".join(lines) + "\n" + _OUTRO


def _cluster(found: Found) -> list[str]:
    if found.is_cluster is None:
        return [_line("cluster", True, "it would not tell; false without cluster mode")]
    if found.is_cluster:
        return [_line("cluster", True, f"{found.shards} when it was asked")]
    return [_line("cluster", False, "a single endpoint")]


def _login(found: Found) -> list[str]:
    lines: list[str] = []
    if found.username is not None:
        lines.append(_line("username", found.username))
    if found.password_file is not None:
        lines.append(_line("password_file", found.password_file, "line 1 of it"))
    elif found.password_env is not None or found.wants_login:
        if found.username is None:
            lines.append('# username = "default"'.ljust(_COLUMN) + "# the ACL user")
        name = found.password_env or PASSWORD_ENV
        lines.append(_line("password_env", name, "the variable that holds it"))
    return lines


def _lane(*, tls: bool) -> list[str]:
    return [
        "[[lanes]]",
        _line("name", "tls" if tls else "tcp"),
        _line("tls", tls),
        _line("workers", 200, "connections per shard"),
        _line("rate_per_s", 1000, "requests per second, sent whatever becomes of them"),
        _line("read_ratio", 0.8, "of them are reads"),
        _line("keys", 10_000, "written under lp:, nothing else is touched"),
        _line("value_bytes", 64),
    ]


def _line(key: str, value: str | float, why: str = "") -> str:
    """Return a key with its value, as TOML, and a comment."""
    text = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    return f"{text.ljust(_COLUMN - 1)} # {why}" if why else text
