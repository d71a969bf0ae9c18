"""The connection of ssh, with another program of that name."""

import asyncio
import json
from pathlib import Path

import pytest

from loadprobe.config.keys import Config, Lane, Target, Tunnel
from loadprobe.control.reach.ssh import SshConnection
from loadprobe.control.reach.ways import tunnelled
from loadprobe.errors import NotThereYet, PreflightError


def pretend(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Put a program on the path that is called ssh."""
    program = folder / "ssh"
    program.write_text(f"#!/usr/bin/env python3\nimport json, os, sys\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


async def test_what_it_says_is_read_to_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A line without an end neither stops it, nor what is told of it later."""
    said = 'os.write(2, b"x" * 300_000); os.write(2, b"\\nthe last word\\n")'
    pretend(monkeypatch, tmp_path, said)
    connection = SshConnection(Tunnel("bastion"), print)
    try:
        async with asyncio.timeout(10):
            with pytest.raises(NotThereYet, match="the last word"):
                await connection.open()
        assert len(connection.reason) < 4_000
    finally:
        await connection.close()


async def test_ssh_inherits_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nor is one among its arguments; a proxy command may need those of the SDK."""
    told = tmp_path / "told"
    script = f"json.dump([sys.argv, dict(os.environ)], open({str(told)!r}, 'w'))"
    pretend(monkeypatch, tmp_path, script)
    for name in ("OUR_PASSWORD", "OUR_TOKEN", "AWS_SECRET_ACCESS_KEY", "OTHER"):
        monkeypatch.setenv(name, f"the value of {name}")
    target = Target("cfg", password_env="OUR_PASSWORD", tunnel=Tunnel("bastion"))
    config = Config(target=target, lanes=(Lane(name="tcp"),))
    with pytest.raises(PreflightError):
        async with tunnelled(config, withheld={"OUR_TOKEN", "AWS_SECRET_ACCESS_KEY"}):
            raise AssertionError("it was opened")
    arguments, environment = json.loads(told.read_text())
    assert environment.keys() & {"OUR_PASSWORD", "OUR_TOKEN"} == set()
    assert environment.keys() >= {"AWS_SECRET_ACCESS_KEY", "OTHER"}
    assert not any("the value" in word for word in arguments)


async def test_a_session_goes_by_the_connection_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the connection nobody is asked who has the name that stands for it."""
    told = tmp_path / "told"
    script = f"json.dump([sys.argv, dict(os.environ)], open({str(told)!r}, 'w'))"
    pretend(monkeypatch, tmp_path, script)
    monkeypatch.setenv("OUR_TOKEN", "a secret")
    connection = SshConnection(Tunnel("bastion"), print, withheld={"OUR_TOKEN"})
    try:
        session = await connection.run("cat")
        await session.communicate()
    finally:
        await connection.close()
    (_, *arguments), environment = json.loads(told.read_text())
    assert "OUR_TOKEN" not in environment
    asked = ["/usr/bin/ssh", "-G", *arguments[:-1]]
    meant = await asyncio.create_subprocess_exec(*asked, stdout=asyncio.subprocess.PIPE)
    printed, _ = await meant.communicate()
    assert "proxycommand false" in printed.decode().splitlines()
