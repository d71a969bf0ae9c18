"""Run a local cluster and its API in the foreground, until told to stop."""

import asyncio
import os
import secrets
import shutil
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from loadprobe.errors import PreflightError
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.certificates import CertificateSet, write_certificates
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.folders import make_cluster_folder
from loadprobe.local.cluster.node import LOOPBACK
from loadprobe.local.cluster.processes import start_ticks
from loadprobe.local.cluster.settings import TlsMode
from loadprobe.local.state import (
    LocalState,
    SavedNode,
    claimed,
    remove_state,
    write_state,
)
from loadprobe.logs import Level

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


LocalName = Annotated[str, Meta(pattern=r"^[a-z](-?[a-z0-9])*\Z", max_length=30)]


class LocalOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What to run.

    Args:
        name: names the state file, the replication group and its nodes.
        shards: node groups; 0 starts the API without a group.
        replicas: replicas per shard.
        cluster_mode: False makes one primary with replicas.
        tls: False is short for the TLS mode "none".
        tls_mode: "none", "preferred" (TLS beside plaintext) or "required"; None means
            "preferred", or "none" without ``tls``.
        password_file: a file whose first line is the password of every node.
        server: the server program; None searches one.
        api_port: where the API listens; 0 picks a free port.
        node_timeout_ms: cluster-node-timeout.
        detect_s: wait this long for the servers' own election, in seconds.
        event_delay_s: events become visible this much later, in seconds.
        failovers_per_day: TestFailover calls in any 24 hours.
        modifying_delay_s: an accepted change shows and begins so much later, in
            seconds.
        settle_delay_s: a finished change settles so much later, in seconds.
        endpoint_delay_s: the endpoints of a group without cluster mode move so much
            later than a replica is promoted, in seconds.
        endpoint_ttl_s: so long an answer of the name server may be kept, in seconds.
        maintenance_delay_s: a change with ApplyImmediately=false waits so long, in
            seconds; None is for ever.
        die_with_parent: stop when the process that started it in the background dies.
        log_level: from which on it logs.
    """

    name: LocalName = "local"
    shards: Annotated[int, Meta(ge=0, le=90)] = 3
    replicas: Annotated[int, Meta(ge=0, le=5)] = 1
    cluster_mode: bool = True
    tls: bool = True
    tls_mode: TlsMode | None = None
    password_file: str | None = None
    server: str | None = None
    api_port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    node_timeout_ms: Annotated[int, Meta(ge=100)] = 1_000
    detect_s: Annotated[float, Meta(ge=0)] = 3.0
    event_delay_s: Annotated[float, Meta(ge=0)] = 0.0
    failovers_per_day: Annotated[int, Meta(ge=0)] = 15
    modifying_delay_s: Annotated[float, Meta(ge=0)] = 1.0
    settle_delay_s: Annotated[float, Meta(ge=0)] = 1.0
    endpoint_delay_s: Annotated[float, Meta(ge=0)] = 1.0
    endpoint_ttl_s: Annotated[int, Meta(ge=0)] = 1
    maintenance_delay_s: Annotated[float, Meta(ge=0)] | None = None
    die_with_parent: bool = False
    log_level: Level = "info"


async def serve(
    options: LocalOptions, *, announce: Callable[[LocalState], None]
) -> None:
    """Run until SIGTERM or SIGINT, then clean up and return.

    Args:
        options: what to run.
        announce: called once, when the cluster and its API are ready.

    Raises:
        UsageError: a cluster of that name runs already.
        PreflightError: no server, no TLS in it, no port, or no readable password file.
        RunError: the cluster did not come up.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    serving = asyncio.create_task(_run(options, announce))
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        serving.cancel()
        await asyncio.wait({serving, waiting})
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)
    if not serving.cancelled():
        serving.result()


async def _run(options: LocalOptions, announce: Callable[[LocalState], None]) -> None:
    knobs = Knobs(
        detect_s=options.detect_s,
        event_delay_s=options.event_delay_s,
        failovers_per_day=options.failovers_per_day,
        modifying_delay_s=options.modifying_delay_s,
        settle_delay_s=options.settle_delay_s,
        maintenance_delay_s=options.maintenance_delay_s,
        endpoint_delay_s=options.endpoint_delay_s,
        endpoint_ttl_s=options.endpoint_ttl_s,
    )
    password = _password(options.password_file)
    access_key = secrets.token_hex(16)
    with claimed(options.name):
        async with AsyncExitStack() as stack:
            cluster: LocalCluster | None = None
            certificates: CertificateSet | None = None
            if options.shards:
                cluster = await stack.enter_async_context(_cluster(options, password))
            else:
                # Clients have to trust a CA before there is a group to ask for it.
                folder = make_cluster_folder()
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                certificates = await asyncio.to_thread(write_certificates, folder)
            plane = await stack.enter_async_context(
                ControlPlane(
                    port=options.api_port,
                    knobs=knobs,
                    certificates=certificates,
                    access_key=access_key,
                )
            )
            if cluster is not None:
                plane.add_group(options.name, cluster)
            state = replace(_state(options, cluster, plane), access_key=access_key)
            if certificates is not None:
                state = replace(state, ca_file=str(certificates.ca))
            write_state(state)
            try:
                announce(state)
                await asyncio.Event().wait()  # until cancelled
            finally:
                remove_state(options.name)


def _cluster(options: LocalOptions, password: str | None) -> LocalCluster:
    return LocalCluster(
        shards=options.shards,
        replicas_per_shard=options.replicas,
        tls=options.tls,
        tls_mode=options.tls_mode,
        password=password,
        server=options.server,
        node_timeout_ms=options.node_timeout_ms,
        cluster_mode=options.cluster_mode,
        name=options.name,
    )


def _password(password_file: str | None) -> str | None:
    if password_file is None:
        return None
    try:
        lines = Path(password_file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise PreflightError(
            f"reading the password from password_file = {password_file!r}: {exc}"
        ) from exc
    if not lines or not lines[0]:
        raise PreflightError(
            f"reading the password from password_file = {password_file!r}: its first "
            "line is empty"
        )
    return lines[0]


def _state(
    options: LocalOptions, cluster: LocalCluster | None, plane: ControlPlane
) -> LocalState:
    password_file = options.password_file
    endpoints = None if cluster is None else plane.endpoints(options.name)
    group_host = LOOPBACK if endpoints is None else endpoints.primary
    state = LocalState(
        name=options.name,
        pid=os.getpid(),
        start_ticks=start_ticks(os.getpid()) or 0,
        endpoint_url=plane.endpoint_url,
        replication_group_id="",
        host=group_host,
        port=0,
        tls_port=None,
        ca_file=None,
        password_file=str(Path(password_file).resolve()) if password_file else None,
        nodes=[],
        cluster_mode=options.cluster_mode,
        name_server=plane.name_server,
    )
    if cluster is None:
        return state
    nodes = [
        SavedNode(
            name=node.name,
            node_group_id=shard.node_group_id,
            host=node.host,
            port=node.ports.plain,
            tls_port=node.ports.tls if cluster.tls else None,
        )
        for shard in cluster.shards
        for node in shard.nodes
    ]
    return replace(
        state,
        replication_group_id=options.name,
        port=cluster.port,
        tls_port=cluster.tls_port,
        ca_file=str(cluster.ca_file) if cluster.ca_file else None,
        nodes=nodes,
    )
