"""The way that a configuration asks for: opened before anything is connected to."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress

import msgspec

from loadprobe.config.keys import SDK_VARIABLES, Config, secret_variables
from loadprobe.control.reach.endpoints import EndpointForwards
from loadprobe.control.reach.members import ask_members
from loadprobe.control.reach.tunnel import SshTunnel
from loadprobe.errors import PreflightError


def with_forwards(config: Config, forwards: dict[str, str]) -> Config:
    """Return a configuration whose target shares a table of forwards."""
    target = msgspec.structs.replace(config.target, address_map=forwards)
    return msgspec.structs.replace(config, target=target)


@asynccontextmanager
async def tunnelled(
    config: Config, *, to_all: bool = False, withheld: Collection[str] = ()
) -> AsyncIterator[tuple[Config, SshTunnel | None]]:
    """Open the tunnel of a configuration, with forwards to its endpoints, if any.

    Yields the configuration that leads through it.

    Args:
        config: with the endpoint.
        to_all: with forwards to all nodes that there are now, too.
        withheld: variables that ssh does not inherit, besides those that the
            configuration names. It has those of the SDK: a proxy command may call AWS.

    Raises:
        PreflightError: it cannot be opened, and why.
    """
    tunnel = config.target.tunnel
    if tunnel is None:
        yield config, None
        return
    secret = secret_variables(config).union(withheld) - frozenset(SDK_VARIABLES)
    made = SshTunnel(tunnel, {}, withheld=secret)
    try:
        await made.open()
        transports = {lane.tls for lane in config.lanes}
        await EndpointForwards(made, config.target, transports).ask_all()
        leading = with_forwards(config, made.forwards)
        if to_all:
            with suppress(PreflightError):  # who asks nodes is told by these
                members = await ask_members(leading.target, transports=transports)
                await made.forward(a for node, _ in members for a in node.addresses)
        yield leading, made
    finally:
        with suppress(ProcessLookupError):
            await made.close()
