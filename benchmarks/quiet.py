"""The whole program at its quiet rate: one lane that only watches, then two."""

from collections.abc import Sequence

from benchmarks.blocks import Say
from benchmarks.document import Found
from benchmarks.measurement import Target
from benchmarks.rows import Limit, Row
from benchmarks.sidecar import sample, shares
from loadprobe.config import keys as config

_RATE_PER_S = 100
_WORKERS = 10
_MB = 1e6
_CPU, _MEMORY, _NONE = Limit(4.0), Limit(110.0), Limit(0)


def run(target: Target, *, length_s: float, say: Say) -> Found:
    """Measure a run by TCP, and one by TCP and TLS, scraped every 15 s.

    Args:
        target: the servers.
        length_s: how long each.
        say: takes lines of progress.
    """
    tcp, tls = (
        config.Lane(name=name, tls=tls, workers=_WORKERS, rate_per_s=_RATE_PER_S)
        for name, tls in (("tcp", False), ("tls", True))
    )
    return Found.of(
        [
            *_rows(target, "TCP", [tcp], length_s, say),
            *_rows(target, "TCP and TLS each", [tcp, tls], length_s, say),
        ]
    )


def _rows(
    target: Target, what: str, lanes: Sequence[config.Lane], length_s: float, say: Say
) -> list[Row]:
    say(f"quiet, {what}: {length_s:g} s")
    samples, unanswered = sample(target, lanes, length_s=length_s)
    name = f"quiet sidecar, {what} at {_RATE_PER_S}/s over {length_s:g} s"
    pss_mb = [each.usage.pss_bytes / _MB for each in samples]
    cpu = f"{name}: CPU of all processes, of one core"
    pss = f"{name}: PSS of all processes, highest"
    return [
        Row.of(cpu, "%", shares(samples), _CPU),
        Row.of(pss, "MB", [max(pss_mb)], _MEMORY),
        Row.of(f"{name}: scrapes without an answer", "", [unanswered], _NONE),
    ]
