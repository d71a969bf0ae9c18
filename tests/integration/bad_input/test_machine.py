"""The real command on a machine that lacks something: one line before the run."""

import resource
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.bad_input import (
    NOBODY_LISTENS,
    SECRET,
    Servers,
    assert_both_refuse,
    config_of,
    serving,
)
from tests.support.small_disk import mounted

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Start the server once."""
    async with serving(tmp_path_factory.mktemp("bad-input")) as started:
        yield started


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 52 MB."""
    with mounted(tmp_path / "disk", size="52m") as path:
        yield path


async def test_a_port_in_use(servers: Servers, tmp_path: Path) -> None:
    """A taken port of [http] is told with its address, and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        http: dict[str, object] = {"listen": f"127.0.0.1:{port}"}
        path = config_of(servers, tmp_path, http=http)
        await assert_both_refuse(
            path, f"port {port} on 127.0.0.1 is in use", "set [http] listen"
        )


async def test_an_address_for_everybody(servers: Servers, tmp_path: Path) -> None:
    """Metrics are not served to the network."""
    path = config_of(servers, tmp_path, http={"listen": "0.0.0.0:9121"})
    await assert_both_refuse(path, "0.0.0.0 is not a loopback address", "use 127.0.0.1")


async def test_too_few_files(servers: Servers, tmp_path: Path) -> None:
    """`ulimit -n 256` is too little for 200 workers, and is told in figures."""
    path = config_of(servers, tmp_path, lanes={"workers": 200})
    await assert_both_refuse(
        path,
        "a process may open 256 files",
        "needs 264; raise `ulimit -Hn` to that",
        before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
    )


async def test_a_full_disk_before_the_run(
    servers: Servers, tmp_path: Path, disk: Path
) -> None:
    """A run is not begun on a disk that is nearly full."""
    (disk / "ballast").write_bytes(b"x" * 40 * 2**20)
    output: dict[str, object] = {"dir": str(disk / "runs")}
    path = config_of(servers, tmp_path, output=output)
    await assert_both_refuse(path, str(disk), "MB are needed; free some, or set")


async def test_a_file_for_a_folder(servers: Servers, tmp_path: Path) -> None:
    """Run folders cannot go where a file is."""
    output: dict[str, object] = {"dir": str(servers.password_file)}
    path = config_of(servers, tmp_path, output=output)
    await assert_both_refuse(
        path, str(servers.password_file), "set [output] dir to a folder"
    )


async def test_an_api_that_is_not_there(servers: Servers, tmp_path: Path) -> None:
    """An API that cannot be reached is found out before the run."""
    url = f"http://127.0.0.1:{NOBODY_LISTENS}"
    control: dict[str, object] = {"replication_group": "none", "endpoint_url": url}
    path = config_of(servers, tmp_path, control=control)
    env = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": SECRET}
    await assert_both_refuse(path, "api: ", url, env=env)
