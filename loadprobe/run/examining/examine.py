"""All that is examined, in order. Nothing is changed, and nothing is needed to run."""

import ssl
from collections.abc import AsyncIterator, Collection, Sequence

from loadprobe.clock import wall_now_ns
from loadprobe.config.keys import Config, Lane
from loadprobe.control.provider.shared import SharedApi
from loadprobe.control.scenario.described import described_endpoint
from loadprobe.core.topology.roles import Address
from loadprobe.core.topology.topology import parse_slots
from loadprobe.drivers import tls
from loadprobe.drivers.wire.dial import Dialer
from loadprobe.drivers.wire.seed import ask_role, ask_seed
from loadprobe.errors import LoadprobeError, PreflightError
from loadprobe.run.checks import Check
from loadprobe.run.examining.certificates import (
    judge_certificates,
    look_at_certificates,
)
from loadprobe.run.examining.distance import measure_distance
from loadprobe.run.examining.machine import (
    find_instance,
    judge_credits,
    judge_steal,
)
from loadprobe.run.examining.names import judge_name, look_up
from loadprobe.run.examining.views import compare_views
from loadprobe.run.examining.visits import visit_all
from loadprobe.run.preflight import read_login


async def examine(
    config: Config, shared: SharedApi, *, dormant: Collection[str] = ()
) -> AsyncIterator[Check]:
    """Yield what is found, after a preflight in which nothing failed that is needed.

    Args:
        config: what is to be run.
        shared: the API of its group, which stays open.
        dormant: names of lanes whose transport the cluster does not serve yet.
    """
    yield judge_steal()
    credit = judge_credits(await find_instance(), await _node_types(config, shared))
    if credit is not None:
        yield credit
    awake = [lane for lane in config.lanes if lane.name not in dormant]
    if not awake:
        return
    if not config.target.host:
        assert config.control is not None, "a target without a host needs one"
        config = await described_endpoint(config, await shared.open(config.control))
    name = await look_up(config.target)
    if name is not None:
        yield judge_name(name)
    for with_tls in (False, True):
        lanes = [lane for lane in awake if lane.tls == with_tls]
        if lanes:
            async for check in _examine_nodes(config, lanes):
                yield check


async def _node_types(config: Config, shared: SharedApi) -> set[str]:
    """Return the types of the group's nodes; none if the API does not tell.

    Nodes behind an API of one's own are processes, whatever it calls them.
    """
    if config.control is None or config.control.endpoint_url is not None:
        return set()
    try:
        api = await shared.open(config.control, must_exist=False)
        state = await api.describe_state(missing_ok=True)
    except LoadprobeError:  # the preflight tells of it
        return set()
    return {node.node_type for node in state.clusters}


async def _examine_nodes(config: Config, lanes: Sequence[Lane]) -> AsyncIterator[Check]:
    """Yield what is about the nodes, as lanes of one transport see them."""
    target, with_tls = config.target, lanes[0].tls
    label = "tls" if with_tls else "tcp"
    context = tls.make_context(target) if with_tls else None
    password, _ = await read_login(config)
    dialer = Dialer(target, context, password, config.probe.connect_timeout_ms)
    try:
        addresses = await _announced(dialer, target.port_of(tls=with_tls))
    except PreflightError as exc:  # it was there a moment ago
        yield Check(f"{label} nodes", passed=False, detail=str(exc), is_needed=False)
        return
    visits = await visit_all(dialer, addresses, is_cluster=target.cluster)
    yield compare_views(f"{label} nodes", visits)
    distance = measure_distance(f"{label} distance", visits)
    if distance is not None:
        yield distance
    if context is not None:
        yield await _certificates(config, context, addresses)


async def _announced(dialer: Dialer, port: int) -> list[Address]:
    """Return the nodes that the endpoint announces, as they are announced.

    Raises:
        PreflightError: it does not answer.
    """
    target = dialer.target
    if target.cluster:
        slots, _ = await ask_seed(dialer, target.host, port)
        view = parse_slots(slots, asked_host=target.host)
        return sorted(
            {
                (node.host, node.port)
                for _, _, primary, replicas in view.rows
                for node in (primary, *replicas)
            }
        )
    role = await ask_role(dialer, target.host, port)
    replicas = role.replicas if role is not None else ()
    return [(target.host, port), *replicas]


async def _certificates(
    config: Config, context: ssl.SSLContext, addresses: Sequence[Address]
) -> Check:
    seen = await look_at_certificates(
        config.target,
        context,
        addresses,
        timeout_s=config.probe.connect_timeout_ms / 1000,
    )
    return judge_certificates("tls certificates", seen, now_unix_ns=wall_now_ns())
