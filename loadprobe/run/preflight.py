"""Everything that can be found out before a run: one line per check, pass or fail.

Each check says what was looked at and, if it failed, what to do. ``run`` makes the same
checks and starts nothing unless all pass.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path

from loadprobe.config.keys import Config, Control
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.config.webhooks import Webhook
from loadprobe.control.created.markers import remedy
from loadprobe.control.provider.faults import is_absent, may_come
from loadprobe.control.provider.iam_token import TokenMaker
from loadprobe.control.provider.shared import SharedApi
from loadprobe.control.scenario.described import described_endpoint
from loadprobe.core.judging.delivery import Answer
from loadprobe.drivers import tls
from loadprobe.drivers.resolver import Resolver
from loadprobe.errors import LoadprobeError, NotThereYet, RunError, UsageError
from loadprobe.outputs.folder.folder import check_writable
from loadprobe.outputs.http.server import start_http
from loadprobe.outputs.remote_write.login import check_login
from loadprobe.outputs.remote_write.sender import ask
from loadprobe.outputs.webhooks.reach import reach
from loadprobe.run.checks import Check, open_files
from loadprobe.run.target_checks import check_server


async def preflight(
    config: Config,
    shared: SharedApi,
    *,
    dormant: Collection[str] = (),
    must_exist: bool = True,
) -> AsyncIterator[Check]:
    """Yield the result of every check, in an order in which causes come first.

    Args:
        config: what is to be run; its endpoint may be missing if all lanes are dormant.
        shared: the API of its group, which stays open.
        dormant: names of lanes whose transport the cluster does not serve yet.
        must_exist: False for a replication group that is to be created.
    """
    async for check in _around(config, dormant):
        yield check
    target = _target(config, shared, dormant=dormant, must_exist=must_exist)
    async for check in target:
        yield check


async def _around(config: Config, dormant: Collection[str]) -> AsyncIterator[Check]:
    """Yield what is about this machine, and about those who are told."""
    yield _guard("output", lambda: _output(config))
    yield _witness(config)
    yield await _http(config)
    yield await _remote_write(config.remote_write)
    for webhook in config.webhooks:
        yield await _webhook(webhook)
    yield _guard(
        "open files", lambda: open_files(config, dormant, shards=1, replicas=0)
    )


async def _target(
    config: Config, shared: SharedApi, *, dormant: Collection[str], must_exist: bool
) -> AsyncIterator[Check]:
    """Yield what is about the target; see ``preflight``."""
    password, check = await read_login(config)
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
            config = await _ask_endpoint(config, shared)
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
            async for check in check_server(config, lanes, dormant, context, password):
                yield check
        asleep = [
            lane.name
            for lane in config.lanes
            if lane.name in dormant and lane.tls == with_tls
        ]
        if asleep:
            yield _asleep(asleep, "tls" if with_tls else "tcp")
    if config.control is not None:
        yield await _api(config.control, shared, must_exist=must_exist)


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


async def _webhook(webhook: Webhook) -> Check:
    """Connect to a receiver, and send nothing; a run does not need it to be well."""
    name = f"webhook {webhook.name}"
    try:
        found = await reach(webhook)
    except UsageError as exc:
        return Check(name, passed=False, detail=str(exc))
    except RunError as exc:
        detail = f"{exc}; a run goes on without it, and sends notices when it is there"
        return Check(name, passed=False, detail=detail, is_needed=False)
    return Check(name, passed=True, detail=found)


async def read_login(config: Config) -> tuple[str | None, Check]:
    """Return the password, or token, that lanes log in with, and what is said of it."""
    target = config.target
    try:
        if target.iam_user is not None:
            token = await asyncio.to_thread(TokenMaker(target).make)
            found = f"a token for {target.iam_user} at {target.iam_cache} is made"
            return token, Check("password", passed=True, detail=found)
        password = target.read_password()
    except UsageError as exc:
        return None, Check("password", passed=False, detail=str(exc))
    found = "read" if password is not None else "none is configured"
    return password, Check("password", passed=True, detail=found)


async def _ask_endpoint(config: Config, shared: SharedApi) -> Config:
    """Return the configuration with the endpoint that the API describes."""
    assert config.control is not None, "a target without a host needs one"
    return await described_endpoint(config, await shared.open(config.control))


async def _dns(config: Config) -> Check:
    host = config.target.host
    ports = {config.target.port_of(tls=lane.tls) for lane in config.lanes}
    if all(config.target.way_to(host, port) != (host, port) for port in ports):
        way = "the tunnel" if config.target.tunnel is not None else "address_map"
        return Check("dns", passed=True, detail=f"{host} is reached by {way}")
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


async def _api(control: Control, shared: SharedApi, *, must_exist: bool) -> Check:
    name = control.cache
    try:
        api = await shared.open(control, must_exist=must_exist)
        state = await api.describe_state(missing_ok=not must_exist)
    except LoadprobeError as exc:
        return _api_failure("api", exc)
    word = state.group.kind.word
    detail = f"{word} {name!r} is {state.group.status}"
    if not must_exist and state.is_there:
        detail += f", and is to be created; {remedy(control)}"
        return Check("api", passed=False, detail=detail)
    if not must_exist:
        detail = f"{word} {name!r} is to be created"
    return Check("api", passed=True, detail=detail)


def _api_failure(name: str, error: LoadprobeError) -> Check:
    detail = str(error)
    if is_absent(error):
        detail += "; if a scenario is to create it, name that: --scenario NAME"
    is_late = isinstance(error, NotThereYet) or may_come(error)
    return Check(name, passed=False, detail=detail, may_come=is_late)
