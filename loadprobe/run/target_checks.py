"""What can be found out of the target: it is connected to and asked as lanes would."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Collection

import hiredis

from loadprobe.clock import NS_PER_MS, NS_PER_S, mono_now_ns, wall_now_ns
from loadprobe.config.keys import Config, Lane
from loadprobe.control.watch.node_answers import NodeSilent, parse_server_side
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.topology.roles import parse_replication
from loadprobe.core.topology.topology import Topology, merge, parse_nodes, parse_slots
from loadprobe.drivers import resp, tls
from loadprobe.drivers.errors import classify_reply
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.explain import explain_dial_failure, explain_slots_error
from loadprobe.drivers.wire.seed import Bystander
from loadprobe.errors import UsageError
from loadprobe.run.checks import Check, connections_of, open_files

_MOST_TEXT = 200
_REDIRECTS = frozenset({ErrorClass.MOVED, ErrorClass.ASK})
_MAY_COME = frozenset(
    {
        ErrorClass.CLUSTERDOWN,
        ErrorClass.LOADING,
        ErrorClass.MASTERDOWN,
        ErrorClass.OOM,
        ErrorClass.MISCONF,
        ErrorClass.TIMEOUT,
        ErrorClass.RESET,
        ErrorClass.CONNECT_REFUSED,
        ErrorClass.UNREACHABLE,
        ErrorClass.DNS,
    }
)
_PERMISSIONS = (
    "give the user +ping +time +get +set +expire +cluster|slots +cluster|nodes "
    "+cluster|info and the keys ~lp:* (see ACL SETUSER); lanes with ttl_s = 0 need "
    "+persist instead of +expire"
)


async def check_server(
    config: Config,
    lanes: list[Lane],
    dormant: Collection[str],
    context: ssl.SSLContext | None,
    password: str | None,
) -> AsyncIterator[Check]:
    """Connect as lanes of one transport would, and ask for what they will need."""
    target = config.target
    with_tls = lanes[0].tls
    port = target.port_of(tls=with_tls)
    label = "tls" if with_tls else "tcp"
    dialer = Dialer(
        target,
        context if with_tls else None,
        password,
        config.probe.connect_timeout_ms,
    )
    owner = Bystander()
    made = await dialer.dial(target.host, port, lambda: Connection(owner, owner, None))
    if isinstance(made, DialFailure):
        detail = explain_dial_failure(made, target.host, port, dialer)
        advice = _advise(made.detail, made.error, with_tls=with_tls)
        if advice is not None:
            doing = f"connecting to {target.host}:{port} by {label.upper()}"
            detail = f"{doing} failed: {made.detail}; {advice}"
        yield Check(
            label, passed=False, detail=detail, may_come=made.error in _MAY_COME
        )
        return
    try:
        async with asyncio.timeout(config.probe.connect_timeout_ms / 1000):
            async for check in _ask(config, lanes, dormant, made, label):
                yield check
    except (OSError, TimeoutError) as exc:
        said = str(exc) or f"no answer within {config.probe.connect_timeout_ms} ms"
        advice = _advise(said, ErrorClass.RESET, with_tls=with_tls)
        yield Check(
            label,
            passed=False,
            detail=f"{target.host}:{port} took the connection, then: {said}; {advice}",
            may_come=True,
        )
    finally:
        made.abort()


def _advise(detail: str, error: ErrorClass, *, with_tls: bool) -> str | None:
    """Return what to do about a connection, if more is known than its error class."""
    advice = tls.advise(detail) if with_tls else None
    if advice is None and error is ErrorClass.RESET:
        advice = (
            "is it a Valkey or Redis port?"
            if with_tls
            else "does the port speak TLS? set tls = true in the lane, or [target] port"
        )
    return advice


def _refused(doing: str, error: hiredis.ReplyError) -> str:
    """Return one line on an error reply: what was asked, the answer, what to do."""
    text = str(error)
    if text.startswith("NOPERM"):
        advice = _PERMISSIONS
    elif text.startswith("NOAUTH"):
        advice = "set [target] password_file or password_env, and username if need be"
    elif text.startswith("READONLY"):
        advice = "it is a replica; set [target] host to the primary"
    else:
        advice = "wait until the server is ready"
    return f"{doing} was refused: {text}; {advice}"


def _refusal(name: str, doing: str, error: hiredis.ReplyError) -> Check:
    may_come = classify_reply(str(error)) in _MAY_COME
    return Check(name, passed=False, detail=_refused(doing, error), may_come=may_come)


async def _ask(
    config: Config,
    lanes: list[Lane],
    dormant: Collection[str],
    connection: Connection,
    label: str,
) -> AsyncIterator[Check]:
    host, port = config.target.host, config.target.port_of(tls=lanes[0].tls)
    where = f"{host}:{port}"
    pong = await connection.request(resp.PING)
    if isinstance(pong, hiredis.ReplyError):
        yield _refusal(label, f"PING at {where}", pong)
        return
    yield Check(label, passed=True, detail=f"{where} answers")
    seconds = await connection.request(resp.encode(b"TIME"))
    if isinstance(seconds, list):
        server_ns = int(seconds[0]) * NS_PER_S + int(seconds[1]) * 1000
        offset_ms = (server_ns - wall_now_ns()) / NS_PER_MS
        yield Check(
            f"{label} clock",
            passed=True,
            detail=f"the server's clock is {offset_ms:+.1f} ms from ours (not used)",
        )
    if config.target.cluster:
        yield await _cluster(config, dormant, connection, label, port)
    else:
        yield await _single(config, dormant, connection, label, where)
    yield await _access(config, lanes, connection, label, where)
    if config.load.asks_servers:
        yield await _room(config, connection, label, where)


async def _room(
    config: Config, connection: Connection, label: str, where: str
) -> Check:
    """Compare the connections of all lanes with what a server takes."""
    name = f"{label} ceilings"
    reply = await connection.request(resp.encode(b"INFO"))
    text = reply if isinstance(reply, bytes) else b""
    try:
        told = parse_server_side(text, mono_now_ns())
    except NodeSilent:
        detail = (
            f"{where} does not tell what it has to do, so max_connections_ratio and "
            "max_operations_ratio hold nothing back; give the user +info"
        )
        return Check(name, passed=False, detail=detail, is_needed=False)
    ours, most = connections_of(config.lanes), told.max_clients
    max_ratio = config.load.max_connections_ratio
    detail = f"{ours} of {most or 'an unknown number of'} connections of a server"
    is_fine = max_ratio is None or most is None or ours <= max_ratio * most
    if not is_fine:
        assert max_ratio is not None
        detail = (
            f"all lanes would have {detail}, more than max_connections_ratio = "
            f"{max_ratio:g}; use fewer workers, or raise maxclients"
        )
    return Check(name, passed=is_fine, detail=detail, is_needed=False)


async def _access(
    config: Config,
    lanes: list[Lane],
    connection: Connection,
    label: str,
    where: str,
) -> Check:
    """Try the commands of the load on keys that do not exist; nothing is written."""
    for lane in [lane.as_run for lane in lanes]:
        key = f"lp:{lane.key_prefix}:preflight".encode()
        read = "GET" if lane.multi_key == 1 else "MGET"
        commands = [(read, resp.encode(read.encode(), key))]
        if lane.read_from != "primary" and config.target.cluster:
            commands.append(("READONLY for", resp.READONLY))
        if lane.prefill or lane.read_ratio < 1:
            # XX: only if it exists, and it does not.
            commands.append(("SET", resp.encode(b"SET", key, b"", b"XX")))
            if lane.multi_key == 1:
                expire = resp.encode_expire(key, lane.key_ttl_s)
                commands.append(("EXPIRE" if lane.key_ttl_s else "PERSIST", expire))
        for name, command in commands:
            reply = await connection.request(command)
            if (
                isinstance(reply, hiredis.ReplyError)
                and classify_reply(str(reply)) not in _REDIRECTS
            ):
                doing = f"{name} {key.decode()} at {where}"
                return _refusal(f"{label} access", doing, reply)
    return Check(f"{label} access", passed=True, detail="keys can be used")


async def _cluster(
    config: Config,
    dormant: Collection[str],
    connection: Connection,
    label: str,
    port: int,
) -> Check:
    host = config.target.host
    name = f"{label} cluster"
    slots = await connection.request(resp.CLUSTER_SLOTS)
    nodes = await connection.request(resp.CLUSTER_NODES)
    info = await connection.request(resp.encode(b"CLUSTER", b"INFO"))
    for word, reply in (("SLOTS", slots), ("NODES", nodes), ("INFO", info)):
        if isinstance(reply, hiredis.ReplyError):
            if "cluster support disabled" in str(reply):
                detail = explain_slots_error(str(reply), host, port)
                return Check(name, passed=False, detail=detail)
            return _refusal(name, f"CLUSTER {word} at {host}:{port}", reply)
    try:
        told = parse_nodes(nodes) if isinstance(nodes, bytes) else None
        topology = merge(None, parse_slots(slots, asked_host=host), told)
    except ValueError as exc:
        detail = f"{host}:{port} tells no view of the cluster: {str(exc)[:_MOST_TEXT]}"
        return Check(name, passed=False, detail=detail)
    state = re.search(rb"cluster_state:(\w+)", info if isinstance(info, bytes) else b"")
    if state is None or state[1] != b"ok":
        return Check(
            name,
            passed=False,
            detail=f"cluster_state is {state[1].decode() if state else 'unknown'}; "
            "wait until it is ok",
            may_come=True,
        )
    missing = uncovered_slots(topology)
    if missing:
        return Check(
            name,
            passed=False,
            detail=f"{missing} of 16384 slots are served by nobody; assign them (see "
            "CLUSTER NODES)",
            may_come=True,
        )
    shards = len(topology.shards)
    replicas = sum(len(shard.replicas) for shard in topology.shards)
    try:
        open_files(config, dormant, shards=shards, replicas=replicas)
    except UsageError as exc:
        return Check("open files", passed=False, detail=str(exc))
    return Check(
        name, passed=True, detail=f"{shards} shards, {replicas} replicas, state ok"
    )


async def _single(
    config: Config,
    dormant: Collection[str],
    connection: Connection,
    label: str,
    where: str,
) -> Check:
    info = await connection.request(resp.encode(b"INFO", b"cluster"))
    if isinstance(info, bytes) and b"cluster_enabled:1" in info:
        return Check(
            f"{label} cluster",
            passed=False,
            detail=f"{where} is in cluster mode; remove [target] cluster = false",
        )
    reply = await connection.request(resp.REPLICATION)
    asked = config.target.host, config.target.port
    try:
        view = parse_replication(reply if isinstance(reply, bytes) else b"", asked)
    except ValueError:
        detail = "it does not tell its role (INFO replication): only its name is known"
        return Check(f"{label} cluster", passed=True, detail=detail)
    replicas = len(view.replicas)
    try:
        open_files(config, dormant, shards=1, replicas=replicas)
    except UsageError as exc:
        return Check("open files", passed=False, detail=str(exc))
    role = f"a primary, {replicas} replicas" if view.is_primary else "a replica"
    detail = f"without cluster mode, {role}"
    return Check(f"{label} cluster", passed=True, detail=detail)


def uncovered_slots(topology: Topology) -> int:
    """Return how many of the 16384 slots no shard serves."""
    covered = sum(
        last + 1 - first for shard in topology.shards for first, last in shard.ranges
    )
    return 16384 - covered
