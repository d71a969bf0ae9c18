"""The demo: a real local cluster, real load, a real failover, a verdict.

Nothing in here measures anything. It starts a local cluster with its control plane in a
process of its own, writes the configuration a user would write, and runs it as
``loadprobe run --failover`` would.
"""

import os

from loadprobe.config import Config, Control, Http, Lane, Output, Target
from loadprobe.local.background import down, up
from loadprobe.local.serve import LocalOptions
from loadprobe.outputs.terminal import make_console
from loadprobe.supervisor import RunOptions, run_load

_BASELINE_S = 5.0
_WORKERS = 200
_RATE_PER_S = 1000.0


def demo_config(
    *,
    host: str,
    port: int,
    tls_port: int | None,
    ca_file: str | None,
    group: str,
    endpoint_url: str,
    output_dir: str,
) -> Config:
    """Return the configuration of the demo: a TCP lane, and a TLS lane if possible."""
    tcp = Lane(name="tcp", workers=_WORKERS, rate_per_s=_RATE_PER_S)
    tls = Lane(name="tls", tls=True, workers=_WORKERS, rate_per_s=_RATE_PER_S)
    return Config(
        name="demo",
        target=Target(host=host, port=port, tls_port=tls_port, ca_file=ca_file),
        lanes=(tcp, tls) if tls_port is not None else (tcp,),
        control=Control(replication_group=group, endpoint_url=endpoint_url),
        http=Http(listen="127.0.0.1:0"),
        output=Output(dir=output_dir),
    )


async def run_demo(*, shards: int, duration_s: float, output_dir: str) -> int:
    """Run the demo; return the exit code of the run.

    Raises:
        UsageError: the machine lacks what is needed, and what to install.
    """
    console = make_console()

    def tell(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    options = LocalOptions(
        name=f"demo-{os.getpid()}", shards=shards, replicas=1, die_with_parent=True
    )
    state = await up(options, progress=tell)
    try:
        config = demo_config(
            host=state.host,
            port=state.port,
            tls_port=state.tls_port,
            ca_file=state.ca_file,
            group=state.replication_group_id,
            endpoint_url=state.endpoint_url,
            output_dir=output_dir,
        )
        shard = f"{min(2, shards):04d}"
        tell(
            f"load: {len(config.lanes)} lanes x {_WORKERS} workers, "
            f"{_RATE_PER_S:.0f} arrivals/s each, for {duration_s:.0f} s; "
            f"shard {shard} is failed over after {_BASELINE_S:.0f} s"
        )
        run = RunOptions(
            duration_s=duration_s, failover=shard, failover_after_s=_BASELINE_S
        )
        return await run_load(config, run, console=console)
    finally:
        await down(options.name)
