"""`check --json` is JSON whatever servers say, and steers no terminal."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loadprobe.cli import check as command
from loadprobe.cli.app import app
from loadprobe.run.checks import Check


def test_what_servers_say_is_escaped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """C0 and C1 characters are escapes of JSON."""
    said = "redis \x9b2J\x1b]0;title\x07 \u202e"

    async def look(*_: object) -> AsyncIterator[Check]:
        yield Check("nodes", passed=True, detail=said)

    monkeypatch.setattr(command, "_look", look)
    path = tmp_path / "run.toml"
    path.write_text('[target]\nhost = "h"\n[[lanes]]\nname = "tcp"\n')
    done = CliRunner().invoke(app, ["check", str(path), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["checks"][0]["detail"] == said
    assert not set(done.stdout) & {"\x9b", "\x1b", "\x07", "\u202e"}
