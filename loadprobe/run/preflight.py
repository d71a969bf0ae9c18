"""Everything that can be found out before a run: one line per check, pass or fail.

Each check says what was looked at and, if it failed, what to do. ``run`` makes the same
checks and starts nothing unless all pass.
"""

import asyncio
import re
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import hiredis

from loadprobe.clock import NS_PER_MS, NS_PER_S, wall_now_ns
from loadprobe.config.keys import Config, Control, Lane
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.control.created.markers import remedy
from loadprobe.control.provider.api import open_api
from loadprobe.control.provider.faults import is_absent, may_come
from loadprobe.control.scenario.described import ask_endpoint
from loadprobe.core.judging.delivery import Answer
from loadprobe.core.judging.outcome import ErrorClass
from loadprobe.core.topology.roles import parse_replication
from loadprobe.core.topology.topology import Topology, merge, parse_nodes, parse_slots
from loadprobe.drivers import resp, tls
from loadprobe.drivers.errors import classify_reply
from loadprobe.drivers.resolver import Resolver
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.dial import Dialer, DialFailure
from loadprobe.drivers.wire.explain import explain_dial_failure, explain_slots_error
from loadprobe.drivers.wire.seed import Bystander
from loadprobe.errors import LoadprobeError, NotThereYet, UsageError
from loadprobe.outputs.folder.folder import check_writable
from loadprobe.outputs.http.server import start_http
from loadprobe.outputs.remote_write.login import check_login
from loadprobe.outputs.remote_write.sender import ask
from loadprobe.probe.plan import share_out

