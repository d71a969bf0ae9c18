"""The real command on real servers: bad input is one line, and no result is lost."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from loadprobe.config import Target
from loadprobe.drivers.wire.dial import Dialer
from loadprobe.local.certificates import Authority
from loadprobe.local.cluster import LocalCluster
from loadprobe.local.ports import free_ports

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "hunter2-is-no-secret"
DEADLINE_S = 40.0
NOBODY_LISTENS = 1
"""A port of loopback that needs root, and has no server in any test environment."""


@dataclass(frozen=True, slots=True)
class Servers:
    """One-node clusters that differ in how they are reached.

    Args:
        closed: cluster mode, with a password, TLS and some ACL users.
        mutual: cluster mode, asks for client certificates.
        single: no cluster mode, no password.
        expired: no cluster mode, its certificate has expired.
        expired_ca: the authority of the latter.
        folder: for files.
    """

    closed: LocalCluster
    mutual: LocalCluster
    single: LocalCluster
    expired: LocalCluster
    expired_ca: Path
    folder: Path

    @property
    def password_file(self) -> Path:
        """The file with the right password."""
        return self.folder / "password"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Start all servers once."""
    folder = tmp_path_factory.mktemp("bad-input")
    (folder / "password").write_text(f"{SECRET}\n")
    (folder / "wrong").write_text(f"not-{SECRET}\n")
    (folder / "empty").write_text("\n")
    (folder / "no.pem").write_text("this is no certificate\n")
    authority = Authority(folder, name="other")
    authority.issue("foreign")
    late = authority.issue_expired("late")
    small: dict[str, Any] = {"shards": 1, "replicas_per_shard": 0}
    async with contextlib.AsyncExitStack() as stack:
        closed, mutual, single, expired = [
            await stack.enter_async_context(cluster)
            for cluster in (
                LocalCluster(**small, password=SECRET),
                LocalCluster(**small, mutual_tls=True),
                LocalCluster(**small, cluster_mode=False),
                LocalCluster(**small, cluster_mode=False),
            )
        ]
        for user, rules in {
            "no-slots": "~* +@all -cluster",
            "no-info": "~* +@all -cluster|info",
            "no-ping": "~* +@all -ping",
            "no-get": "~* +@all -get",
            "no-set": "~* +@all -set",
            "no-keys": "~other:* +@all",
            "fewest": "~lp:* +ping +time +get +set +cluster|slots +cluster|nodes "
            "+cluster|info",
        }.items():
            words = ("on", f">{SECRET}", *rules.split())
            await closed.nodes[0].command("ACL", "SETUSER", user, *words)
        await expired.nodes[0].command(
            *("CONFIG", "SET", "tls-ca-cert-file", str(authority.ca_file)),
            *("tls-cert-file", str(late.certificate), "tls-key-file", str(late.key)),
        )
        yield Servers(closed, mutual, single, expired, authority.ca_file, folder)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def toml(tables: dict[str, dict[str, object]]) -> str:
    """Write a configuration with one small lane and nothing served, but for tables."""
    lane: dict[str, object] = {"name": "tcp", "workers": 4, "rate_per_s": 100}
    lane |= {"keys": 100} | tables.get("lanes", {})
    rest: dict[str, dict[str, object]] = {"http": {"listen": ""}, **tables}
    parts = [_section("[[lanes]]", lane)]
    parts += [_section(f"[{k}]", v) for k, v in rest.items() if k != "lanes"]
    return "\n".join(parts)


def _section(heading: str, keys: dict[str, object]) -> str:
    lines = [f"{k} = {msgspec.json.encode(v).decode()}" for k, v in keys.items()]
    return "\n".join([heading, *lines, ""])


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a command."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("LOADPROBE_")}
    return ours | (more or {})


