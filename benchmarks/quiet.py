"""The whole program at its quiet rate: two lanes that only watch, by TCP and by TLS."""

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
    """Measure one run, which Prometheus would scrape every 15 s.

    Args:
        target: the servers.
        length_s: how long.
        say: takes lines of progress.
    """
    lanes = [
        config.Lane(name=name, tls=tls, workers=_WORKERS, rate_per_s=_RATE_PER_S)
        for name, tls in (("tcp", False), ("tls", True))
    ]
    say(f"quiet: {length_s:g} s")
    samples, unanswered = sample(target, lanes, length_s=length_s)
    name = f"quiet sidecar, TCP and TLS at {_RATE_PER_S}/s each over {length_s:g} s"
    pss_mb = [each.usage.pss_bytes / _MB for each in samples]
    cpu = f"{name}: CPU of all processes, of one core"
    pss = f"{name}: PSS of all processes, highest"
    return Found.of(
        [
            Row.of(cpu, "%", shares(samples), _CPU),
            Row.of(pss, "MB", [max(pss_mb)], _MEMORY),
            Row.of(f"{name}: scrapes without an answer", "", [unanswered], _NONE),
        ]
    )
