"""What the endpoint's name stands for, for how long, and whether that changes."""

from dataclasses import dataclass
from socket import gaierror

from loadprobe.clock import NS_PER_S
from loadprobe.config.keys import Target
from loadprobe.drivers import tls
from loadprobe.drivers.resolver import Addresses, Resolver
from loadprobe.run.checks import Check

_LOOKUPS = 3
_LONG_S = 60


@dataclass(frozen=True, slots=True)
class LookedUpName:
    """Some answers to one question.

    Args:
        host: the name.
        answers: addresses, by lookup.
        kept_s: for how long each may be kept, in seconds; None if that is not told.
    """

    host: str
    answers: tuple[Addresses, ...]
    kept_s: int | None


async def look_up(target: Target) -> LookedUpName | None:
    """Look the endpoint up several times; None if it is an address, or not found."""
    if not target.host or tls.is_ip(target.host):
        return None
    resolver = Resolver(target.name_server)
    answers: list[Addresses] = []
    for _ in range(_LOOKUPS):
        try:
            answers.append(await resolver.resolve(target.host, afresh=True))
        except gaierror:
            return None  # the preflight tells of it
    kept_s = None
    if target.name_server is not None:
        kept_s = -(-resolver.kept_ns(target.host) // NS_PER_S)
    return LookedUpName(target.host, tuple(answers), kept_s)


def judge_name(found: LookedUpName) -> Check:
    """Say what a name stands for, and how late a move of it is noticed."""
    every = sorted({address for answer in found.answers for address in answer})
    sets = {frozenset(answer) for answer in found.answers}
    detail = f"{len(every)} address{'es' if every[1:] else ''}: {', '.join(every)}; "
    if len(sets) > 1:
        detail += "each answer has only some of them; "
    elif len(set(found.answers)) > 1:
        detail += "in changing order; "
    if found.kept_s is None:
        detail += (
            "the system does not tell for how long it keeps the answer; set [target] "
            "name_server to ask the name server itself"
        )
        return Check("dns answers", passed=True, detail=detail)
    detail += f"kept for {found.kept_s} s: so late can clients notice that it moved"
    if found.kept_s > _LONG_S:
        detail += "; that is long for an endpoint that fails over: lower its TTL"
        return Check("dns answers", passed=False, detail=detail, is_needed=False)
    return Check("dns answers", passed=True, detail=detail)