async def start(
    *words: str,
    env: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> asyncio.subprocess.Process:
    """Start ``loadprobe`` as a person would."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadprobe", *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(env),
        preexec_fn=before,
        start_new_session=True,
    )


async def finish(process: asyncio.subprocess.Process) -> Ended:
    """Wait for the end of a command."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def assert_refused(ended: Ended, *parts: str) -> None:
    """Check exit code 2 and one line on standard error that has all parts."""
    assert ended.code == 2, ended
    assert ended.err.startswith("loadprobe: "), ended
    assert ended.err.count("\n") == 1, ended
    assert ended.err.endswith("\n")
    for part in parts:
        assert part in ended.err
    shown = ended.out + ended.err
    assert "Traceback" not in shown
    assert SECRET not in shown


async def assert_both_refuse(
    path: Path,
    *parts: str,
    env: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> None:
    """Check that neither ``check`` nor ``run`` accepts a configuration."""
    started = [
        await start("check", str(path), env=env, before=before),
        await start("run", str(path), "--for", "1s", env=env, before=before),
    ]
    for process in started:
        assert_refused(await finish(process), *parts)
    runs = path.parent / "runs"
    assert not runs.is_dir() or not list(runs.iterdir()), "a run folder was made"


Case = tuple[str, dict[str, object], dict[str, object], list[str]]

# (server, keys of [target], keys of the lane, what the line has to have). {port} and
# {tls_port} are the server's, {folder} that of the files above.
TARGETS: dict[str, Case] = {
    "no password": (
        "closed",
        {"password_file": None},
        {},
        ["PING at 127.0.0.1:{port}", "NOAUTH", "set [target] password_file"],
    ),
    "wrong password": (
        "closed",
        {"password_file": "{folder}/wrong"},
        {},
        ["127.0.0.1:{port}", "WRONGPASS", "check username, password_file or"],
    ),
    "unknown user": (
        "closed",
        {"username": "nobody"},
        {},
        ["127.0.0.1:{port}", "WRONGPASS", "check username"],
    ),
    "password for a server without": (
        "single",
        {"cluster": False},
        {},
        ["127.0.0.1:{port}", "the server has no password; remove password_file"],
    ),
    "empty password file": (
        "closed",
        {"password_file": "{folder}/empty"},
        {},
        ["target.password_file: '{folder}/empty' is empty; put the password in line 1"],
    ),
    "missing password file": (
        "closed",
        {"password_file": "{folder}/none"},
        {},
        ["target.password_file: cannot read '{folder}/none': No such file"],
    ),
    "unset password variable": (
        "closed",
        {"password_file": None, "password_env": "NO_SUCH_VARIABLE"},
        {},
        ["target.password_env", "'NO_SUCH_VARIABLE' is not set"],
    ),
    "no cluster mode": (
        "single",
        {"password_file": None},
        {},
        ["CLUSTER SLOTS at 127.0.0.1:{port}", "set [target] cluster = false"],
    ),
    "cluster mode": (
        "closed",
        {"cluster": False},
        {},
        ["127.0.0.1:{port} is in cluster mode; remove [target] cluster = false"],
    ),
    "TLS to a plaintext port": (
        "closed",
        {"tls_port": "{port}"},
        {"tls": True},
        ["127.0.0.1:{port} by TLS", "speak plaintext?", "tls_port, or tls = false"],
    ),
    "plaintext to a TLS port": (
        "closed",
        {"port": "{tls_port}"},
        {},
        ["127.0.0.1:{tls_port}", "does the port speak TLS? set tls = true"],
    ),
    "plaintext to a TLS port, no password": (
        "closed",
        {"port": "{tls_port}", "password_file": None},
        {},
        ["127.0.0.1:{tls_port}", "does the port speak TLS? set tls = true"],
    ),
    "no authority": (
        "closed",
        {"ca_file": None},
        {"tls": True},
        ["127.0.0.1:{tls_port} by TLS", "set [target] ca_file to the authority"],
    ),
    "wrong authority": (
        "closed",
        {"ca_file": "{folder}/other.pem"},
        {"tls": True},
        ["127.0.0.1:{tls_port} by TLS", "set [target] ca_file to the authority"],
    ),
    "missing authority": (
        "closed",
        {"ca_file": "{folder}/none.pem"},
        {"tls": True},
        ["target.ca_file '{folder}/none.pem' cannot be used", "must be a PEM file"],
    ),
    "authority that is no certificate": (
        "closed",
        {"ca_file": "{folder}/no.pem"},
        {"tls": True},
        ["target.ca_file '{folder}/no.pem' cannot be used", "must be a PEM file"],
    ),
    "wrong host name": (
        "closed",
        {"server_name": "db.example.com"},
        {"tls": True},
        ["127.0.0.1:{tls_port} by TLS", "'db.example.com'", "server_name to a name"],
    ),
    "expired certificate": (
        "expired",
        {"ca_file": "{folder}/other.pem", "password_file": None, "cluster": False},
        {"tls": True},
        ["127.0.0.1:{tls_port} by TLS", "has expired", "renew the server's"],
    ),
    "no client certificate": (
        "mutual",
        {"password_file": None},
        {"tls": True},
        ["127.0.0.1:{tls_port}", "client certificate; set [target] cert_file and key"],
    ),
    "no client certificate, with a password": (
        "mutual",
        {},
        {"tls": True},
        ["127.0.0.1:{tls_port}", "client certificate; set [target] cert_file and key"],
    ),
    "foreign client certificate": (
        "mutual",
        {
            "password_file": None,
            "cert_file": "{folder}/foreign.crt",
            "key_file": "{folder}/foreign.key",
        },
        {"tls": True},
        ["127.0.0.1:{tls_port}", "check [target] cert_file and key_file"],
    ),
    "client key of another certificate": (
        "mutual",
        {"cert_file": "{folder}/foreign.crt", "key_file": "{folder}/late.key"},
        {"tls": True},
        ["target.cert_file '{folder}/foreign.crt'", "cannot be used", "private key"],
    ),
    "unknown host": (
        "closed",
        {"host": "no-such-host.invalid"},
        {},
        ["looking up 'no-such-host.invalid' failed", "check [target] host"],
    ),
    "closed port": (
        "closed",
        {"port": NOBODY_LISTENS},
        {},
        [f"127.0.0.1:{NOBODY_LISTENS}", "nothing listens there; check host, port"],
    ),
    **{
        f"user {user}": (
            "closed",
            {"username": user},
            {},
            [f"{asked} at 127.0.0.1:{{port}}", "NOPERM", "give the user +ping"],
        )
        for user, asked in {
            "no-ping": "PING",
            "no-slots": "CLUSTER SLOTS",
            "no-info": "CLUSTER INFO",
            "no-get": "GET lp:tcp:preflight",
            "no-set": "SET lp:tcp:preflight",
            "no-keys": "GET lp:tcp:preflight",
        }.items()
    },
}


def config_of(
    servers: Servers, tmp_path: Path, name: str = "closed", **tables: dict[str, object]
) -> Path:
    """Write a configuration for a server; a key that is None is left out."""
    cluster: LocalCluster = getattr(servers, name)
    ports = {"port": cluster.port, "tls_port": cluster.tls_port}
    target: dict[str, object] = {
        "host": "127.0.0.1",
        **ports,
        "ca_file": str(cluster.ca_file),
        "password_file": str(servers.password_file),
    }
    for key, value in tables.pop("target", {}).items():
        target[key] = value
        if isinstance(value, str):
            filled = value.format(folder=servers.folder, **ports)
            target[key] = int(filled) if filled.isdecimal() else filled
    given = {key: value for key, value in target.items() if value is not None}
    output: dict[str, object] = {"dir": str(tmp_path / "runs")}
    path = tmp_path / "run.toml"
    path.write_text(toml({"target": given, "output": output} | tables))
    return path


@pytest.mark.parametrize("case", TARGETS)
async def test_targets(case: str, servers: Servers, tmp_path: Path) -> None:
    """Each target that cannot be used is one line: what was tried, and the remedy."""
    name, target, lane, parts = TARGETS[case]
    path = config_of(servers, tmp_path, name, target=target, lanes=lane)
    cluster: LocalCluster = getattr(servers, name)
    ports = {"port": cluster.port, "tls_port": cluster.tls_port}
    filled = [part.format(folder=servers.folder, **ports) for part in parts]
    await assert_both_refuse(path, *filled)


async def test_fewest_permissions(servers: Servers, tmp_path: Path) -> None:
    """A user with exactly the permissions that the remedy names has a clean run."""
    lane: dict[str, object] = {"tls": True}
    path = config_of(servers, tmp_path, target={"username": "fewest"}, lanes=lane)
    ended = await finish(await start("check", str(path)))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("ready to run\n")
    ended = await finish(await start("run", str(path), "--for", "1s"))
    assert (ended.code, ended.err) == (0, "")
    (judged,) = document(path, "summary.json")["lanes"]
    assert judged["arrivals"] > 0
    assert judged["outcomes"]["refused"] == 0
    assert document(path, "run.json")["problems"] == []


async def test_a_preflight_writes_nothing(servers: Servers, tmp_path: Path) -> None:
    """``check`` leaves no key behind."""
    node = servers.closed.nodes[0]
    before = await node.command("DBSIZE")
    lane: dict[str, object] = {"name": "unused"}
    path = config_of(servers, tmp_path, lanes=lane)
    assert (await finish(await start("check", str(path)))).code == 0
    assert await node.command("DBSIZE") == before


# --- this machine ---------------------------------------------------------------------


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


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 52 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    command = ["/bin/mount", "-t", "tmpfs", "-o", "size=52m", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["/bin/umount", str(path)], check=True)


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


async def test_a_failover_without_a_group(servers: Servers, tmp_path: Path) -> None:
    """A failover needs to know the replication group, and says where to put it."""
    path = config_of(servers, tmp_path)
    ended = await finish(await start("run", str(path), "--failover", "0001"))
    assert_refused(ended, "--failover 0001", "add [control] replication_group")


async def test_addresses_in_brackets() -> None:
    """The address map leads to IPv6 addresses, which it writes in brackets."""
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as exc:
        pytest.skip(f"this machine has no IPv6 loopback: {exc}")
    with listening:
        there = f"[::1]:{listening.getsockname()[1]}"
        target = Target("db", address_map={"10.0.0.1:6379": there})
        dialer = Dialer(target, None, None, 5_000)
        with await dialer._connect("10.0.0.1", 6379, None) as connected:
            assert connected.getpeername()[:2] == listening.getsockname()[:2]


# --- files, environment and flags -----------------------------------------------------


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


# --- during a run ---------------------------------------------------------------------


def run_folder(path: Path) -> Path:
    """Return the one run folder of a configuration."""
    (folder,) = (path.parent / "runs").iterdir()
    return folder


def document(path: Path, name: str) -> dict[str, Any]:
    """Read a document of the run folder of a configuration."""
    found = msgspec.json.decode((run_folder(path) / name).read_bytes())
    assert isinstance(found, dict)
    return found


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(member for child in children for member in family(int(child)))]


async def get(url: str) -> str | None:
    """Return a page, or None if there is none."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.text() if response.status == 200 else None
    except aiohttp.ClientError:
        return None


async def start_run(
    servers: Servers,
    tmp_path: Path,
    *words: str,
    lanes: dict[str, object] | None = None,
    output: dict[str, object] | None = None,
) -> tuple[asyncio.subprocess.Process, Path, str]:
    """Start a run and wait until it measures; return it, its file and its URL."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    http: dict[str, object] = {"listen": address}
    output = output or {"dir": str(tmp_path / "runs")}
    path = config_of(servers, tmp_path, http=http, lanes=lanes or {}, output=output)
    process = await start("run", str(path), *words)
    async with asyncio.timeout(DEADLINE_S):
        while await get(f"http://{address}/readyz") is None:
            assert process.returncode is None, await finish(process)
            await asyncio.sleep(0.05)
    return process, path, f"http://{address}"


async def test_a_secret_stays_secret(servers: Servers, tmp_path: Path) -> None:
    """The password is in no output, argument list, run folder or metric."""
    process, path, url = await start_run(servers, tmp_path, "--for", "3s")
    members = family(process.pid)
    assert len(members) >= 2, "the probe process is not found"
    for member in members:
        for name in ("cmdline", "environ"):
            assert SECRET.encode() not in Path(f"/proc/{member}/{name}").read_bytes()
    metrics = await get(f"{url}/metrics")
    assert metrics is not None
    assert "loadprobe_" in metrics
    assert SECRET not in metrics
    ended = await finish(process)
    assert ended.code == 0, ended
    assert SECRET not in ended.out + ended.err
    files = [file for file in run_folder(path).rglob("*") if file.is_file()]
    assert {"run.json", "summary.json"} <= {file.name for file in files}
    for file in files:
        assert SECRET.encode() not in file.read_bytes(), file


async def test_thresholds(servers: Servers, tmp_path: Path) -> None:
    """A run within its thresholds ends with 0, one that misses any with 3."""
    started = []
    for limit, code in ((60_000.0, 0), (0.000_001, 3)):
        folder = tmp_path / str(code)
        folder.mkdir()
        slo: dict[str, object] = {"p99_ms": limit, "availability": 0.0}
        path = config_of(servers, folder, slo=slo, lanes={"name": f"lane{code}"})
        started.append((path, code, await start("run", str(path), "--for", "1s")))
    for path, code, process in started:
        ended = await finish(process)
        assert (ended.code, ended.err) == (code, "")
        checks = document(path, "summary.json")["slo"]
        met = {check["name"]: check["is_met"] for check in checks}
        assert met == {"p99_ms": code == 0, "availability": True}


async def test_sigterm_ends_in_order(servers: Servers, tmp_path: Path) -> None:
    """SIGTERM in a run without end: drained, judged, written, exit code 0."""
    process, path, _ = await start_run(servers, tmp_path)
    await asyncio.sleep(0.5)
    members = family(process.pid)
    process.send_signal(signal.SIGTERM)
    ended = await finish(process)
    assert (ended.code, ended.err) == (0, "")
    names = {file.name for file in run_folder(path).iterdir()}
    assert {"run.json", "summary.json", "outages.json", "events.ndjson"} <= names
    assert document(path, "run.json")["end"] is not None
    assert_whole(run_folder(path))
    await assert_gone(members)


async def test_the_second_interrupt_is_hard(servers: Servers, tmp_path: Path) -> None:
    """SIGINT twice ends at once with 130, and nothing is left running."""
    process, _, _ = await start_run(servers, tmp_path)
    members = family(process.pid)
    assert len(members) >= 2
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    # Two equal signals may become one: repeat until it is gone.
    while process.returncode is None:
        await asyncio.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
    ended = await finish(process)
    assert ended.code == 130
    assert "Traceback" not in ended.out + ended.err
    await assert_gone(members)


def assert_whole(folder: Path) -> None:
    """Check that what was written by the second is all that was judged at the end."""
    (lane,) = msgspec.json.decode((folder / "summary.json").read_bytes())["lanes"]
    lines = (folder / "series.ndjson").read_bytes().splitlines()
    rows = [msgspec.json.decode(line) for line in lines[1:]]
    rows = [row for row in rows if row["op"] != "connect"]  # no load
    outcomes = lane["outcomes"]
    assert {name: sum(row[name] for row in rows) for name in outcomes} == outcomes
    assert outcomes["served"] > 0


async def assert_gone(members: list[int]) -> None:
    """Check that processes end, whoever inherits them."""
    async with asyncio.timeout(DEADLINE_S):
        while any(_is_running(member) for member in members):
            await asyncio.sleep(0.02)


def _is_running(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


async def test_a_full_disk_during_the_run(
    servers: Servers, tmp_path: Path, disk: Path
) -> None:
    """A disk that fills up costs no result: the run is whole, somewhere else."""
    output: dict[str, object] = {"dir": str(disk / "runs")}
    process, _, _ = await start_run(
        servers, tmp_path, output=output, lanes={"rate_per_s": 500}
    )
    with contextlib.suppress(OSError), (disk / "ballast").open("wb") as ballast:
        while True:
            ballast.write(b"x" * 4096)
            ballast.flush()
    await asyncio.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    ended = await finish(process)
    assert ended.code == 1, ended
    assert "No space left on device" in ended.out
    marker = "the complete run is in '"
    text = " ".join(ended.out.split())
    assert marker in text
    folder = Path(text.partition(marker)[2].partition("'")[0])
    try:
        assert_whole(folder)
        shown = await finish(await start("report", str(folder)))
        assert (shown.code, shown.err) == (0, "")
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
