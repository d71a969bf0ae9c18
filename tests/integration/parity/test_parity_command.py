"""The command as a person starts it: by URL and file, with TLS and a login."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from loadprobe.core.parity.glimpse import DIFFERENCES
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.bad_input import ONE_NODE, SECRET, Servers, finish, serving, start
from tests.support.bad_input import toml as toml_of
from tests.support.parity import plant, sames, wanted, write
from tests.support.planted import KINDS, planted

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLANTED = list(planted(12))
SAME = sames(1800, KINDS)
ODD = "odd:\x1b[31m\nline\u202e"


@dataclass(frozen=True, slots=True)
class Pair(Servers):
    """A cluster with TLS and a password, and a server without any of them."""

    single: LocalCluster

    @property
    def words(self) -> tuple[str, ...]:
        """The server as the source, the cluster as the target."""
        return (
            f"redis://{self.single.host}:{self.single.port}",
            f"rediss://{self.closed.host}:{self.closed.tls_port}",
            "--target-cacert",
            str(self.closed.ca_file),
            "--target-password-env",
            "PARITY_PASSWORD",
        )


ENV = {"PARITY_PASSWORD": SECRET}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Start both, and plant."""
    folder = tmp_path_factory.mktemp("parity")
    async with (
        serving(folder) as served,
        LocalCluster(**ONE_NODE, cluster_mode=False, tls_mode="none") as single,
    ):
        await plant(single, served.closed, [*PLANTED, *SAME])
        await write(single, [("SET", ODD, "x")])
        yield Pair(served.closed, folder, single)


async def test_what_differs_is_exit_code_3(pair: Pair) -> None:
    """A report for people, in which keys are shown and not obeyed, and one as JSON."""
    words = ("parity", *pair.words, "--settle", "300ms", "--rate", "0")
    runs = [
        await start(*words, env=ENV),
        await start(*words, "--json", env=ENV),
        await start(*words, "--prefix", "same:", env=ENV),
    ]
    shown, told, same = [await finish(run) for run in runs]
    total = len(PLANTED) + 1
    assert shown.code == told.code == 3, (shown, told)
    assert f"Verdict: {total} keys differ" in shown.out
    assert "odd:\\x1b[31m\\nline\\u202e (string)" in shown.out
    document = json.loads(told.out)
    assert document["different"]["total"] == total
    assert document["is_complete"] is True
    for kind in DIFFERENCES:
        count = sum(each is kind for each in wanted(PLANTED).values())
        count += kind is DIFFERENCES[0]  # the odd one
        assert document["different"][kind.replace(" ", "_")]["total"] == count
    assert same.code == 0, same
    assert (
        f"source {pair.single.host}:{pair.single.port}: {len(SAME):,} keys" in same.out
    )
    assert "Verdict: no key differs" in same.out
    for ended in (shown, told, same):
        assert SECRET not in ended.out + ended.err


def looked(state: Path) -> int:
    """Return how many keys were looked at by a state."""
    if not state.exists():
        return 0
    coverages = json.loads(state.read_bytes())["coverages"]
    return sum(c["looked"] + sum(w["looked"] for w in c["walks"]) for c in coverages)


async def test_killed_it_goes_on(pair: Pair, tmp_path: Path) -> None:
    """After SIGKILL, and after SIGTERM, the same command goes on; no count is twice."""
    state = tmp_path / "state.json"
    words = ("parity", *pair.words, "--state", str(state), "--settle", "1s", "--json")
    before = 0
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = await start(*words, "--rate", "1500", env=ENV)
        async with asyncio.timeout(40):
            while looked(state) <= before:
                await asyncio.sleep(0.05)
        before = looked(state)
        os.killpg(process.pid, number)
        ended = await finish(process)
        if number is signal.SIGTERM:
            assert ended.code == 1, ended
            assert json.loads(ended.out)["is_complete"] is False
    ended = await finish(await start(*words, env=ENV))
    assert ended.code == 3, ended
    assert json.loads(ended.out)["different"]["total"] == len(PLANTED) + 1
    again = await finish(await start(*words, env=ENV))
    assert again.code == 2
    assert "is over; remove it" in again.err


async def test_files_name_both_sides(pair: Pair, tmp_path: Path) -> None:
    """With a sample as well: a file says all that a URL cannot."""
    source, target = tmp_path / "source.toml", tmp_path / "target.toml"
    plain = {"host": pair.single.host, "port": pair.single.port, "cluster": False}
    source.write_text(toml_of({"target": plain}))
    secured = {
        "host": pair.closed.host,
        "port": pair.closed.port,
        "tls_port": pair.closed.tls_port,
        "ca_file": str(pair.closed.ca_file),
        "password_file": str(pair.password_file),
    }
    target.write_text(toml_of({"target": secured, "lanes": {"tls": True}}))
    words = ("parity", str(source), str(target), "--settle", "300ms", "--rate", "0")
    whole = await finish(await start(*words, "--json"))
    assert whole.code == 3, whole
    assert json.loads(whole.out)["different"]["total"] == len(PLANTED) + 1
    part = await finish(
        await start(*words, "--sample", "0.5", "--prefix", "same:string:")
    )
    assert part.code == 0, part
    assert "no key of the sample differs: at most" in part.out
