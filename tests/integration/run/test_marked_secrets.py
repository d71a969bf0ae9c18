"""Every kind of secret carries a mark, and no mark is found where anybody may look."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.ports import free_ports
from loadprobe.outputs.folder.retention import Retention
from loadprobe.outputs.folder.upkeep import Order, UpkeepWork
from tests.scripted.hook import Answer, Hook
from tests.support.api_rig import Rig, rig
from tests.support.bad_input import Ended, environment, finish, start, toml
from tests.support.commands import family, kill_group
from tests.support.marked import Marks
from tests.support.running import until
from tests.support.service_manager import Manager
from tests.support.web_files import Files, hash_of

pytestmark = pytest.mark.alone

BY_ENV = {
    "target": "OUR_PASSWORD",
    "hook": "OUR_HOOK_URL",
    "remote": "OUR_REMOTE_PASSWORD",
    "token": "OUR_NEW_TOKEN",
}
NAMES = (*BY_ENV, "acl", "pagerduty", "bearer", "rotated", "user", "marker", "aws")
PAGES = ("/metrics", "/metrics/ms", "/healthz", "/readyz", "/api/v1/nothing")
API = ("status", "outages", "events", "budget", "maintenance", "topology")
SCENARIO = """
description = "Rotate the token"
baseline_s = 0.5
after_s = 0.5
[[steps]]
operation = "auth_rotate"
strategy = "rotate"
token_env = "OUR_NEW_TOKEN"
"""
BROKEN = """
import importlib
from loadprobe.cli.app import main

def broken(*words, **more):
    raise RuntimeError("forced")

owner = importlib.import_module("loadprobe.{module}")
*path, last = "{name}".split(".")
for each in path:
    owner = getattr(owner, each)
