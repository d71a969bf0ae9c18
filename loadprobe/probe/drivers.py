"""The driver of a lane: the witness, or a client library with the witness beside it."""

import ssl

from loadprobe.config.keys import Client
from loadprobe.drivers.base import Driver, OnTopology, Sink
from loadprobe.drivers.clients.library.base import Login, Tally
from loadprobe.drivers.clients.library.choice import make_library
from loadprobe.drivers.clients.library.driver import LibraryDriver
from loadprobe.drivers.wire.dial import Dialer
from loadprobe.drivers.wire.driver import WireDriver
from loadprobe.drivers.wire.sockets import SocketPoller
from loadprobe.probe.messages import Plan, Share


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
    target = plan.targets[config.name]

    def make_wire(on_topology: OnTopology) -> WireDriver:
        """Make a wire driver; beside a client library it carries no arrivals."""
        return WireDriver(
            target,
            Dialer(
                target,
                context if config.tls else None,
                plan.password,
                plan.probe.connect_timeout_ms,
                poller,
                reads_replicas=target.cluster and config.read_from != "primary",
            ),
            sink,
            on_topology=on_topology,
            tls=config.tls,
            workers=share.connections if config.is_witness else 1,
            max_in_flight=plan.probe.max_in_flight,
            closed_loop=config.is_witness and config.loop == "closed",
            is_shared=share.connections < share.outstanding,
            known=plan.known.get(config.name),
            cut_over=plan.cut_overs.get(config.name, 0),
            gently=plan.gently,
            read_from=config.read_from,
        )

    if config.is_witness:
        return make_wire(on_topology)
    client = config.client or Client()
    tally = Tally()
    login = Login(target.username, plan.password)
    return LibraryDriver(
        target,
        make_library(config.driver, client, tally, login, tls=config.tls),
        sink,
        tally=tally,
        login=login,
        clients=client.clients,
        on_topology=on_topology,
        make_scout=make_wire,
        tls=config.tls,
        workers=share.workers,
        max_in_flight=plan.probe.max_in_flight,
        is_restart=config.name in plan.known,
    )
