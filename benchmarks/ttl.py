"""What the TTL of keys costs: closed loops with and without one, in turn."""

import argparse
from collections.abc import Callable
from functools import partial

import msgspec

from benchmarks import wire
from benchmarks.blocks import run_blocks
from benchmarks.measurement import VALUE_BYTES, WORKERS, Case, Target
from benchmarks.rows import Row, render
from benchmarks.servers import serving
from benchmarks.wire import Probed

_TTL_S = {"no TTL": 0, "TTL": 3600}


def measure(*, seconds: float, repeats: int, say: Callable[[str], None]) -> list[Row]:
    """Return the rows.

    Args:
        seconds: length of each run.
        repeats: number of blocks.
        say: takes lines of progress.
    """
    with serving() as target:
        jobs = {
            f"{name}, {share:.0%} writes": partial(
                _probe, target, ttl_s=ttl_s, read_ratio=1 - share, seconds=seconds
            )
            for share in (0.2, 1.0)
            for name, ttl_s in _TTL_S.items()
        }
        blocks = run_blocks(jobs, repeats=repeats, say=say, tell=_tell)
    rows: list[Row] = []
    for share in (0.2, 1.0):
        without, with_ttl = (f"{name}, {share:.0%} writes" for name in _TTL_S)
        for what, figure in (
            ("CPU per operation of the probe", _probe_us),
            ("CPU per operation of the servers", _server_us),
            ("operations per second", _per_s),
        ):
            rows += [
                blocks.row_of(without, f"{without}: {what}", "", figure),
                blocks.row(
                    f"{share:.0%} writes, {what}: TTL / no TTL",
                    "x",
                    partial(_ratio, figure, with_ttl, without),
                ),
            ]
    return rows


def _ratio(
    figure: Callable[[Probed], float],
    one: str,
    other: str,
    block: dict[str, Probed],
) -> float:
    return figure(block[one]) / figure(block[other])


def _probe(target: Target, *, ttl_s: int, read_ratio: float, seconds: float) -> Probed:
    lane = wire.closed_lane(Case(tls=False, workers=WORKERS, value_bytes=VALUE_BYTES))
    lane = msgspec.structs.replace(lane, ttl_s=ttl_s, read_ratio=read_ratio)
    return wire.probe(target, lane, seconds=seconds)


def _probe_us(probed: Probed) -> float:
    return probed.probe_cpu_s * 1e6 / probed.measured.ops


def _server_us(probed: Probed) -> float:
    return probed.server_cpu_s * 1e6 / probed.measured.ops


def _per_s(probed: Probed) -> float:
    return probed.measured.ops_per_s


def _tell(found: Probed) -> str:
    return f"{_per_s(found):,.0f}/s, {_probe_us(found):.2f} us"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=7)
    asked = parser.parse_args()
    rows = measure(
        seconds=asked.seconds,
        repeats=asked.repeats,
        say=lambda text: print(text, flush=True),
    )
    print(render(rows))


if __name__ == "__main__":
    main()
