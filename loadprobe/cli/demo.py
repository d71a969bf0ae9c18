"""The demo: a real local cluster, real load, real changes, a verdict.

Nothing in here measures anything. It starts a local cluster with its control plane in a
process of its own, writes the configuration a user would write, and runs it as
``loadprobe run --scenario`` would.
"""

import os

from loadprobe.config.keys import Config, Control, Http, Lane, Output, Target
from loadprobe.control.scenario.file import load_scenario
from loadprobe.local.background import down, up
from loadprobe.local.cluster.servers import find_server
from loadprobe.local.serve import LocalOptions
from loadprobe.outputs.live.console import make_console
from loadprobe.run.launch import run_load
from loadprobe.run.plan import RunOptions

_WORKERS = 200
_RATE_PER_S = 1000.0


def demo_config(
    *,
    host: str,
    port: int,
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
        target=Target(host=host, port=port, ca_file=ca_file),
        lanes=(tcp, tls) if ca_file is not None else (tcp,),
        control=Control(replication_group=group, endpoint_url=endpoint_url),
        http=Http(listen="127.0.0.1:0"),
        output=Output(dir=output_dir),
    )


async def run_demo(
    *,
    shards: int,
    duration_s: float,
    output_dir: str,
    is_full: bool = False,
    is_opened: bool = False,
) -> int:
    """Run the demo; return the exit code of the run.

    Raises:
        UsageError: the machine lacks what is needed, and what to install.
    """
    console = make_console()

    def tell(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    has_tls = find_server().has_tls
    if not has_tls:
        tell(
            "the server program found here was built without TLS: only the failover "
            "is shown (apt-get install redis-server for the TLS migration)"
        )
    options = LocalOptions(
        name=f"demo-{os.getpid()}",
        shards=shards,
        replicas=1,
        tls_mode="none",
        die_with_parent=True,
    )
    state = await up(options, progress=tell)
    try:
        config = demo_config(
            host=state.host,
            port=state.port,
            ca_file=state.ca_file if has_tls else None,
            group=state.replication_group_id,
            endpoint_url=state.endpoint_url,
            output_dir=output_dir,
        )
        shard = f"{min(2, shards):04d}"
        scenario = load_scenario("demo" if has_tls else "failover", {"shard": shard})
        clients = " and ".join(f"{lane.workers} {lane.name}" for lane in config.lanes)
        tell(f"{clients} clients, {_RATE_PER_S:,.0f}/s each. {scenario.description}")
        run = RunOptions(
            duration_s=duration_s or None,
            scenario=scenario,
            is_full=is_full,
            is_opened=is_opened,
        )
        return await run_load(config, run, console=console)
    finally:
        await down(options.name)
