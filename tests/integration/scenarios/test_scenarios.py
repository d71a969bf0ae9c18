"""The shipped scenarios, in a short form, on real clusters under load."""

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from rich.console import Console

from loadprobe.config.keys import Config, Control, Output
from loadprobe.control.scenario.file import Scenario, load_scenario
from loadprobe.core.topology.slots import SLOTS
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster, TlsMode
from loadprobe.local.cluster.servers import find_engine
from loadprobe.run.launch import RunOptions, run_load
from tests.support.running import config_of, named_target, small_lane, target_of

pytestmark = pytest.mark.alone

KNOBS = Knobs(
    modifying_delay_s=0.2, settle_delay_s=0.2, endpoint_delay_s=0.5, endpoint_ttl_s=0
)
BOTH_SHAPES = pytest.mark.parametrize("cluster_mode", [True, False])
LANE = {"workers": 200, "rate_per_s": 1000.0, "keys": 1000}


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run left behind."""

    code: int
    text: str
    summary: Mapping[str, Any]
    outages: list[Mapping[str, Any]]
    events: list[Mapping[str, Any]]

    @property
    def scenario(self) -> Mapping[str, Any]:
        """Return how the scenario went."""
        scenario: Mapping[str, Any] = self.summary["scenario"]
        return scenario

    def states(self) -> dict[str, str]:
        """Return step -> how it ended."""
        return {step["name"]: step["state"] for step in self.scenario["steps"]}

    def of(self, lane: str) -> Mapping[str, Any]:
        """Return the summary of a lane."""
        found: Mapping[str, Any] = next(
            each for each in self.summary["lanes"] if each["name"] == lane
        )
        return found

    def why(self) -> str:
        """Return what went wrong, first; then all that the run told."""
        ends = [(s["name"], s["state"], s["reason"]) for s in self.scenario["steps"]]
        problems = [t for t in self.text.splitlines() if t.startswith("PROBLEM")]
        unmet = [c for c in self.scenario["expectations"] if not c["is_met"]]
        first = (self.scenario["state"], self.scenario["reason"], ends, problems, unmet)
        return f"exit code {self.code}, {first}\n{self.text}"

    def check(self, *, may_lose: bool = False) -> None:
        """Check what holds for every scenario."""
        assert self.code == 0, self.why()
        assert self.scenario["state"] == "completed", self.why()
        assert set(self.states().values()) == {"settled"}, self.why()
        assert self.summary["wrong"] == 0, self.why()
        if not may_lose:
            assert self.summary["lost_writes"] == 0, self.why()
            assert self.summary["stale_reads"] == 0, self.why()
        assert all(c["is_met"] for c in self.scenario["expectations"]), self.why()


@asynccontextmanager
async def rehearsing(
    tls_mode: TlsMode = "preferred", knobs: Knobs = KNOBS, **more: Any
) -> AsyncIterator[tuple[LocalCluster, ControlPlane]]:
    """Run a small group with its API."""
    shape: dict[str, Any] = {"shards": 2, "replicas_per_shard": 1, "name": "rg"}
    if not more.get("cluster_mode", True):
        shape |= {"shards": 1, "replicas_per_shard": 2}
    async with (
        LocalCluster(tls_mode=tls_mode, **(shape | more)) as cluster,
        ControlPlane(knobs=knobs) as plane,
    ):
        plane.add_group("rg", cluster)
        yield cluster, plane


def short(name: str, **variables: str) -> Scenario:
    """Return a shipped scenario without its long holds."""
    scenario = load_scenario(name, variables)
    steps = tuple(
        msgspec.structs.replace(step, hold_before_s=0.0, hold_after_s=0.3)
        for step in scenario.steps
    )
    return replace(scenario, steps=steps, baseline_s=1.0, after_s=1.0)


def config_for(plane: ControlPlane, tmp_path: Path, *, tls: bool = True) -> Config:
    """Return a configuration with a TCP lane, and a TLS lane if wanted."""
    lanes = [small_lane("tcp", **LANE)]
    if tls:
        lanes.append(small_lane("tls", tls=True, **LANE))
    return config_of(
        named_target(plane, "rg"),
        *lanes,
        control=Control("rg", endpoint_url=plane.endpoint_url),
        output=Output(dir=str(tmp_path / "runs")),
    )


async def carry_out(config: Config, scenario: Scenario, **more: Any) -> Ran:
    """Run a scenario to its end."""
    text = io.StringIO()
    options = RunOptions(scenario=scenario, is_full=True, **more)
    code = await run_load(config, options, console=Console(file=text, width=120))
    (folder,) = Path(config.output.dir).glob("[!.]*")
    events = (folder / "events.ndjson").read_bytes().splitlines()
    return Ran(
        code,
        text.getvalue(),
        orjson.loads((folder / "summary.json").read_bytes()),
        orjson.loads((folder / "outages.json").read_bytes())["outages"],
        [orjson.loads(line) for line in events[1:]],
    )


@BOTH_SHAPES
async def test_tls_migration(tmp_path: Path, *, cluster_mode: bool) -> None:
    """Nobody is down but the TCP lane, by plan, while plaintext is refused."""
    async with rehearsing("none", cluster_mode=cluster_mode) as (_, plane):
        config = config_for(plane, tmp_path)
        ran = await carry_out(config, short("tls-migration"))
    ran.check()
    unplanned = [o for o in ran.outages if o["attribution"] != "planned"]
    assert unplanned == []
    for lane in ("tcp", "tls"):
        assert ran.of(lane)["downtime_ms"]["any_shard"]["estimate"] == 0, ran.text
    planned = {o["lane"] for o in ran.outages}
    assert planned == {"tcp", "tls"}
    ends = [e for e in ran.events if e["kind"] == "endpoint"]
    tcp = [e["fields"]["state"] for e in ends if not e["fields"]["tls"]]
    assert {"refused", "cut"} <= set(tcp), ends
    by_name = {step["name"]: step for step in ran.scenario["steps"]}
    required_ns = next(
        e["wall_ns"]
        for e in ran.events
        if e["kind"] == "phase"
        and e["fields"]["phase"] == "api_call"
        and e["fields"]["step"] == "required"
    )
    first_ns = min(o["start_unix_ns"] for o in ran.outages if o["lane"] == "tcp")
    assert first_ns > required_ns
    assert "required" in by_name


async def test_client_matrix(tmp_path: Path) -> None:
    """One failover by the API, and the clients of the scenario beside the witness."""
    async with rehearsing("none", shards=3) as (_, plane):
        config = msgspec.structs.replace(
            config_for(plane, tmp_path, tls=False), lanes=(small_lane("wire"),)
        )
        scenario = short("client-matrix", workers="5", rate_per_s="60")
        # Cores for two clients beside the witness and six servers are not here.
        kept = tuple(
            lane for lane in scenario.lanes if lane.name in ("as-it-comes", "lean")
        )
        scenario = replace(scenario, lanes=kept, baseline_s=4.0)
        ran = await carry_out(config, scenario)
    ran.check(may_lose=True)
    assert {lane["name"] for lane in ran.summary["lanes"]} == {
        "wire",
        "as-it-comes",
        "lean",
    }
    (comparison,) = [c for c in ran.summary["clients"] if c["about"] == "failover"]
    witness, *clients = comparison["rows"]
    assert (witness["lane"], witness["rank"]) == ("wire", None)
    assert witness["dark_ms"]["lower"] > 0
    # Bars of their returns that overlap tell nothing: then they share a rank.
    assert [row["rank"] for row in clients] in ([1, 1], [1, 2])
    back = [row["recovered_ms"] for row in clients]
    assert back == sorted(back)
    for row in clients:
        assert row["beyond_witness_ms"]["lower"] <= row["dark_ms"]["upper"]
        assert row["rates"]["connects_per_s"] > row["rates_at_rest"]["connects_per_s"]
        assert row["rates_at_rest"]["attempts_per_arrival"] == pytest.approx(1, abs=0.2)
    by_lane = {row["lane"]: row for row in clients}
    assert by_lane["lean"]["raised"] > 0
    assert not by_lane["lean"]["is_hiding"]
    assert any(
        text.startswith("failover: client lanes by their return")
        for text in ran.summary["verdict"]
    )
    assert "Clients beside each other: failover" in ran.text


async def test_the_clients_without_cluster_mode(tmp_path: Path) -> None:
    """They follow the name, and are back no sooner than it has moved."""
    knobs = replace(KNOBS, detect_s=0.4, endpoint_delay_s=1.0)
    async with rehearsing("none", knobs, cluster_mode=False) as (_, plane):
        config = msgspec.structs.replace(
            config_for(plane, tmp_path, tls=False), lanes=(small_lane("wire"),)
        )
        scenario = short("client-matrix", workers="5", rate_per_s="60")
        kept = tuple(lane for lane in scenario.lanes if lane.name in ("tight", "lean"))
        ran = await carry_out(config, replace(scenario, lanes=kept, baseline_s=3.0))
    ran.check(may_lose=True)
    dark = {
        lane["name"]: lane["downtime_ms"]["any_shard"] for lane in ran.summary["lanes"]
    }
    for client in ("tight", "lean"):
        assert dark[client]["upper"] >= dark["wire"]["lower"] + 900, ran.text


async def test_failover_without_cluster_mode(tmp_path: Path) -> None:
    """The lanes are back before the name is; that it was late is a phase of its own."""
    knobs = replace(KNOBS, detect_s=0.4, endpoint_delay_s=1.5)
    async with rehearsing(knobs=knobs, cluster_mode=False) as (_, plane):
        config = config_for(plane, tmp_path)
        ran = await carry_out(config, short("failover-each-shard"))
    ran.check(may_lose=True)
    assert {(o["lane"], o["shard"]) for o in ran.outages} == {
        ("tcp", "0001"),
        ("tls", "0001"),
    }
    (step,) = ran.scenario["steps"]
    at = {each["phase"]: each["offset_ms"] for each in step["phases"]}
    assert at["promoted"] + 1000 < at["endpoint_moved"] < at["settled"]
    for lane in step["lanes"]:
        served = {each["phase"]: each["offset_ms"] for each in lane["phases"]}
        assert served["first_served"] + 1000 < at["endpoint_moved"]
    assert "the endpoint points to the new primary" in ran.text


async def test_the_demo_without_cluster_mode(tmp_path: Path) -> None:
    """TLS on, a failover on both transports, plaintext off: dark by plan from then."""
    knobs = replace(KNOBS, detect_s=0.4)
    async with rehearsing("none", knobs, cluster_mode=False) as (_, plane):
        config = config_for(plane, tmp_path)
        ran = await carry_out(config, short("demo", shard="0001"))
    ran.check(may_lose=True)
    causes = {(o["lane"], o["attribution"]) for o in ran.outages}
    expected = {("tcp", "shard"), ("tls", "shard"), ("tcp", "planned")}
    # TLS may be served and not, for a moment, while it is being switched on.
    assert causes - {("tls", "transport")} == expected, ran.outages


async def test_failover_each_shard(tmp_path: Path) -> None:
    """Every shard fails over once, one after the other, and is dark on both lanes."""
    # Elections are waited for in test_run_failover.py.
    knobs = replace(KNOBS, detect_s=0.4)
    async with rehearsing(shards=3, knobs=knobs) as (_, plane):
        config = config_for(plane, tmp_path)
        ran = await carry_out(config, short("failover-each-shard"))
    ran.check(may_lose=True)
    assert {(o["lane"], o["shard"]) for o in ran.outages} == {
        (lane, shard) for lane in ("tcp", "tls") for shard in ("0001", "0002", "0003")
    }


def _check_resharding(ran: Ran, moved: Mapping[str, int]) -> None:
    """Check that slots came to a new shard, and back, and that lanes followed them."""
    for step in ran.scenario["steps"]:
        if step["name"] in ("out", "in"):
            assert 1_000 < moved[step["name"]] <= SLOTS, ran.text
            phases = {phase["phase"]: phase["offset_ms"] for phase in step["phases"]}
            assert phases["slots_first_moved"] <= phases["slots_last_moved"]
            followed = [lane["redirects"].get("moved", 0) for lane in step["lanes"]]
            assert sum(followed) > 0, ran.text


@BOTH_SHAPES
async def test_what_must_not_lose_anything(
    tmp_path: Path, *, cluster_mode: bool
) -> None:
    """Changes of shards, replicas and nodes lose no write and no shard.

    Four scenarios in one run: each of them leaves the group as it was.
    """
    names = ["scale-out-in", "replicas", "node-type", "service-update"]
    if not cluster_mode:
        names.remove("scale-out-in")
    scenarios = [short(name) for name in names]
    together = replace(
        scenarios[0], steps=tuple(s for each in scenarios for s in each.steps)
    )
    async with rehearsing(cluster_mode=cluster_mode) as (_, plane):
        config = config_for(plane, tmp_path)
        ran = await carry_out(config, together)
    ran.check()
    moved = {step["name"]: step["slots_moved"] for step in ran.scenario["steps"]}
    if cluster_mode:
        _check_resharding(ran, moved)
    assert not any(moved[name] for name in ("more", "up", "apply_update"))
    assert list(ran.states()) == [
        *(("out", "in") if cluster_mode else ()),
        *("more", "fewer"),
        *("up", "down"),
        "apply_update",
    ]


@BOTH_SHAPES
async def test_engine_upgrade(tmp_path: Path, *, cluster_mode: bool) -> None:
    """Every process is replaced by the other server program."""
    redis = find_engine("redis", "7.0")
    shape: dict[str, Any] = {"server": redis.path, "cluster_mode": cluster_mode}
    async with rehearsing("none", **shape) as (cluster, plane):
        config = config_for(plane, tmp_path, tls=False)
        scenario = short("engine-upgrade", version="9.1", engine="valkey")
        ran = await carry_out(config, scenario)
        engines = {node.server.engine for node in cluster.nodes}
    ran.check()
    assert engines == {"valkey"}


@BOTH_SHAPES
async def test_auth_rotation(tmp_path: Path, *, cluster_mode: bool) -> None:
    """A new token is in use, the old one is refused, and nobody noticed."""
    secret = tmp_path / "password"
    secret.write_text("the-first-password-of-all\n")
    token = tmp_path / "token"
    shape: dict[str, Any] = {"password": secret.read_text().strip()}
    shape["cluster_mode"] = cluster_mode
    async with rehearsing("required", **shape) as (_, plane):
        target = named_target(plane, "rg", password_file=str(secret))
        config = msgspec.structs.replace(
            config_for(plane, tmp_path),
            target=target,
            lanes=(small_lane("tls", tls=True, **LANE),),
        )
        ran = await carry_out(config, short("auth-rotation", token_file=str(token)))
    ran.check()
    assert ran.outages == []
    written = token.read_text().strip()
    assert written not in ran.text
    assert not any(written.encode() in orjson.dumps(event) for event in ran.events)


async def test_migration(tmp_path: Path) -> None:
    """The lane moves from a server of our own to the group, and finds its data."""
    source = LocalCluster(
        shards=1, replicas_per_shard=0, cluster_mode=False, tls=False, name="source"
    )
    async with (
        source,
        rehearsing("none", cluster_mode=False) as (_, plane),
    ):
        target = target_of(source, name_server=plane.name_server)
        config = msgspec.structs.replace(
            config_for(plane, tmp_path, tls=False), target=target
        )
        scenario = short(
            "migration", source_host=source.host, source_port=str(source.port)
        )
        ran = await carry_out(config, scenario)
    ran.check(may_lose=True)
    # What the source took after the promotion is not in the group, and we know it.
    assert ran.summary["lost_writes"] > 0


@BOTH_SHAPES
async def test_watch(tmp_path: Path, *, cluster_mode: bool) -> None:
    """Nothing is called, and what others do is recorded."""
    async with rehearsing(shards=1, cluster_mode=cluster_mode) as (_, plane):
        config = config_for(plane, tmp_path)
        ran = await carry_out(config, short("watch"), duration_s=1.5)
    assert ran.code == 0, ran.text
    assert ran.scenario["state"] == "completed"
    assert not any(e["kind"] == "phase" for e in ran.events)
