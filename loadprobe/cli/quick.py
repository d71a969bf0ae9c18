"""The quick case: ``loadprobe run redis://host:port`` with options instead of a file.

It makes the configuration that a file with one lane would be. Options have the names
that users of memtier_benchmark and k6 have in their fingers, beside our own.
"""

import asyncio
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from loadprobe.config.file import make_config
from loadprobe.config.keys import Config
from loadprobe.config.url import parse_url
from loadprobe.errors import UsageError

COMMAND_LINE = "command line"
_PANEL = "Instead of a file (CONFIG is a URL)"
_RATIO = re.compile(r"(?P<set>\d{1,9}):(?P<get>\d{1,9})")
_BARE = re.compile(r"[A-Za-z0-9._-]+:\d{1,5}|(\d{1,3}\.){3}\d{1,3}|localhost")
_METRICS = "127.0.0.1:0"
"""Any free port: there may be other runs."""
_PAUSE_S = 0.5

Rate = Annotated[
    float | None,
    typer.Option(
        "--rate", "--rps", help="Requests per second (1000).", rich_help_panel=_PANEL
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "--clients",
        "--vus",
        help="Connections per shard (200).",
        rich_help_panel=_PANEL,
    ),
]
Tls = Annotated[
    bool,
    typer.Option(
        "--tls", help="Connect by TLS, as with rediss://.", rich_help_panel=_PANEL
    ),
]
CaFile = Annotated[
    str | None,
    typer.Option(
        "--cacert",
        metavar="FILE",
        help="Certificate authorities to trust (those of the system).",
        rich_help_panel=_PANEL,
    ),
]
User = Annotated[
    str | None, typer.Option("--user", help="ACL user.", rich_help_panel=_PANEL)
]
PasswordEnv = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Environment variable with the password.",
        rich_help_panel=_PANEL,
    ),
]
PasswordFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="File with the password in line 1.",
        rich_help_panel=_PANEL,
    ),
]
Ratio = Annotated[
    str | None,
    typer.Option(
        metavar="SET:GET", help="Writes to reads (1:4).", rich_help_panel=_PANEL
    ),
]
DataSize = Annotated[
    int | None,
    typer.Option("--data-size", help="Bytes of a value (64).", rich_help_panel=_PANEL),
]
Keys = Annotated[
    int | None,
    typer.Option("--keys", help="Number of keys (10000).", rich_help_panel=_PANEL),
]


@dataclass(frozen=True, slots=True)
class Quick:
    """The options of the quick case, each as it was given; see the types above."""

    rate: float | None = None
    workers: int | None = None
    tls: bool = False
    cacert: str | None = None
    user: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    ratio: str | None = None
    data_size: int | None = None
    keys: int | None = None

    def refuse(self, path: str) -> None:
        """Refuse options that were given beside a file.

        Raises:
            UsageError: there is one.
        """
        for field in fields(self):
            if getattr(self, field.name) != field.default:
                option = f"--{field.name.replace('_', '-')}"
                raise UsageError(
                    f"{option} is for a run without a file (loadprobe run "
                    f"redis://host:port); set it in {path}"
                )

    def config(self, url: str) -> Config:
        """Return the configuration that a file would be.

        Cluster mode is what the file would say if it said nothing: on.

        Args:
            url: the endpoint.

        Raises:
            ConfigError: the URL or an option cannot be used.
        """
        endpoint = parse_url(url, where=f"{COMMAND_LINE}: CONFIG")
        tls = self.tls or endpoint.tls
        target = {
            "host": endpoint.host,
            "port": endpoint.port,
            "ca_file": self.cacert,
            "username": self.user or endpoint.username,
            "password_env": self.password_env,
            "password_file": self.password_file,
        }
        lane = {
            "name": "tls" if tls else "tcp",
            "tls": tls,
            "workers": self.workers,
            "rate_per_s": self.rate,
            "read_ratio": _read_ratio(self.ratio),
            "value_bytes": self.data_size,
            "keys": self.keys,
        }
        said = _given(target)
        raw: dict[str, object] = {
            "target": dict(said),
            "lanes": [_given(lane)],
            "http": {"listen": _METRICS},
        }
        return make_config(
            raw, where=COMMAND_LINE, environ=os.environ, over={"target": said}
        )


def refuse_bare_endpoint(path: str) -> None:
    """Refuse what is no file, and would be an endpoint with a scheme before it.

    Raises:
        UsageError: it is so.
    """
    if _BARE.fullmatch(path) and not Path(path).exists():
        raise UsageError(
            f"there is no file {path!r}; for an endpoint write redis://{path} (or "
            "rediss:// for TLS)"
        )


async def with_cluster_mode(config: Config, *, wait_s: float | None) -> Config:
    """Return a configuration with the cluster mode that the endpoint tells.

    If it does not, all stays as it was; the preflight says what is wrong.

    Args:
        config: of one endpoint.
        wait_s: how long to wait for one that is not there yet.

    Raises:
        UsageError: a certificate or the password cannot be used.
    """
    from loadprobe.run.asking import EndpointAnswer, ask

    target = config.target
    password = target.read_password()
    told = EndpointAnswer(is_served=False)
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while not told.is_served:
                told = await ask(
                    target, with_tls=config.lanes[0].tls, password=password
                )
                if wait_s is None:
                    break
                await asyncio.sleep(0 if told.is_served else _PAUSE_S)
    if told.is_cluster is None:
        return config
    target = msgspec.structs.replace(target, cluster=told.is_cluster)
    return msgspec.structs.replace(config, target=target)


def _given(keys: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in keys.items() if value is not None}


def _read_ratio(text: str | None) -> float | None:
    """Return the share of reads that ``SET:GET`` means: ``1:4`` is 0.8."""
    if text is None:
        return None
    match = _RATIO.fullmatch(text)
    parts = (int(match["set"]), int(match["get"])) if match else (0, 0)
    if not sum(parts):
        raise UsageError(
            f"--ratio {text!r} is not of the form SET:GET, for example 1:4 for four "
            "reads to every write"
        )
    return parts[1] / sum(parts)
