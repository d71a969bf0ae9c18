"""``loadprobe local``: a local cluster in the background, started, shown and ended.

Imports what it needs inside of its functions, so that --help stays fast.
"""

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from loadprobe.cli.saying import say, warn
from loadprobe.cli.scenarios import LogLevel, run_async
from loadprobe.errors import UsageError

if TYPE_CHECKING:
    from loadprobe.local.state import LocalState

local_app = typer.Typer(
    no_args_is_help=True, help="A local cluster with its control plane, for any use."
)


@local_app.command("up")
def local_up(
    *,
    name: Annotated[str, typer.Option(help="Name of the cluster.")] = "local",
    shards: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=90,
            show_default="3, or 1 without cluster mode",
            help="Node groups; 0 starts the API alone.",
        ),
    ] = None,
    replicas: Annotated[int, typer.Option(min=0, max=5, help="Per shard.")] = 1,
    cluster_mode: Annotated[
        bool, typer.Option(help="Without it: one primary with replicas.")
    ] = True,
    tls: Annotated[
        bool, typer.Option(help="Serve TLS beside plaintext; short for --tls-mode.")
    ] = True,
    tls_mode: Annotated[
        Literal["none", "preferred", "required"] | None,
        typer.Option(help="Plaintext only, TLS beside plaintext, or TLS only."),
    ] = None,
    password_file: Annotated[
        str | None, typer.Option(help="File whose first line is the password.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Server program; found on PATH by default.")
    ] = None,
    api_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the ElastiCache API.")
    ] = 0,
    detect_s: Annotated[
        float, typer.Option(min=0, help="Delay before a forced promotion.")
    ] = 3.0,
    event_delay_s: Annotated[
        float, typer.Option(min=0, help="Delay until events can be seen.")
    ] = 0.0,
    modifying_delay_s: Annotated[
        float, typer.Option(min=0, help="Delay until an accepted change shows.")
    ] = 1.0,
    settle_delay_s: Annotated[
        float, typer.Option(min=0, help="Delay until a finished change settles.")
    ] = 1.0,
    endpoint_delay_s: Annotated[
        float,
        typer.Option(min=0, help="Delay of the endpoint without cluster mode."),
    ] = 1.0,
    endpoint_ttl_s: Annotated[
        int, typer.Option(min=0, help="TTL of the name server's answers.")
    ] = 1,
    maintenance_delay_s: Annotated[
        float | None,
        typer.Option(min=0, help="When changes not applied immediately are applied."),
    ] = None,
    log_level: LogLevel = "info",
) -> None:
    """Start a local cluster and its ElastiCache API in the background."""
    from loadprobe.local.background import up
    from loadprobe.local.serve import LocalOptions

    if not tls and tls_mode not in (None, "none"):
        raise UsageError(
            f"loadprobe local up: --no-tls with --tls-mode {tls_mode}: give one of them"
        )
    options = {
        "name": name,
        "shards": shards if shards is not None else (3 if cluster_mode else 1),
        "replicas": replicas,
        "cluster_mode": cluster_mode,
        "tls": tls,
        "tls_mode": tls_mode,
        "password_file": password_file,
        "server": server,
        "api_port": api_port,
        "detect_s": detect_s,
        "event_delay_s": event_delay_s,
        "modifying_delay_s": modifying_delay_s,
        "settle_delay_s": settle_delay_s,
        "maintenance_delay_s": maintenance_delay_s,
        "endpoint_delay_s": endpoint_delay_s,
        "endpoint_ttl_s": endpoint_ttl_s,
        "log_level": log_level,
    }
    try:
        checked = msgspec.convert(options, LocalOptions)
    except msgspec.ValidationError as exc:
        raise UsageError(f"loadprobe local up: {exc}") from exc
    state = run_async(up(checked, progress=warn))
    _print_local(state)


@local_app.command("down")
def local_down(
    *, name: Annotated[str, typer.Option(help="Name of the cluster.")] = "local"
) -> None:
    """End a local cluster that ``local up`` started."""
    from loadprobe.local.background import down

    ended = run_async(down(name))
    say(f"{name}: {'not running' if ended is None else 'ended'}")


@local_app.command("status")
def local_status(
    *, name: Annotated[str, typer.Option(help="Name of the cluster.")] = "local"
) -> None:
    """Show where a local cluster is reached, and the groups of its API."""
    from loadprobe.local.background import list_groups, status

    state = status(name)
    if state is None:
        raise UsageError(
            f"no local cluster {name!r} runs; start it: "
            f"loadprobe local up --name {name}"
        )
    groups = run_async(list_groups(state))
    _print_local(state)
    say("\n# groups" if groups else "\n# no groups")
    for group in groups:
        where = f" at {group.host}:{group.port}" if group.port is not None else ""
        trust = f", CA {group.ca_file}" if group.ca_file is not None else ""
        say(
            f"# {group.group_id}: {group.status}, {group.engine}, "
            f"{group.shards} shards, {group.nodes} nodes, TLS {group.tls_mode}"
            f"{where}{trust}"
        )


def _print_local(state: "LocalState") -> None:
    """Print where a local cluster is reached, ready to be pasted into a CONFIG."""
    lines = [f"# local cluster {state.name!r}, process {state.pid}"]
    if state.replication_group_id:
        lines += ["[target]", f'host = "{state.host}"', f"port = {state.port}"]
        if not state.cluster_mode:
            lines.append("cluster = false")
            lines.append(f'name_server = "{state.name_server}"')
    elif state.ca_file is not None:
        lines.append("[target]")  # of groups that are yet to be created
        lines.append(f'name_server = "{state.name_server}"')
    if state.tls_port is not None:
        lines.append(f"tls_port = {state.tls_port}")
    if state.ca_file is not None:
        lines.append(f'ca_file = "{state.ca_file}"')
    if state.password_file is not None:
        lines.append(f'password_file = "{state.password_file}"')
    if lines[1:]:
        lines.append("")
    lines.append("[control]")
    if state.replication_group_id:
        lines.append(f'replication_group = "{state.replication_group_id}"')
    lines.append(f'endpoint_url = "{state.endpoint_url}"')
    lines.append(
        f"# for other clients of this API: AWS_ACCESS_KEY_ID={state.access_key}"
    )
    say("\n".join(lines))
