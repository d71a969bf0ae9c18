"""What is run to copy data: the command line of each tool, and what it must be told.

Pure. Secrets are in no command line: everybody on the machine can read those. They
are in the environment, in a file that only we can read, or in standard input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadprobe.control.programs.ends import DataEnd
from loadprobe.control.programs.shake import shake_config
from loadprobe.errors import ControlError


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A process that copies.

    Args:
        command: program and arguments; "{name}" stands for the path of a file.
        env: environment variables that it has besides ours.
        asks: what it reads from standard input.
        files: name -> text of files that it reads; only we can read them as well.
            "{folder}" in a text stands for the folder they are in.
        status_port: where it tells how far it is; None: it does not.
        caught_up: a regular expression: a line of its output that holds it says that
            the copy is done, and is followed from now on. "" for one that ends when it
            has copied all.
    """

    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    asks: bytes = b""
    files: Mapping[str, str] = field(default_factory=dict)
    status_port: int | None = None
    caught_up: str = ""


def redis_cli_import(
    program: str, source: DataEnd, target: DataEnd, more: Sequence[str] = ()
) -> ToolRun:
    """Return ``redis-cli --cluster import``: a single server into a cluster, once.

    It has the source send each key by MIGRATE, so the source must reach the target.

    Raises:
        ControlError: it cannot do that, and what can.
    """
    what = "copy by redis-cli --cluster import"
    if source.is_cluster:
        raise ControlError(
            f"{what}: the source runs in cluster mode, and it refuses such; use "
            'tool = "redis-shake" or "riot"'
        )
    if not target.is_cluster:
        raise ControlError(
            f'{what}: the target is without cluster mode; use method = "rdb" and a '
            '"seed" step, or another tool'
        )
    if source.tls != target.tls:
        raise ControlError(
            f"{what}: one end has TLS and the other has not, and it talks to both in "
            "the same way; use another tool"
        )
    command = [program, *_login(target), "--cluster", "import", target.plain_address]
    command += ["--cluster-from", source.plain_address]
    command += ["--cluster-copy", "--cluster-replace", *more]
    asks = b""
    if source.password is not None:
        command.append("--cluster-from-askpass")
        asks = f"{source.password.reveal()}\n".encode()
        if source.username:
            command += ["--cluster-from-user", source.username]
    return ToolRun(tuple(command), _auth(target), asks)


def redis_cli_rdb(
    program: str, source: DataEnd, file: str, more: Sequence[str] = ()
) -> ToolRun:
    """Return ``redis-cli --rdb``: what a single server holds, as a file.

    Raises:
        ControlError: it cannot do that, and what can.
    """
    if source.is_cluster:
        raise ControlError(
            "copy by redis-cli --rdb: the source runs in cluster mode, and one file "
            "would hold one shard of it; take a snapshot of each shard"
        )
    command = [program, "-h", source.host, "-p", str(source.port), *_login(source)]
    return ToolRun((*command, "--rdb", file, *more), _auth(source))


def riot(
    program: str,
    source: DataEnd,
    target: DataEnd,
    *,
    live: bool,
    caught_up: str,
    more: Sequence[str] = (),
) -> ToolRun:
    """Return ``riot replicate`` (RIOT 4), told by an argument file of picocli.

    Args:
        program: its path.
        source: from where.
        target: to where.
        live: it goes on by keyspace notifications, which the source must have on.
        caught_up: see ``ToolRun``.
        more: further arguments.
    """
    arguments = ["replicate", source.url, target.url]
    arguments += ["--mode", "live" if live else "scan"]
    arguments += ["--source-cluster"] * source.is_cluster
    arguments += ["--target-cluster"] * target.is_cluster
    ca_file = target.ca_file or source.ca_file
    if ca_file is not None:
        arguments += ["--cacert", ca_file]
    quoted = [_quoted(argument) for argument in (*arguments, *more)]
    return ToolRun(
        (program, "@{arguments}"),
        files={"arguments": "\n".join([*quoted, ""])},
        caught_up=caught_up,
    )


def any_command(
    command: Sequence[str], source: DataEnd, target: DataEnd, *, caught_up: str
) -> ToolRun:
    """Return a command of somebody else's, which finds both ends in its environment."""
    ends = {"SOURCE": source, "TARGET": target}
    env = {k: v for name, end in ends.items() for k, v in _env(name, end).items()}
    return ToolRun(tuple(command), env, caught_up=caught_up)


def redis_shake(
    program: str, source: DataEnd, target: DataEnd, *, status_port: int
) -> ToolRun:
    """Return RedisShake with a configuration that is written for it."""
    config = shake_config(
        source, target, status_port=status_port, folder=f"{{folder}}/{status_port}"
    )
    return ToolRun(
        (program, "{shake.toml}"),
        files={"shake.toml": config},
        status_port=status_port,
    )


def _login(end: DataEnd) -> list[str]:
    options = ["--user", end.username] if end.username else []
    if end.tls:
        options.append("--tls")
        if end.ca_file is not None:
            options += ["--cacert", end.ca_file]
    return options


def _auth(end: DataEnd) -> dict[str, str]:
    return {} if end.password is None else {"REDISCLI_AUTH": end.password.reveal()}


def _env(name: str, end: DataEnd) -> dict[str, str]:
    values = {
        "HOST": end.host,
        "PORT": str(end.port),
        "TLS": "1" if end.tls else "",
        "CLUSTER": "1" if end.is_cluster else "",
        "USERNAME": end.username or "",
        "PASSWORD": "" if end.password is None else end.password.reveal(),
        "CA_FILE": end.ca_file or "",
    }
    return {f"{name}_{key}": value for key, value in values.items()}


def _quoted(argument: str) -> str:
    """Return an argument as a line of an argument file (picocli, "@-files")."""
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