setattr(owner, last, broken)
main()
"""
BUGS: tuple[tuple[Sequence[str], str, str], ...] = (
    (("check",), "run.target_checks", "_ask"),
    (("run",), "run.pacing", "Pacing.look"),
    (("run",), "drivers.tls", "ssl.create_default_context"),
    (("webhooks", "test"), "outputs.webhooks.receiver", "_post"),
)
"""Commands, and what is broken in them: what knows a secret is on its way there."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A group with a password and a user, receivers, and all secrets in their places.

    Args:
        marks: the secrets.
        rigged: the group's API.
        cluster: the group.
        hook: receives notices.
        samples: receives samples of single milliseconds.
        folder: where files of secrets are, and below it the run folders.
    """

    marks: Marks
    rigged: Rig
    cluster: LocalCluster
    hook: Hook
    samples: Hook
    folder: Path

    @property
    def runs(self) -> Path:
        """Return where run folders are."""
        return self.folder / "runs"

    def env(self, *names: str) -> dict[str, str]:
        """Return the variables that hold secrets; names of those that not all need."""
        marks = self.marks
        url = f"{self.hook.url}/{marks['hook']}"
        found = {BY_ENV[name]: marks[name] for name in ("remote", *names)}
        found |= {BY_ENV["hook"]: url}
        keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": marks["aws"]}
        return found | keys | {"NOTIFY_SOCKET": str(self.folder / "notify")}

    def secret_file(self, name: str) -> str:
        """Write a secret to a file; return its path."""
        path = self.folder / f"secret-{name}"
        path.write_text(f"{self.marks[name]}\n")
        return str(path)

    def write(self, listen: str, **login: str) -> Path:
        """Write a configuration that uses all secrets; return its path."""
        cluster, web = self.cluster, Files(self.folder)
        tables: dict[str, dict[str, object]] = {
            "target": {
                "host": cluster.host,
                "port": cluster.port,
                "tls_port": cluster.tls_port,
                "ca_file": str(cluster.ca_file),
                **login,
            },
            "lanes": {"tls": True},
            "control": {
                "replication_group": "rg",
                "endpoint_url": self.rigged.plane.endpoint_url,
            },
            "output": {"dir": str(self.runs)},
            "http": {
                "listen": listen,
                "web_config_file": web.users(alice=hash_of(self.marks["user"])),
                "marks_token_file": self.secret_file("marker"),
            },
            "remote_write": {
                "url": self.samples.url,
                "username": "writer",
                "password_env": BY_ENV["remote"],
            },
        }
        hooks: list[dict[str, object]] = [
            {
                "kind": "json",
                "url_env": BY_ENV["hook"],
                "token_file": self.secret_file("bearer"),
            },
            {
                "kind": "pagerduty",
                "url": self.hook.url,
                "routing_key_file": self.secret_file("pagerduty"),
            },
        ]
        text = toml(tables)
        for keys in hooks:
            lines = [f"{k} = {v!r}" for k, v in {"name": keys["kind"], **keys}.items()]
            text += "\n".join(["[[webhooks]]", *lines, "min_dark_ms = 1", ""])
        path = self.folder / "run.toml"
        path.write_text(text)
        return path

    def assert_untold(self, ended: Ended) -> None:
        """Check what a command wrote, and all files of runs."""
        texts = {"out": ended.out, "err": ended.err}
        assert self.marks.seen_in_texts(texts) == {}
        assert self.marks.seen_in_files(self.runs) == {}

    def assert_processes(self, pid: int) -> None:
        """Check arguments and environments; only the command has what it was given."""
        shown = {member: self.marks.seen_in_process(member) for member in family(pid)}
        assert set(shown.pop(pid)) == {"environ"}
        assert shown, "the probe process is not found"
        assert set(map(str, shown.values())) == {"{}"}, shown


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """Start the group and the receivers, which are rude at first.

    They send back what came, addresses and headers included.
    """
    rude = [Answer(503, echoes=True)] * 2
    marks = Marks(NAMES)
    for user, name in (("alice", "user"), ("writer", "remote")):
        marks.add_login(user, name)
    async with (
        rig() as rigged,
        Hook(*rude) as hook,
        Hook(*rude) as samples,
        LocalCluster(
            shards=1, replicas_per_shard=0, name="rg", password=marks["target"]
        ) as cluster,
    ):
        (node,) = cluster.nodes
        rule = ("prober", "on", f">{marks['acl']}", "~*", "+@all")
        await node.command("ACL", "SETUSER", *rule)
        rigged.plane.add_group("rg", cluster)
        yield Stage(marks, rigged, cluster, hook, samples, folder)


def login_of(password: str) -> dict[str, str]:
    """Return the header of a login by HTTP."""
    return {"Authorization": aiohttp.encode_basic_auth("alice", password)}


async def pages_of(url: str, marks: Marks) -> Mapping[str, str]:
    """Return what is served, to whom may see it, to others, and to odd requests."""
    paths = (*PAGES, *(f"/api/v1/{name}" for name in (*API, "openapi.json")))
    login, wrong = login_of(marks["user"]), login_of(marks["user"] + "x")
    token = {"Authorization": f"Bearer {marks['marker']}"}
    texts: dict[str, str] = {}
    async with aiohttp.ClientSession() as session:
        for path in paths:
            async with session.get(url + path, headers=login) as reply:
                texts[path] = f"{reply.headers} {await reply.text()}"
                assert reply.status == (404 if path == PAGES[-1] else 200), path
        async with session.get(url, headers=wrong) as reply:
            assert reply.status == 401
            texts["wrong"] = f"{reply.headers} {await reply.text()}"
        for body, status in (({"text": "now"}, 201), ({"nonsense": 1}, 422)):
            where = f"{url}/api/v1/marks"
            async with session.post(where, json=body, headers=token) as reply:
                texts[f"mark {status}"] = f"{reply.headers} {await reply.text()}"
    return texts


async def reports_of(folder: Path) -> list[Ended]:
    """Return what each form of the report shows of a run folder."""
    forms: Sequence[str] = ("--full", "--json", "--markdown", "--html")
    started = [await start("report", str(folder), form) for form in forms]
    found = [await finish(process) for process in started]
    assert [ended.code for ended in found] == [0] * len(forms), found
    return found


async def test_a_sidecar_tells_no_secret(tmp_path: Path) -> None:
    """Not while it runs, has an outage, tells people, has a login renewed, and ends."""
    manager = Manager(tmp_path / "notify")
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    url = f"http://{listen}"
    async with staged(tmp_path) as stage:
        marks, (node,) = stage.marks, stage.cluster.nodes
        path = stage.write(
            listen, username="prober", password_file=stage.secret_file("acl")
        )
        process = await start("run", str(path), "--log-level", "debug", env=stage.env())
        try:
            heard: list[str] = []

            def is_ready() -> bool:
                heard.extend(manager.heard())
                return "READY=1" in heard

            await until(is_ready, what="a run that measures", within_s=40)
            stage.assert_processes(process.pid)
            # The former password is valid beside the new one, as at the provider.
            rule = ("ACL", "SETUSER", "prober", f">{marks['rotated']}")
            await node.command(*rule)
            (tmp_path / "secret-acl").write_text(f"{marks['rotated']}\n")

            def is_renewed() -> bool:
                (journal,) = stage.runs.glob("*/events.ndjson")
                return "logins_renewed" in journal.read_text()

            await until(is_renewed, what="lanes that log in anew")
            node.pause()
            await asyncio.sleep(0.5)
            assert node.pid is not None
            node.resume()

            def is_told() -> bool:
                notices = {request.path for request in stage.hook.taken}
                return len(notices) == 2 and bool(stage.samples.taken)

            await until(is_told, what="notices and samples")
            texts = await pages_of(url, marks)
            assert marks.seen_in_texts(texts) == {}
            process.send_signal(signal.SIGTERM)
            ended = await finish(process)
        finally:
            kill_group(process)
            heard += manager.heard()
            manager.close()
        assert ended.code == 0, ended
        assert any(line.startswith("STATUS=") for line in heard)
        assert marks.seen_in("\n".join(heard)) == set()
        assert '"level": "debug"' in ended.err or '"level": "info"' in ended.err
        stage.assert_untold(ended)
        (folder,) = stage.runs.glob("[!.]*")
        for shown in await reports_of(folder):
            stage.assert_untold(shown)
        assert (folder / "report.html").is_file()
        UpkeepWork(Order(str(folder), Retention(), first_growing=2)).carry_out()
        assert list(folder.rglob("*.zst")), "no segment was packed"
        assert marks.seen_in_files(stage.runs) == {}


async def test_a_rotation_by_a_scenario_tells_no_token(tmp_path: Path) -> None:
    """The new token comes by a variable, and reaches no child, log, event or file."""
    manager = Manager(tmp_path / "notify")
    async with staged(tmp_path) as stage:
        path = stage.write("", password_env=BY_ENV["target"])
        scenario = tmp_path / "rotation.toml"
        scenario.write_text(SCENARIO)
        words = ("--scenario", str(scenario), "--yes", "--log-level", "debug")
        process = await start(
            "run", str(path), *words, env=stage.env("target", "token")
        )
        try:
            await until(
                lambda: bool(manager.heard()), what="a run that measures", within_s=40
            )
            stage.assert_processes(process.pid)
            ended = await finish(process)
        finally:
            kill_group(process)
            manager.close()
        assert ended.code == 0, ended
        (folder,) = stage.runs.glob("[!.]*")
        assert "auth_rotate" in (folder / "events.ndjson").read_text()
        stage.assert_untold(ended)


async def test_a_traceback_tells_no_secret(tmp_path: Path) -> None:
    """A bug of ours ends a command with a traceback; it shows no values."""
    async with staged(tmp_path) as stage:
        path = stage.write("", password_env=BY_ENV["target"])
        started = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", BROKEN.format(module=module, name=name)),
                *(*words, str(path), "--log-level", "debug"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment(stage.env("target")),
                start_new_session=True,
            )
            for words, module, name in BUGS
        ]
        try:
            for process in started:
                ended = await finish(process)
                assert ended.code != 0
                assert "RuntimeError: forced" in ended.err, ended
                stage.assert_untold(ended)
        finally:
            for process in started:
                kill_group(process)
