"""One case, in a process of its own: reads an order, writes figures, both JSON.

So a case may stop the process that measures, and may run the compiled loop.
"""

import asyncio
import os
import signal
import sys

import msgspec
import uvloop

from benchmarks.calibration.disturbed import write_disturbed_plan
from benchmarks.calibration.figures import CaseFigures, summarize
from benchmarks.calibration.judging import judge
from benchmarks.calibration.measuring import observe
from benchmarks.calibration.script import duration_s, write_plan
from benchmarks.calibration.settings import Lengths, Setting
from loadprobe.compiled import HOW
from loadprobe.local.cluster.processes import bind_life_to_parent

_PATIENCE_S = 180.0


class Order(msgspec.Struct, frozen=True):
    """What to measure.

    Args:
        setting: of the case.
        lengths: of its parts.
        seed: of the outages.
    """

    setting: Setting
    lengths: Lengths
    seed: int


async def measure(order: Order) -> CaseFigures:
    """Run the case and return its figures."""
    setting = order.setting
    write = write_disturbed_plan if setting.disturbance else write_plan
    plan = write(setting, order.lengths, order.seed)
    async with asyncio.timeout(_PATIENCE_S + duration_s(plan)):
        observed = await observe(setting, plan)
    return summarize(setting, judge(setting, plan, observed), observed)


def _main() -> None:
    bind_life_to_parent(os.getppid(), signal.SIGTERM)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    if (HOW == "compiled") is not order.setting.compiled:
        sys.exit(f"case {order.setting.label}: the loop is {HOW}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(measure(order))
    sys.stdout.write(msgspec.json.encode(figures).decode())


if __name__ == "__main__":
    _main()
