"""Every shipped scenario on local groups of both shapes, by TCP and by TLS: one table.

Each runs once, in a short form, on servers that are started for it alone. What a shape,
or a transport, cannot do by its nature is a row with the reason. For example:

    python -m tools.scenario_matrix --only failover --only tls-migration
"""

import argparse
import asyncio
import io
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import orjson
import uvloop
from rich.console import Console

from loadprobe.config.keys import Config, Control, Http, Lane, Output, Target
from loadprobe.control.scenario.file import Scenario, load_scenario
from loadprobe.errors import LoadprobeError
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.servers import find_engine
from loadprobe.local.cluster.settings import TlsMode
from loadprobe.run.launch import RunOptions, run_load

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"
GROUP = "rg"
_KNOBS = Knobs(detect_s=1.0, modifying_delay_s=0.2, settle_delay_s=0.2)
_WATCH_S = 3.0
_FROM_SOURCE = frozenset({"migration", "copy-redis-cli", "seed-rdb"})
"""Scenarios whose lanes begin at a server that is not the group."""
_PASSWORD = "the-first-password-of-all"
_HEAD = (
    "| scenario | cluster mode | transport | exit | headline | dark ms per shard "
    "(planned) | blind ms | lost |\n|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table.

    Args:
        scenario: its name.
        is_cluster: the shape.
        tls: the transport of the lane.
    """

    scenario: str
    is_cluster: bool
    tls: bool

    @property
    def obstacle(self) -> str:
        """Why it cannot run locally; "" if it can."""
        name = self.scenario
        if name == "scale-out-in" and not self.is_cluster:
            return "one shard is all there is"
        if name == "migration" and self.is_cluster:
            return "the local group migrates without cluster mode only"
        if name == "copy-redis-cli" and not self.is_cluster:
            return "redis-cli imports into clusters only"
        if name in _FROM_SOURCE and self.tls:
            return "its source, and so its target, is without TLS"
        if name == "auth-rotation" and not self.tls:
            return "a token needs TLS"
        if name == "engine-upgrade" and self.tls:
            return "the valkey-server that is packaged has no TLS"
        return ""

    @property
    def tls_mode(self) -> TlsMode:
        """What the group serves at first."""
        if self.scenario in ("tls-migration", "demo") or not self.tls:
            return "none"
        return "required" if self.scenario == "auth-rotation" else "preferred"


def cases(only: Sequence[str] = ()) -> Iterator[Case]:
    """Yield all rows, in the order of the table."""
    names = sorted(path.stem for path in SCENARIOS.glob("*.toml"))
    for name in names:
        if not only or name in only:
            for is_cluster in (True, False):
                for tls in (False, True):
                    yield Case(name, is_cluster=is_cluster, tls=tls)


@asynccontextmanager
async def staged(case: Case) -> AsyncIterator[tuple[LocalCluster, ControlPlane]]:
    """Run a group of the case's shape with its API."""
    server = None
    if case.scenario == "engine-upgrade":
        server = (await asyncio.to_thread(find_engine, "redis", "7.0")).path
    shape: dict[str, Any] = {"shards": 2, "replicas_per_shard": 1}
    if not case.is_cluster:
        shape = {"shards": 1, "replicas_per_shard": 2, "cluster_mode": False}
    async with (
        LocalCluster(
            tls_mode=case.tls_mode,
            name=GROUP,
            password=_PASSWORD if case.scenario == "auth-rotation" else None,
            server=server,
            **shape,
        ) as cluster,
        ControlPlane(knobs=_KNOBS) as plane,
    ):
        plane.add_group(GROUP, cluster)
        yield cluster, plane


def target_in(plane: ControlPlane, group: str, *, folder: Path) -> Target:
    """Return the target that is a group of a control plane."""
    cluster, endpoints = plane.cluster(group), plane.endpoints(group)
    password_file = None
    if cluster.password is not None:
        path = folder / "password"
        path.write_text(f"{cluster.password}\n")
        password_file = str(path)
    return Target(
        host=cluster.host if endpoints is None else endpoints.primary,
        port=cluster.port,
        tls_port=cluster.tls_port,
        cluster=cluster.cluster_mode,
        ca_file=str(cluster.ca_file) if cluster.ca_file else None,
        name_server=None if endpoints is None else plane.name_server,
        password_file=password_file,
    )


def shortened(case: Case, variables: Mapping[str, str]) -> Scenario:
    """Return the scenario without its long holds."""
    scenario = load_scenario(case.scenario, variables)
    steps = tuple(
        msgspec.structs.replace(step, hold_before_s=0.0, hold_after_s=0.5)
        for step in scenario.steps
    )
    # Of the client lanes those that give a connection its time: on a small machine six
    # processes at once do not open TLS connections within a tenth of a second.
    lanes = tuple(each for each in scenario.lanes if not _is_hasty(each))
    return replace(scenario, steps=steps, lanes=lanes, baseline_s=1.5, after_s=1.5)


def _is_hasty(lane: Lane) -> bool:
    return lane.client is not None and lane.client.socket_connect_timeout_ms is not None


def variables_of(
    case: Case, folder: Path, source: LocalCluster | None
) -> dict[str, str]:
    """Return what the scenario has to be told."""
    name = case.scenario
    found: dict[str, str] = {}
    if name == "client-matrix":
        found = {"tls": str(case.tls).lower(), "workers": "4", "rate_per_s": "40"}
    elif name == "engine-upgrade":
        found = {"version": "9.1", "engine": "valkey"}
    elif name == "auth-rotation":
        found = {"token_file": str(folder / "token")}
    elif name == "demo":
        found = {"shard": "0002" if case.is_cluster else "0001"}
    elif name == "seed-rdb":
        file = str(folder / "dump.rdb")
        found = {"file": file, "snapshot": file}
        found["shards"] = "2" if case.is_cluster else "0"
    elif name == "migration" and source is not None:
        found = {"source_host": source.host, "source_port": str(source.port)}
    return found


def lanes_of(case: Case) -> tuple[Lane, ...]:
    """Return the lane of the case's transport.

    What a TLS lane wrote cannot be read back once TLS is off again, so a migration of
    TLS has a TCP lane beside it.
    """
    is_both = case.tls and case.scenario == "tls-migration"
    return tuple(
        Lane(
            name="tls" if tls else "tcp",
            tls=tls,
            workers=50,
            rate_per_s=500.0,
            keys=1000,
        )
        for tls in ((False, True) if is_both else (case.tls,))
    )


async def carry_out(case: Case, folder: Path, source: LocalCluster | None) -> str:
    """Run one case; return its row."""
    async with staged(case) as (_, plane):
        target = target_in(plane, GROUP, folder=folder)
        if source is not None:
            target = Target(
                host=source.host,
                port=source.port,
                cluster=False,
                name_server=plane.name_server,
            )
        config = Config(
            target=target,
            lanes=lanes_of(case),
            control=Control(
                "seeded" if case.scenario == "seed-rdb" else GROUP,
                endpoint_url=plane.endpoint_url,
            ),
            http=Http(listen=""),
            output=Output(dir=str(folder / "runs")),
        )
        scenario = shortened(case, variables_of(case, folder, source))
        options = RunOptions(
            scenario=scenario,
            duration_s=None if scenario.steps else _WATCH_S,
        )
        console = Console(file=io.StringIO(), width=120)
        try:
            code = await run_load(config, options, console=console)
        except LoadprobeError as exc:
            return row(case, str(exc.exit_code), " ".join(str(exc).split()))
    (run,) = (folder / "runs").iterdir()
    return told(case, code, orjson.loads((run / "summary.json").read_bytes()))


def told(case: Case, code: int, summary: Mapping[str, Any]) -> str:
    """Return the row of a run from its summary."""
    dark = [
        f"{lane['name']} {shard}: {time['estimate']:.0f}"
        for lane in summary["lanes"]
        for shard, time in lane["downtime_ms"]["shards"].items()
    ]
    planned = sum(
        step_lane["planned_ms"]["any_shard"]["estimate"]
        for step in (summary["scenario"] or {"steps": []})["steps"]
        for step_lane in step["lanes"]
    )
    headline = summary.get("headline") or summary["verdict"][0]
    lost = summary["lost_writes"]
    return row(
        case,
        str(code),
        str(headline),
        "; ".join(dark) + (f" ({planned:.0f})" if planned else ""),
        f"{summary['observer']['blind_ms']:.0f}",
        "not checked" if lost is None else str(lost),
    )


def row(case: Case, code: str, *cells: str) -> str:
    """Return a row of the table."""
    shape = "on" if case.is_cluster else "off"
    transport = "TLS" if case.tls else "TCP"
    filled = [*cells, *[""] * (4 - len(cells))]
    texts = [case.scenario, shape, transport, code, *filled]
    return f"| {' | '.join(text.replace('|', '/') for text in texts)} |"


async def rows(only: Sequence[str]) -> AsyncIterator[str]:
    """Run one case after the other; yield the rows."""
    for case in cases(only):
        if case.obstacle:
            yield row(case, "-", f"not possible: {case.obstacle}")
            continue
        with tempfile.TemporaryDirectory(prefix="loadprobe-matrix-") as name:
            if case.scenario not in _FROM_SOURCE:
                yield await carry_out(case, Path(name), None)
                continue
            source = LocalCluster(
                shards=1,
                replicas_per_shard=0,
                cluster_mode=False,
                tls=False,
                name="source",
            )
            async with source:
                yield await carry_out(case, Path(name), source)


async def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="SCENARIO")
    only = parser.parse_args().only
    print(_HEAD, flush=True)
    async for line in rows(only):
        print(line, flush=True)


if __name__ == "__main__":
    uvloop.run(main())