_SPARE_FILES = 64
_REDIRECTS = frozenset({ErrorClass.MOVED, ErrorClass.ASK})
_MAY_COME = frozenset(
    {
        ErrorClass.CLUSTERDOWN,
        ErrorClass.LOADING,
        ErrorClass.MASTERDOWN,
        ErrorClass.TIMEOUT,
        ErrorClass.RESET,
        ErrorClass.CONNECT_REFUSED,
        ErrorClass.UNREACHABLE,
        ErrorClass.DNS,
    }
)
_PERMISSIONS = (
    "give the user +ping +time +get +set +cluster|slots +cluster|nodes +cluster|info "
    "and the keys ~lp:* (see ACL SETUSER)"
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, whether it is fine, and what was found.

    Args:
        name: what was looked at.
        passed: whether it is fine.
        detail: what was found, and what to do.
        is_needed: False if a run can begin all the same.
        may_come: it failed, and may pass later without anything being done here.
    """

    name: str
    passed: bool
    detail: str
    is_needed: bool = True
    may_come: bool = False


async def preflight(
    config: Config, *, dormant: Collection[str] = (), must_exist: bool = True
) -> AsyncIterator[Check]:
    """Yield the result of every check, in an order in which causes come first.

    Args:
        config: what is to be run; its endpoint may be missing if all lanes are dormant.
        dormant: names of lanes whose transport the cluster does not serve yet.
        must_exist: False for a replication group that is to be created.
    """
    yield _guard("output", lambda: _output(config))
    yield _witness(config)
    yield await _http(config)
    yield await _remote_write(config.remote_write)
    yield _guard(
        "open files", lambda: _open_files(config, dormant, shards=1, replicas=0)
    )
    password, check = _password(config)
    yield check
    if not check.passed:
        return
    context: ssl.SSLContext | None = None
    if any(lane.tls for lane in config.lanes):
        try:
            context = tls.make_context(config.target)
        except UsageError as exc:
            yield Check("certificates", passed=False, detail=str(exc))
            return
        yield Check("certificates", passed=True, detail="usable")
    awake = [lane for lane in config.lanes if lane.name not in dormant]
    if awake and not config.target.host:
        try:
            config = await ask_endpoint(config)
        except LoadprobeError as exc:
            yield _api_failure("endpoint", exc)
            return
    if awake:
        check = await _dns(config)
        yield check
        if not check.passed:
            return
    for with_tls in (False, True):
        lanes = [lane for lane in awake if lane.tls == with_tls]
        if lanes:
            async for check in _server(config, lanes, dormant, context, password):
                yield check
        asleep = [
            lane.name
            for lane in config.lanes
            if lane.name in dormant and lane.tls == with_tls
        ]
        if asleep:
            yield _asleep(asleep, "tls" if with_tls else "tcp")
    if config.control is not None:
        yield await _api(config.control, must_exist=must_exist)


def _guard(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, passed=True, detail=look())
    except LoadprobeError as exc:
        return Check(name, passed=False, detail=str(exc))


def _witness(config: Config) -> Check:
    """Say whether what clients see can be told from what the cluster does."""
    watching = [lane.name for lane in config.lanes if lane.is_witness]
    detail = f"lane {', '.join(watching)}"
    if not watching:
        detail = (
            "none: what clients add to an outage cannot be told from it without a lane "
            'with driver = "wire"'
        )
    return Check("witness", passed=True, detail=detail)


def _asleep(lanes: Sequence[str], label: str) -> Check:
    detail = (
        f"{', '.join(lanes)}: not connected to now; probing begins when the cluster "
        f"serves {label.upper()}"
    )
    return Check(f"{label} dormant", passed=True, detail=detail)


def _output(config: Config) -> str:
    check_writable(Path(config.output.dir))
    return f"run folders go to {config.output.dir!r}"


async def _http(config: Config) -> Check:
    address = config.http.address
    if address is None:
        return Check("http", passed=True, detail="nothing is served")
    try:
        server = await start_http(
            address,
            render=_no_page,
            not_ready=lambda: None,
            http=config.http,
        )
    except LoadprobeError as exc:
        return Check("http", passed=False, detail=str(exc))
    await server.stop()
    return Check("http", passed=True, detail=f"{config.http.listen} is free")


async def _no_page(_: str) -> tuple[bytes, str]:
    return b"", "text/plain"


async def _remote_write(remote: RemoteWrite | None) -> Check:
    """Send an empty request to the receiver; a run does not need it to be well."""
    name = "remote write"
    if remote is None:
        return Check(name, passed=True, detail="nothing is sent")
    try:
        check_login(remote)
    except UsageError as exc:
        return Check(name, passed=False, detail=str(exc))
    reply = await ask(remote)
    if reply.answer is Answer.TAKEN:
        return Check(name, passed=True, detail=reply.text)
    detail = f"{reply.text}; "
    if reply.answer is Answer.REFUSED:
        detail += "check url and login in [remote_write], and what it may do there"
    elif reply.answer is Answer.REJECTED:
        detail += "is it a receiver of remote write 1.0? check [remote_write] url"
    else:
        detail += "a run goes on without it, and sends samples when it is there"
    return Check(name, passed=False, detail=detail, is_needed=False)


def _open_files(
    config: Config, dormant: Collection[str] = (), *, shards: int, replicas: int
) -> str:
    """Compare the connections of the busiest probe process with what it may open.

    The wire driver opens its share to each primary, and one to each replica.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _SPARE_FILES + max(
        sum(share.connections * shards + replicas for share in process)
        for process in share_out(config.lanes, dormant)
    )
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageError(
            f"a process may open {hard} files, a probe of {shards} shards and "
            f"{replicas} replicas needs {needed}; raise `ulimit -Hn` to that, use "
            "fewer workers, or more processes"
        )
    return f"a process may open {hard}, a probe needs {needed}"


def _password(config: Config) -> tuple[str | None, Check]:
    try:
        password = config.target.read_password()
    except UsageError as exc:
        return None, Check("password", passed=False, detail=str(exc))
    found = "read" if password is not None else "none is configured"
    return password, Check("password", passed=True, detail=found)


async def _dns(config: Config) -> Check:
    host = config.target.host
    if tls.is_ip(host):
        return Check("dns", passed=True, detail=f"{host} is an address")
    try:
        found = await Resolver(config.target.name_server).resolve(host)
    except socket.gaierror as exc:
        return Check(
            "dns",
            passed=False,
            detail=f"looking up {host!r} failed: {exc.strerror}; check [target] host",
            may_come=True,
        )
    return Check("dns", passed=True, detail=f"{host} -> {', '.join(sorted(found))}")


async def _server(
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


async def _access(
    config: Config,
    lanes: list[Lane],
    connection: Connection,
    label: str,
    where: str,
) -> Check:
    """Try the commands of the load on keys that do not exist; nothing is written."""
    for lane in lanes:
        key = f"lp:{lane.key_prefix}:preflight".encode()
        read = "GET" if lane.multi_key == 1 else "MGET"
        commands = [(read, resp.encode(read.encode(), key))]
        if lane.read_from != "primary" and config.target.cluster:
            commands.append(("READONLY for", resp.READONLY))
        if lane.prefill or lane.read_ratio < 1:
            # XX: only if it exists, and it does not.
            commands.append(("SET", resp.encode(b"SET", key, b"", b"XX")))
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
    assert isinstance(slots, list)
    topology = merge(
        None,
        parse_slots(slots, asked_host=host),
        parse_nodes(nodes) if isinstance(nodes, bytes) else None,
    )
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
        _open_files(config, dormant, shards=shards, replicas=replicas)
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
        _open_files(config, dormant, shards=1, replicas=replicas)
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


async def _api(control: Control, *, must_exist: bool) -> Check:
    name = control.replication_group
    try:
        async with open_api(control, must_exist=must_exist) as api:
            state = await api.describe_state(missing_ok=not must_exist)
    except LoadprobeError as exc:
        return _api_failure("api", exc)
    detail = f"group {name!r} is {state.group.status}"
    if not must_exist and state.is_there:
        detail += f", and is to be created; {remedy(control)}"
        return Check("api", passed=False, detail=detail)
    if not must_exist:
        detail = f"group {name!r} is to be created"
    return Check("api", passed=True, detail=detail)


def _api_failure(name: str, error: LoadprobeError) -> Check:
    detail = str(error)
    if is_absent(error):
        detail += "; if a scenario is to create it, name that: --scenario NAME"
    is_late = isinstance(error, NotThereYet) or may_come(error)
    return Check(name, passed=False, detail=detail, may_come=is_late)
