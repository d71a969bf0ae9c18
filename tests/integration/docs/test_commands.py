"""The commands of README and docs, carried out on a local cluster as they stand.

Only where they lead is another: the environment names the local servers and their API,
and lengths that a person would wait for are short.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import botocore.session
import pytest
import pytest_asyncio

from loadprobe.clock import mono_now_ns
from loadprobe.local.api.control_plane import ControlPlane
from loadprobe.local.api.plane import Knobs
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.docs_blocks import block

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

KNOBS = Knobs(modifying_delay_s=0.1, settle_delay_s=0.2, detect_s=0.1)
DEADLINE_S = 120.0
_SHORT = {"10m": "1s", "60": "1"}
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}


@pytest_asyncio.fixture(loop_scope="module")
async def plane() -> AsyncIterator[ControlPlane]:
    """Run an API without groups."""
    async with ControlPlane(knobs=KNOBS) as running:
        yield running


def environment(
    plane: ControlPlane, cluster: LocalCluster | None, folder: Path
) -> dict[str, str]:
    """Return an environment in which AWS is here."""
    found = {
        **_CREDENTIALS,
        "LOADPROBE_CONTROL_ENDPOINT_URL": plane.endpoint_url,
        "LOADPROBE_HTTP_LISTEN": "127.0.0.1:0",
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_RUNTIME_DIR": str(folder),
    }
    if cluster is not None:
        found["LOADPROBE_TARGET_CA_FILE"] = str(cluster.ca_file)
    return found


async def carry_out(
    words: list[str], *, folder: Path, env: Mapping[str, str]
) -> tuple[int, str]:
    """Run ``loadprobe`` in a folder; return exit code and output."""
    words = [_SHORT.get(word, word) for word in words]
    made = next(iter(sorted(folder.glob("runs/*"))), None)
    words = [
        f"runs/{made.name}" if re.match(r"runs/\d", word) and made else word
        for word in words
    ]
    if words[0] == "run" and not {"--dry-run", "--for"} & set(words):
        words += ["--yes"]
        if "--scenario" not in words and "--failover" not in words:
            words += ["--for", "1s"]  # else it goes on until a signal
        if "tls-migration" in words:
            words += ["--var", "pause_s=1"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadprobe", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **env},
        cwd=folder,
    )
    async with asyncio.timeout(DEADLINE_S):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_readme_on_your_own_cluster(plane: ControlPlane, tmp_path: Path) -> None:
    """The file and the commands under it, one after the other."""
    example = block("README.md", holding="# configuration endpoint")
    (tmp_path / "my.toml").write_text(example.text)
    commands = block("README.md", holding="loadprobe check my.toml").commands
    async with LocalCluster(shards=3, replicas_per_shard=1) as cluster:
        plane.add_group("my-cluster", cluster)
        env = environment(plane, cluster, tmp_path) | {
            "LOADPROBE_TARGET_HOST": cluster.host,
            "LOADPROBE_TARGET_PORT": str(cluster.port),
            "LOADPROBE_TARGET_TLS_PORT": str(cluster.tls_port),
        }
        try:
            for program, *words in commands:
                assert program == "loadprobe"
                code, text = await carry_out(words, folder=tmp_path, env=env)
                assert code == 0, (words, text)
        finally:
            await carry_out(["local", "down"], folder=tmp_path, env=env)


async def test_readme_ten_lines(plane: ControlPlane, tmp_path: Path) -> None:
    """The TLS migration with nothing but the name of the group."""
    example = block("README.md", holding="the endpoint is asked of the API")
    (tmp_path / "my.toml").write_text(example.text)
    commands = block("README.md", holding="asks for the name of the group").commands
    async with LocalCluster(shards=2, replicas_per_shard=1, tls_mode="none") as cluster:
        plane.add_group("my-cluster", cluster)
        env = environment(plane, cluster, tmp_path)
        for _, *words in commands:
            code, text = await carry_out(words, folder=tmp_path, env=env)
            assert code == 0, (words, text)
    assert re.search(r"required: tls +done in .* as planned tcp", text), text
    assert "tcp clients are cut off, as planned" in text


async def test_local_python(plane: ControlPlane, tmp_path: Path) -> None:
    """The programs of docs/local.md do what they show."""
    port = plane.endpoint_url.rpartition(":")[2]
    async with LocalCluster(shards=1, replicas_per_shard=1, tls_mode="none") as cluster:
        plane.add_group("local", cluster)
        text = block("docs/local.md", holding="import boto3").text
        text = text.replace("PORT", port)
        # Its waiter asks every minute.
        text = text.replace(".wait(", '.wait(WaiterConfig={"Delay": 1}, ')
        await asyncio.to_thread(exec, compile(text, "local.md", "exec"), {})
        assert len(cluster.shards[0].nodes) == 3
        faults = block("docs/local.md", holding="plane.faults.fail(").text
        exec(compile(faults, "local.md", "exec"), {"plane": plane})
    text = block("docs/local.md", holding="test_my_application").text
    names: dict[str, Any] = {}
    exec(compile(text, "local.md", "exec"), names)
    await names["test_my_application_survives_a_failover"]()


async def test_local_aws(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls of the AWS CLI in docs/local.md are taken, one after the other."""
    example = block("docs/local.md", holding="aws elasticache")
    async with LocalCluster(shards=3, replicas_per_shard=1) as cluster:
        plane.add_group("local", cluster)
        for words in example.commands:
            if words[0] == "export":
                for setting in words[1:]:
                    name, _, value = setting.partition("=")
                    port = plane.endpoint_url.rpartition(":")[2]
                    monkeypatch.setenv(name, value.replace("PORT", port))
            else:
                assert words[:2] == ["aws", "elasticache"]
                await asyncio.to_thread(call, words[2], words[3:])


def call(operation: str, words: list[str]) -> None:
    """Make a call as the AWS CLI does, as soon as its group takes it."""
    client = boto3.client("elasticache", region_name=os.environ["AWS_REGION"])
    name = "".join(part.capitalize() for part in operation.split("-"))
    model = botocore.session.get_session().get_service_model("elasticache")
    shape = model.operation_model(name).input_shape
    assert shape is not None
    members = shape.members
    arguments: dict[str, Any] = {}
    for flag, following in zip(words, [*words[1:], "--"], strict=True):
        if flag.startswith("--"):
            member = "".join(p.capitalize() for p in flag[2:].split("-"))
            kind = members[member].type_name
            value: Any = following
            if kind == "boolean":
                value = True
            elif kind == "integer":
                value = int(following)
            arguments[member] = value
    until_ns = mono_now_ns() + int(DEADLINE_S * 1e9)
    while True:
        try:
            getattr(client, operation.replace("-", "_"))(**arguments)
        except client.exceptions.InvalidReplicationGroupStateFault:
            # The call before is still under way; a person would wait, too.
            assert mono_now_ns() < until_ns, operation
        else:
            return
