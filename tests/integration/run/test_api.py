"""A whole run behind a login: what the API says meanwhile is what the files say."""

import signal
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt

from loadprobe.config.keys import Http
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.ports import free_ports
from tests.support.run_command import run_command
from tests.support.running import config_of, small_lane, target_of, until

LOGIN = {"Authorization": aiohttp.encode_basic_auth("ops", "hunter2")}


class Client:
    """Asks the API of a run, and remembers what it said."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1/"
        self.said: dict[str, Any] = {}

    async def ask(self, path: str, **options: Any) -> Any:
        """Return the JSON of a reply; None as long as nobody listens."""
        method = "POST" if options else "GET"
        try:
            async with (
                aiohttp.ClientSession(headers=LOGIN) as session,
                session.request(method, self._base + path, **options) as reply,
            ):
                assert reply.status in (200, 201), await reply.text()
                self.said[path] = await reply.json()
        except aiohttp.ClientConnectionError:
            self.said[path] = None
        return self.said[path]

    async def until_state(self, shard: str, *states: str) -> None:
        """Wait until the status shows a shard in one of some states."""
        for _ in range(500):
            status = await self.ask("status")
            lanes = status["lanes"] if status is not None else []
            if lanes and lanes[0]["shards"].get(shard, {}).get("state") in states:
                return
            await until_next()
        raise AssertionError(f"{shard} never was {states}: {self.said['status']}")


async def until_next() -> None:
    """Wait for about one round of judging."""
    ticks = iter([False, False, True])
    await until(lambda: next(ticks), what="a moment")


async def test_the_api_of_a_run(tmp_path: Path) -> None:
    """Shards, outages, marks and the topology are told while they happen."""
    hashed = bcrypt.hashpw(b"hunter2", bcrypt.gensalt(4)).decode()
    web_config = tmp_path / "web-config.yml"
    web_config.write_text(f"basic_auth_users: {{ops: {hashed}}}\n")
    (port,) = free_ports(1)
    http = Http(listen=f"127.0.0.1:{port}", web_config_file=str(web_config))
    client = Client(port)
    async with LocalCluster(
        shards=3, replicas_per_shard=0, tls=False, node_timeout_ms=30_000
    ) as cluster:
        config = config_of(target_of(cluster), small_lane(), http=http)
        node = await cluster.primary_of("0002")
        async with run_command(config, tmp_path) as command:
            await client.until_state("0002", "lit", "blank")
            await client.ask("marks", json={"text": "node 2 is stopped"})
            node.pause()
            await client.until_state("0002", "dark")
            assert {
                name: shard["state"] == "dark"
                for name, shard in client.said["status"]["lanes"][0]["shards"].items()
            } == {"0001": False, "0002": True, "0003": False}
            while not (await client.ask("outages?shard=0002"))["outages"]:
                await until_next()
            first = client.said["outages?shard=0002"]["outages"][0]
            assert (first["is_open"], first["open_end"]) == (True, True)
            node.resume()
            rows = [first]
            while all(row["is_open"] for row in rows):
                await until_next()
                rows = (await client.ask("outages?shard=0002"))["outages"]
            topology = await client.ask("topology")
            events = (await client.ask("events?limit=1000"))["events"]
            command.send(signal.SIGTERM)
            code, text = await command.wait()
    assert code == 0, text
    assert [shard["name"] for shard in topology["shards"]] == ["0001", "0002", "0003"]
    assert "operator: node 2 is stopped" in text
    written = command.lines("events.ndjson")
    told = [{k: v for k, v in event.items() if k != "number"} for event in events]
    assert told == written[: len(told)]
    assert "mark" in {event["kind"] for event in written}
    ended = {(r["start_unix_ns"], r["op"]) for r in rows if not r["is_open"]}
    final = command.document("outages.json")["outages"]
    assert ended
    assert ended <= {(row["start_unix_ns"], row["op"]) for row in final}
    everything = text.encode() + b"".join(
        path.read_bytes() for path in command.folder.rglob("*") if path.is_file()
    )
    assert b"hunter2" not in everything
    assert hashed.encode() not in everything
