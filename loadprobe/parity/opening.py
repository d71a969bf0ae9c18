"""From a configuration to a side that can be asked."""

import asyncio

from loadprobe.config.keys import Config, Target
from loadprobe.control.provider.iam_token import TokenMaker
from loadprobe.drivers import tls
from loadprobe.drivers.wire.dial import Dialer
from loadprobe.errors import PreflightError, UsageError
from loadprobe.parity.link import LinkLost, Renew
from loadprobe.parity.map import SingleMap
from loadprobe.parity.side import Side

_DIAL_MS = 5000


def make_side(name: str, config: Config) -> Side:
    """Return a side, not yet connected.

    Args:
        name: "source" or "target".
        config: of where it is. TLS is spoken if all lanes speak it.

    Raises:
        UsageError: a certificate or the password cannot be used.
    """
    target = config.target
    by_tls = all(lane.tls for lane in config.lanes)
    context = tls.make_context(target) if by_tls else None
    dialer = Dialer(target, context, target.read_password(), _DIAL_MS)
    return Side(
        name,
        (target.host, target.port_of(tls=by_tls)),
        dialer,
        is_cluster=target.cluster,
        renew=_renewal(target, dialer),
    )


async def open_sides(source: Side, target: Side) -> list[str]:
    """Connect to both sides for the first time; return what there is to be warned of.

    Raises:
        PreflightError: one does not answer.
        UsageError: they are the same.
    """
    warnings = []
    lives = []
    for side in (source, target):
        try:
            if isinstance(side.map, SingleMap):
                await side.map.begin()
            else:
                await side.map.refresh()
            lives.append(await side.lives())
        except LinkLost as exc:
            raise PreflightError(f"{side.name}: {exc}") from exc
        if isinstance(side.map, SingleMap) and side.map.takes_replica:
            warnings.append(
                f"the {side.name} {side.where} is a replica: what it does not have yet "
                "is looked at again"
            )
    if lives[0] & lives[1]:
        raise UsageError(
            f"source {source.where} and target {target.where} are the same servers"
        )
    return warnings


def _renewal(target: Target, dialer: Dialer) -> Renew:
    """Return what has a dialer log in by what is valid at the time."""
    if target.iam_user is None:
        return _nothing
    maker = TokenMaker(target)

    async def renew() -> None:
        dialer.use_login(target.iam_user, await asyncio.to_thread(maker.make))

    return renew


async def _nothing() -> None:
    """Leave a password as it is."""
