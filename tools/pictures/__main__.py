"""Makes the pictures of docs/dashboards.md: real runs, a real Prometheus, a browser."""

import argparse
import asyncio
import json
import subprocess
import tempfile
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from loadprobe.clock import NS_PER_S, wall_now_ns
from loadprobe.local.cluster.ports import free_ports
from tools.pictures.answers import ask
from tools.pictures.draw import draw
from tools.pictures.queries import Query, Shown
from tools.stack import ROOT, prometheus, run

UPLOT = "uplot@1.6.32"
SCRAPE_S = 2
PICTURES = {
    "maintenance-verdict": (
        "maintenance",
        "Verdict of the time shown",
        "Down, at worst",
        "Outages",
        "Dark, at worst",
        "Dark by plan",
        "Available, at worst",
        "Still open",
        "Failed arrivals",
        "Damage",
        "Probe blind",
        "Who was dark, and when",
        "Shards",
        "Scopes",
    ),
    "maintenance-load": (
        "maintenance",
        "Load",
        "Arrivals not served, by class",
        "Offered and served",
        "Responses of a step",
        "Quantiles",
    ),
    "maintenance-film": ("maintenance", "Film", "Arrivals of each failing millisecond"),
    "maintenance-rest": (
        "maintenance",
        "What was done",
        "Phases of operations",
        "Events of the provider",
        "Topology",
        "Nodes",
        "Slots",
        "Shards and nodes",
        "Can it be trusted: the probe itself",
        "Schedule lateness",
        "Loop lag",
    ),
    "shards": ("shards",),
    "fleet": ("fleet",),
}


def _now_s() -> float:
    return wall_now_ns() / NS_PER_S


def _mark(port: int, folder: Path) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/marks",
        data=json.dumps({"text": "the window begins"}).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {(folder / 'token').read_text().strip()}",
        },
    )
    urllib.request.urlopen(request, timeout=10).close()


async def _is_ready(port: int) -> bool:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        try:
            async with session.get("/readyz") as answer:
                return answer.status == HTTPStatus.OK
        except aiohttp.ClientError:
            return False


async def _runs(folder: Path, port: int) -> tuple[float, float]:
    """Run what the demo does, then failovers; return start and end of the first."""
    async with run(
        folder,
        *("--scenario", "demo", "--yes", "--for", "70s"),
        name="window",
        shards=3,
        probe_port=port,
        tls_mode="none",
    ) as process:
        while not await _is_ready(port):
            assert process.returncode is None, (folder / "window.log").read_text()
            await asyncio.sleep(0.2)
        await asyncio.sleep(7)
        begun_s = _now_s() - 6
        await asyncio.to_thread(_mark, port, folder)
        await asyncio.sleep(55)
        end_s = _now_s()
        assert process.returncode is None, (folder / "window.log").read_text()
    for shards in (2, 4):
        async with run(
            folder,
            *("--scenario", "failover", "--var", "shard=0002", "--yes"),
            name=f"shards-{shards}",
            shards=shards,
            probe_port=port,
        ) as process:
            await process.wait()
    return begun_s, end_s


def _outage_s(url: str, shown: Shown) -> float:
    """Return when the failover of the window was called."""
    started = "loadprobe_controller_phase_start_timestamp_seconds"
    query = f'max({started}{{operation="failover",phase="api_call"}})'
    series = ask(url, Query("the film", query), shown)
    return float(series[0]["value"][1])


async def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(prog="make pictures", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "img")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"pictures: getting {UPLOT} with npm")
        await asyncio.to_thread(
            subprocess.run,
            ["npm", "install", "--silent", "--prefix", name, UPLOT],
            check=True,
        )
        (port,) = free_ports(1)
        async with prometheus(folder, probe_port=port, scrape=f"{SCRAPE_S}s") as url:
            print("pictures: three runs, three minutes")
            begun_s, end_s = await _runs(folder, port)
            window = Shown(begun_s, end_s, SCRAPE_S)
            outage_s = _outage_s(url, window)
            film = Shown(round(outage_s, 3) - 1, round(outage_s, 3) + 10, SCRAPE_S)
            all_runs = Shown(begun_s, _now_s(), SCRAPE_S, {"step": "5s"})
            shown: dict[str, Shown] = {
                "maintenance-film": film,
                "shards": all_runs,
            }
            for picture, (file, *titles) in PICTURES.items():
                dashboard: dict[str, Any] = json.loads(
                    (ROOT / "grafana" / f"{file}.json").read_text()
                )
                path = given.output / f"{picture}.png"
                await asyncio.to_thread(
                    draw,
                    url,
                    dashboard,
                    shown.get(picture, window),
                    path,
                    uplot=folder / "node_modules" / "uplot" / "dist",
                    titles=titles,
                )
                print(f"pictures: {path}, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
