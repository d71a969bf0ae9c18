"""The driver of a lane: the witness, or a client library with the witness beside it."""

import ssl
from dataclasses import replace
from functools import partial

from loadprobe.config.keys import Client
from loadprobe.drivers.base import Driver, OnTopology, Sink
from loadprobe.drivers.clients.library.base import Login, Tally
from loadprobe.drivers.clients.library.choice import make_library
from loadprobe.drivers.clients.library.driver import LibraryDriver
from loadprobe.drivers.settings import MOST_VALUE_BYTES, DriverSettings, Sending
from loadprobe.drivers.wire.dial import Dialer
from loadprobe.drivers.wire.driver import WireDriver
from loadprobe.drivers.wire.sockets import SocketPoller
from loadprobe.probe.orders import (
    Plan,
    Share,
)


def make_driver(
    plan: Plan,
    share: Share,
    sink: Sink,
    *,
    context: ssl.SSLContext | None,
    poller: SocketPoller | None,
    on_topology: OnTopology,
) -> Driver:
    """Return the driver of one lane in this process.

    Args:
        plan: where to, and how to log in.
        share: which lane, and which part of it.
        sink: receives the ends of its arrivals.
        context: the shared SSLContext of TLS lanes.
        poller: serves plain TCP connections of the wire driver.
        on_topology: is told every new topology.
    """
    config = share.lane
    settings = _settings(plan, share)
    target = settings.target

    def make_wire(settings: DriverSettings, on_topology: OnTopology) -> WireDriver:
        dialer = Dialer(
            target,
            context if config.tls else None,
            plan.password,
            plan.probe.connect_timeout_ms,
            poller,
            reads_replicas=target.cluster and config.read_from != "primary",
        )
        return WireDriver(settings, dialer, sink, on_topology=on_topology)

    if config.is_witness:
        return make_wire(settings, on_topology)
    library = make_library(
        config.driver,
        config.client or Client(),
        Tally(),
        Login(target.username, plan.password),
        tls=config.tls,
    )
    beside = replace(settings, workers=1)  # it carries no arrivals
    return LibraryDriver(
        settings,
        library,
        sink,
        on_topology=on_topology,
        make_guide=partial(make_wire, beside),
    )


def _settings(plan: Plan, share: Share) -> DriverSettings:
    """Return what a lane asks of its driver."""
    config = share.lane
    sending: Sending = "open"
    if config.is_witness and config.loop == "closed":
        is_shared = share.connections < share.outstanding
        sending = "shared" if is_shared else "closed"
    return DriverSettings(
        target=plan.targets[config.name],
        tls=config.tls,
        workers=share.connections if config.is_witness else share.workers,
        max_in_flight=plan.probe.max_in_flight,
        sending=sending,
        known=plan.known.get(config.name),
        cut_over=plan.cut_overs.get(config.name, 0),
        gently=plan.gently,
        read_from=config.read_from,
        clients=1 if config.client is None else config.client.clients,
        # Lanes that share their keys read the values of others, too.
        value_bytes=config.value_bytes if config.keyspace is None else MOST_VALUE_BYTES,
    )
