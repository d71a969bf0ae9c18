"""What the certificates of all nodes say: names, issuer, until when, the protocol."""

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from loadprobe.clock import NS_PER_S
from loadprobe.config.keys import Target
from loadprobe.core.topology.roles import Address
from loadprobe.drivers import tls
from loadprobe.drivers.resolver import Resolver
from loadprobe.run.checks import Check

_SOON_DAYS = 30
_S_PER_DAY = 86_400


@dataclass(frozen=True, slots=True)
class SeenCertificate:
    """What one node showed, after it was verified.

    Args:
        address: as announced.
        names: that it is valid for.
        issuer: common name, or organization, of who signed it.
        protocol: for example ``TLSv1.3``.
        ends_unix_s: until when it is valid.
        failure: why there is none; "" if there is.
    """

    address: Address
    names: tuple[str, ...] = ()
    issuer: str = ""
    protocol: str = ""
    ends_unix_s: float = 0.0
    failure: str = ""


async def look_at_certificates(
    target: Target,
    context: ssl.SSLContext,
    addresses: Iterable[Address],
    *,
    timeout_s: float,
) -> list[SeenCertificate]:
    """Shake hands with nodes by TLS, and read what they show; nothing is sent.

    Args:
        target: where names lead, and under which they are verified.
        context: verifies.
        addresses: of nodes, as announced.
        timeout_s: for each of them.
    """
    resolver = Resolver(target.name_server)

    async def look(address: Address) -> SeenCertificate:
        try:
            async with asyncio.timeout(timeout_s):
                return await _look(target, context, address, resolver)
        except (OSError, TimeoutError) as exc:
            said = str(exc) or f"no answer within {timeout_s:g} s"
            return SeenCertificate(address, failure=said)

    return await asyncio.gather(*map(look, sorted(set(addresses))))


async def _look(
    target: Target, context: ssl.SSLContext, address: Address, resolver: Resolver
) -> SeenCertificate:
    host, port = address
    mapped = target.address_map.get(f"{host}:{port}", f"{host}:{port}")
    to_host, _, to_port = mapped.rpartition(":")
    found = await resolver.resolve(to_host.strip("[]"))
    _, writer = await asyncio.open_connection(
        found[0],
        int(to_port),
        ssl=context,
        server_hostname=tls.server_name(target, host),
    )
    try:
        shown: dict[str, Any] = writer.get_extra_info("peercert") or {}
        engine = writer.get_extra_info("ssl_object")
        ends = str(shown.get("notAfter", ""))
        return SeenCertificate(
            address,
            names=tuple(value for _, value in shown.get("subjectAltName", ())),
            issuer=_signer(shown.get("issuer", ())),
            protocol=str(engine.version()),
            ends_unix_s=ssl.cert_time_to_seconds(ends) if ends else 0.0,
        )
    finally:
        writer.transport.abort()


def _signer(issuer: Sequence[Sequence[tuple[str, str]]]) -> str:
    said = {name: value for part in issuer for name, value in part}
    return said.get("commonName") or said.get("organizationName") or "nobody named"


def judge_certificates(
    name: str, seen: Sequence[SeenCertificate], *, now_unix_ns: int
) -> Check:
    """Say who signed what until when; warn of what ends soon, or is not shown.

    Args:
        name: of the check.
        seen: one for each node, at least one.
        now_unix_ns: the time.
    """
    failed = [one for one in seen if one.failure]
    if failed:
        host, port = failed[0].address
        more = f" (and {len(failed) - 1} more)" if failed[1:] else ""
        advice = tls.advise(failed[0].failure) or "is the node there?"
        detail = f"{host}:{port}: {failed[0].failure}{more}; {advice}"
        return Check(name, passed=False, detail=detail, is_needed=False)
    first = min(seen, key=lambda one: one.ends_unix_s)
    days = (first.ends_unix_s - now_unix_ns / NS_PER_S) / _S_PER_DAY
    host, port = first.address
    names = ", ".join(first.names[:3]) + (", ..." if first.names[3:] else "")
    detail = (
        f"{first.protocol}; {names or 'no name'} signed by {first.issuer}; the first "
        f"of {len(seen)} to end is that of {host}:{port}, in {days:.0f} days"
    )
    if days < _SOON_DAYS:
        detail += "; connections fail from then on: renew it"
        return Check(name, passed=False, detail=detail, is_needed=False)
    return Check(name, passed=True, detail=detail)
