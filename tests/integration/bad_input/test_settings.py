"""The real command with bad files, variables or flags: what was meant is told."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.bad_input import (
    NOBODY_LISTENS,
    Servers,
    assert_both_refuse,
    assert_refused,
    config_of,
    finish,
    serving,
    start,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Start the server once."""
    async with serving(tmp_path_factory.mktemp("bad-input")) as started:
        yield started


async def test_a_bad_file(tmp_path: Path) -> None:
    """A mistyped key is told with its file, its path and the key that was meant."""
    path = tmp_path / "run.toml"
    path.write_text('[target]\nhost = "h"\n[[lanes]]\nname = "a"\ndeadline = "1s"\n')
    await assert_both_refuse(
        path, f"{path}: lanes[0].deadline: unknown key; did you mean 'deadline_ms'?"
    )


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["run"], "Missing argument 'CONFIG'"),
        (["run", "x.toml", "--bogus"], "--bogus"),
        (["run", "{path}", "--for", "ten minutes"], "write a number with its unit"),
        (["run", "{path}", "--for", "0s"], "expected more than 0"),
        (["run", "{path}", "--failover-after", "5"], "--failover-after '5' is not"),
        (["report", "{path}/none"], "none"),
    ],
)
async def test_wrong_commands(
    words: list[str], part: str, servers: Servers, tmp_path: Path
) -> None:
    """A wrong command is one short line, too."""
    path = str(config_of(servers, tmp_path))
    filled = [word.format(path=path) for word in words]
    assert_refused(await finish(await start(*filled)), part)


async def test_a_failover_without_a_group(servers: Servers, tmp_path: Path) -> None:
    """A failover needs to know the replication group, and says where to put it."""
    path = config_of(servers, tmp_path)
    ended = await finish(await start("run", str(path), "--failover", "0001"))
    assert_refused(ended, "--failover 0001", "add [control] replication_group")


async def test_the_environment_overrides(servers: Servers, tmp_path: Path) -> None:
    """A variable replaces a key of the file; a mistyped one is refused."""
    path = config_of(servers, tmp_path, target={"port": NOBODY_LISTENS})
    right = {"LOADPROBE_TARGET_PORT": str(servers.closed.port)}
    assert (await finish(await start("check", str(path), env=right))).code == 0
    wrong = {"LOADPROBE_TARGET_PROT": "1"}
    await assert_both_refuse(
        path,
        "LOADPROBE_TARGET_PROT: ",
        "did you mean 'LOADPROBE_TARGET_PORT'",
        env=wrong,
    )
