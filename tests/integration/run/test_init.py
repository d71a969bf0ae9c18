"""What endpoints tell of themselves, and the configuration that is written of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from loadprobe.cli import init
from loadprobe.config.file import load_config
from loadprobe.config.keys import Target
from loadprobe.config.template import Found
from loadprobe.errors import UsageError
from loadprobe.run import asking
from tests.support.bad_input import (
    NOBODY_LISTENS,
    SECRET,
    ServersWithOne,
    assert_refused,
    finish,
    serving_with_one,
    start,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[ServersWithOne]:
    """Start both once."""
    async with serving_with_one(tmp_path_factory.mktemp("init")) as started:
        yield started


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long: a port without TLS leaves a handshake unanswered."""
    monkeypatch.setattr(asking, "TIMEOUT_MS", 1000)


async def found(target: Target, *, must_tls: bool = False) -> Found:
    """Ask an endpoint."""
    return await init.ask_endpoint(target, must_tls=must_tls)


@pytest.mark.usefixtures("_impatient")
async def test_without_anything(servers: ServersWithOne) -> None:
    """A plain server is known for one."""
    single = servers.single
    told = await found(Target(single.host, single.port))
    assert told.transports == (False,)
    assert (told.is_cluster, told.wants_login) == (False, False)


@pytest.mark.usefixtures("_impatient")
async def test_a_login(servers: ServersWithOne) -> None:
    """Without a password it is known that one is wanted; with it, the rest as well."""
    closed = Target(servers.closed.host, servers.closed.port)
    told = await found(closed)
    assert (told.transports, told.wants_login) == ((False,), True)
    assert told.is_cluster is None
    right = Target(closed.host, closed.port, password_file=str(servers.password_file))
    told = await found(right)
    assert (told.is_cluster, told.shards, told.wants_login) == (True, 1, False)


@pytest.mark.usefixtures("_impatient")
async def test_what_cannot_be_used(servers: ServersWithOne, tmp_path: Path) -> None:
    """A wrong password, an unknown authority and a wrong name or port are told."""
    closed = servers.closed
    assert closed.tls_port is not None
    wrong = tmp_path / "wrong"
    wrong.write_text(f"not-{SECRET}\n")
    for target, problem in (
        (Target(closed.host, closed.port, password_file=str(wrong)), "WRONGPASS"),
        (Target(closed.host, closed.tls_port), r"\(here: --cacert FILE\)"),
        (Target("127.0.0.1", NOBODY_LISTENS), "nothing listens there"),
        (Target("nosuch.invalid", 1), "looking up 'nosuch.invalid' failed"),
    ):
        with pytest.raises(UsageError, match=problem) as caught:
            await found(target)
        assert SECRET not in str(caught.value)
    with pytest.raises(UsageError, match="by TLS failed"):
        await found(Target("127.0.0.1", NOBODY_LISTENS), must_tls=True)


async def test_no_password_in_the_clear(
    servers: ServersWithOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a port that speaks TLS it is sent by TLS alone."""
    asked: list[tuple[bool, str | None]] = []

    async def ask(
        target: Target, *, with_tls: bool, password: str | None = None
    ) -> asking.Told:
        asked.append((with_tls, password))
        return await plain_ask(target, with_tls=with_tls, password=password)

    plain_ask = asking.ask
    assert servers.closed.tls_port is not None
    monkeypatch.setattr(asking, "ask", ask)
    told = await found(
        Target(
            servers.closed.host,
            servers.closed.tls_port,
            ca_file=str(servers.closed.ca_file),
            password_file=str(servers.password_file),
        )
    )
    assert (told.transports, told.is_cluster) == ((True,), True)
    assert set(asked) == {(False, None), (True, SECRET)}
    assert len(asked) == 2


async def test_the_command(servers: ServersWithOne, tmp_path: Path) -> None:
    """It writes a file that can be read, and none over another one."""
    closed, path = servers.closed, tmp_path / "my.toml"
    words = ["init", f"rediss://{closed.host}:{closed.tls_port}", "-o", str(path)]
    words += ["--cacert", str(closed.ca_file), "--password-env", "PASSWORD"]
    done = await finish(await start(*words, env={"PASSWORD": SECRET}))
    assert (done.code, done.err) == (0, "")
    assert "TLS; cluster mode, 1 shard; login taken" in done.out
    assert f"next: loadprobe check {path}" in done.out
    config = load_config(str(path))
    assert config.target.port == closed.tls_port
    assert [lane.tls for lane in config.lanes] == [True]
    before = path.read_text()
    assert SECRET not in before + done.out
    assert_refused(await finish(await start(*words)), "there already", "--force")
    assert path.read_text() == before
