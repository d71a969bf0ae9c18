"""The command that writes a configuration after asking the endpoint itself."""

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadprobe.cli.quick import COMMAND_LINE
from loadprobe.cli.saying import say
from loadprobe.cli.scenarios import run_async
from loadprobe.config.file import make_config, parse_config
from loadprobe.config.keys import Target
from loadprobe.config.template import PASSWORD_ENV, Found, write_config
from loadprobe.config.url import parse_endpoint
from loadprobe.errors import PreflightError, UsageError

if TYPE_CHECKING:
    from loadprobe.run.asking import EndpointAnswer


def init(
    endpoint: Annotated[
        str, typer.Argument(metavar="HOST[:PORT]", help="Or redis://, rediss://.")
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write.")
    ] = Path("loadprobe.toml"),
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
    cacert: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Certificate authorities to trust."),
    ] = None,
    user: Annotated[str | None, typer.Option(help="ACL user.")] = None,
    password_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment variable with the password."),
    ] = None,
    password_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="File with it in line 1.")
    ] = None,
) -> None:
    """Write a commented configuration, after asking an endpoint what it is.

    It is asked for its addresses, TLS, cluster mode and whether it wants a login.
    """
    if output.exists() and not force:
        raise UsageError(
            f"{str(output)!r} is there already; name another file with --output, or "
            "give --force to write over it"
        )
    named = parse_endpoint(endpoint, where=f"{COMMAND_LINE}: HOST[:PORT]")
    login = {
        "username": user or named.username,
        "password_env": password_env,
        "password_file": password_file,
    }
    keys = {"host": named.host, "port": named.port, "ca_file": cacert, **login}
    given = {key: value for key, value in keys.items() if value is not None}
    raw: dict[str, object] = {"target": given, "lanes": [{"name": "tcp"}]}
    target = make_config(raw, where=COMMAND_LINE).target
    found = run_async(ask_endpoint(target, must_tls=named.tls))
    text = write_config(found, by=f"loadprobe init {found.host}:{found.port}")
    parse_config(text, where=str(output))  # what is written can be read
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(
            f"--output: cannot write {str(output)!r}: {exc.strerror or exc}"
        ) from exc
    say(found.words)
    if found.wants_login and not (found.password_env or found.password_file):
        say(
            f"put its password into the environment variable {PASSWORD_ENV} (and the "
            "user's name into the file, if it is not the default user)"
        )
    elif found.is_cluster is None:
        say(
            "it would not tell whether it is in cluster mode, and the file says it is; "
            "loadprobe check says what the user has to be permitted"
        )
    say(f"written: {output}; next: loadprobe check {output}")


async def ask_endpoint(target: Target, *, must_tls: bool) -> Found:
    """Ask the endpoint by both transports.

    Raises:
        UsageError: it cannot be reached, or used as it was said.
    """
    from loadprobe.run.asking import EndpointAnswer, ask

    addresses = await _look_up(target.host)
    password = target.read_password()
    if must_tls:
        by_tls = await ask(target, with_tls=True, password=password)
        plain = EndpointAnswer(is_served=False)
    else:
        # By plaintext without the password: the same port may speak TLS.
        by_tls, plain = await asyncio.gather(
            ask(target, with_tls=True, password=password), ask(target, with_tls=False)
        )
        if plain.is_served and not by_tls.is_served and password is not None:
            plain = await ask(target, with_tls=False, password=password)
    best = by_tls if by_tls.is_served else plain
    if not best.is_served:
        raise PreflightError(_failure(by_tls, plain, must_tls=must_tls))
    transports = tuple(
        tls for tls, told in ((False, plain), (True, by_tls)) if told.is_served
    )
    return Found(
        host=target.host,
        port=target.port,
        addresses=addresses,
        transports=transports,
        is_cluster=best.is_cluster,
        shards=best.shards,
        wants_login=best.wants_login,
        ca_file=target.ca_file if by_tls.is_served else None,
        username=target.username,
        password_env=target.password_env,
        password_file=target.password_file,
    )


async def _look_up(host: str) -> str:
    """Return what the name leads to, in words; nothing if it is an address."""
    from loadprobe.drivers.resolver import Resolver
    from loadprobe.drivers.tls import is_ip

    if is_ip(host):
        return ""
    try:
        return ", ".join(sorted(await Resolver(None).resolve(host)))
    except socket.gaierror as exc:
        raise PreflightError(
            f"looking up {host!r} failed: {exc.strerror}; check the name"
        ) from exc


def _failure(
    by_tls: "EndpointAnswer", plain: "EndpointAnswer", *, must_tls: bool
) -> str:
    """Return why neither transport can be used: the one that came further tells."""
    from loadprobe.core.judging.outcome import ErrorClass

    # A port that speaks TLS ends what is not TLS; another one is not understood.
    speaks_tls = (
        by_tls.error in (ErrorClass.TLS, ErrorClass.AUTH)
        and "WRONG_VERSION_NUMBER" not in by_tls.failure
    )
    if not (must_tls or speaks_tls):
        return plain.failure
    here = " (here: --cacert FILE)" if "ca_file" in by_tls.failure else ""
    return f"{by_tls.failure}{here}"
