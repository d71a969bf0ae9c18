"""Runs for integration tests: the command itself, as a person starts it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from loadprobe.config.keys import Config, Output

_COMMAND_S = 100.0


@dataclass(slots=True)
class Command:
    """A running ``loadprobe`` command."""

    process: asyncio.subprocess.Process
    output_dir: Path

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def wait(self) -> tuple[int, str]:
        """Return its exit code and all it wrote."""
        async with asyncio.timeout(_COMMAND_S):
            out, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode()

    @property
    def has_begun(self) -> bool:
        """Tell whether the load has begun."""
        return any(self.output_dir.glob("*/run.json"))

    @property
    def folder(self) -> Path:
        """Return the one run folder."""
        (folder,) = [path for path in self.output_dir.glob("[!.]*") if path.is_dir()]
        return folder

    def document(self, name: str) -> dict[str, Any]:
        """Return a JSON document of the run folder."""
        document: dict[str, Any] = json.loads((self.folder / name).read_bytes())
        return document

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of an NDJSON file of the run folder, after the header."""
        header, *rows = map(json.loads, (self.folder / name).read_text().splitlines())
        assert header["schema_version"] == 1
        return rows


@asynccontextmanager
async def run_command(
    config: Config, folder: Path, *options: str, within: Sequence[str] = ()
) -> AsyncIterator[Command]:
    """Start ``loadprobe run`` on a configuration file; it is gone after the block.

    Args:
        config: the configuration.
        folder: where the file and the run folders are written.
        options: of the command.
        within: words of a command that starts another one, elsewhere.
    """
    output_dir = folder / "runs"
    config = msgspec.structs.replace(config, output=Output(dir=str(output_dir)))
    path = folder / "run.toml"
    path.write_text(to_toml(config))
    process = await asyncio.create_subprocess_exec(
        *within,
        sys.executable,
        "-c",
        "from loadprobe.cli.app import main; main()",
        "run",
        str(path),
        *options,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"COLUMNS": "160", "NO_COLOR": "1"},
    )
    try:
        yield Command(process, output_dir)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


def to_toml(config: Config) -> str:
    """Return a configuration as a file; keys that are not set are left out."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    lines: list[str] = []
    tables: list[tuple[str, dict[str, Any]]] = []
    for key, value in plain.items():
        if isinstance(value, dict):
            tables.append((f"[{key}]", value))
        elif isinstance(value, list | tuple):
            tables += [(f"[[{key}]]", row) for row in value]
        elif value is not None:
            lines.append(f"{key} = {json.dumps(value)}")
    for title, table in tables:
        lines += ["", title]
        lines += [
            f"{key} = {_inline(value)}"
            for key, value in table.items()
            if value is not None and (key, value) != ("host", "")
        ]
    return "\n".join([*lines, ""])


def _inline(value: object) -> str:
    if isinstance(value, dict):
        given = {k: v for k, v in value.items() if v is not None}
        pairs = (f"{json.dumps(k)} = {json.dumps(v)}" for k, v in given.items())
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value)
