"""The real command on targets it cannot use: each is one line with the remedy."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from loadprobe.local.cluster.certificates import Authority
from loadprobe.local.cluster.cluster import LocalCluster
from tests.support.bad_input import (
    NOBODY_LISTENS,
    ONE_NODE,
    SECRET,
    Servers,
    assert_both_refuse,
    config_of,
    document,
    finish,
    serving,
    start,
)

# Two processes for each of them: together they keep a machine busy for a minute.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.alone]


@dataclass(frozen=True, slots=True)
class DifferentServers(Servers):
    """Clusters of one node that differ in how they are reached.

    Args:
        mutual: cluster mode, asks for client certificates.
        single: no cluster mode, no password.
        expired: no cluster mode, its certificate has expired.
    """

    mutual: LocalCluster
    single: LocalCluster
    expired: LocalCluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[DifferentServers]:
    """Start all servers once."""
    folder = tmp_path_factory.mktemp("bad-input")
    (folder / "wrong").write_text(f"not-{SECRET}\n")
    (folder / "empty").write_text("\n")
    (folder / "no.pem").write_text("this is no certificate\n")
    authority = Authority(folder, name="other")
    authority.issue("foreign")
    late = authority.issue_expired("late")
    async with (
        serving(folder) as served,
        LocalCluster(**ONE_NODE, mutual_tls=True) as mutual,
        LocalCluster(**ONE_NODE, cluster_mode=False) as single,
        LocalCluster(**ONE_NODE, cluster_mode=False) as expired,
    ):
        closed = served.closed
        for user, rules in {
            "no-slots": "~* +@all -cluster",
            "no-info": "~* +@all -cluster|info",
            "no-ping": "~* +@all -ping",
            "no-get": "~* +@all -get",
            "no-set": "~* +@all -set",
            "no-keys": "~other:* +@all",
            "no-expire": "~* +@all -expire",
            "no-persist": "~* +@all -persist",
            "fewest": "~lp:* +ping +time +get +set +expire +cluster|slots "
            "+cluster|nodes +cluster|info",
        }.items():
            words = ("on", f">{SECRET}", *rules.split())
            await closed.nodes[0].command("ACL", "SETUSER", user, *words)
        await expired.nodes[0].command(
            *("CONFIG", "SET", "tls-ca-cert-file", str(authority.ca_file)),
            *("tls-cert-file", str(late.certificate), "tls-key-file", str(late.key)),
        )
        yield DifferentServers(closed, folder, mutual, single, expired)


Case = tuple[str, dict[str, object], dict[str, object], list[str]]

# (server, keys of [target], keys of the lane, what the line has to have). {port} and
# {tls_port} are the server's, {folder} that of the files above.
TARGETS: dict[str, Case] = {
    "no password": (
        "closed",
        {"password_file": None},
        {},
        ["PING at {host}:{port}", "NOAUTH", "set [target] password_file"],
    ),
    "wrong password": (
        "closed",
        {"password_file": "{folder}/wrong"},
        {},
        ["{host}:{port}", "WRONGPASS", "check username, password_file or"],
    ),
    "unknown user": (
        "closed",
        {"username": "nobody"},
        {},
        ["{host}:{port}", "WRONGPASS", "check username"],
    ),
    "password for a server without": (
        "single",
        {"cluster": False},
        {},
        ["{host}:{port}", "the server has no password; remove password_file"],
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
        ["CLUSTER SLOTS at {host}:{port}", "set [target] cluster = false"],
    ),
    "cluster mode": (
        "closed",
        {"cluster": False},
        {},
        ["{host}:{port} is in cluster mode; remove [target] cluster = false"],
    ),
    "TLS to a plaintext port": (
        "closed",
        {"tls_port": "{port}"},
        {"tls": True},
        ["{host}:{port} by TLS", "speak plaintext?", "tls_port, or tls = false"],
    ),
    "plaintext to a TLS port": (
        "closed",
        {"port": "{tls_port}"},
        {},
        ["{host}:{tls_port}", "does the port speak TLS? set tls = true"],
    ),
    "plaintext to a TLS port, no password": (
        "closed",
        {"port": "{tls_port}", "password_file": None},
        {},
        ["{host}:{tls_port}", "does the port speak TLS? set tls = true"],
    ),
    "no authority": (
        "closed",
        {"ca_file": None},
        {"tls": True},
        ["{host}:{tls_port} by TLS", "set [target] ca_file to the authority"],
    ),
    "wrong authority": (
        "closed",
        {"ca_file": "{folder}/other.pem"},
        {"tls": True},
        ["{host}:{tls_port} by TLS", "set [target] ca_file to the authority"],
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
        ["{host}:{tls_port} by TLS", "'db.example.com'", "server_name to a name"],
    ),
    "expired certificate": (
        "expired",
        {"ca_file": "{folder}/other.pem", "password_file": None, "cluster": False},
        {"tls": True},
        ["{host}:{tls_port} by TLS", "has expired", "renew the server's"],
    ),
    "no client certificate": (
        "mutual",
        {"password_file": None},
        {"tls": True},
        ["{host}:{tls_port}", "client certificate; set [target] cert_file and key"],
    ),
    "no client certificate, with a password": (
        "mutual",
        {},
        {"tls": True},
        ["{host}:{tls_port}", "client certificate; set [target] cert_file and key"],
    ),
    "foreign client certificate": (
        "mutual",
        {
            "password_file": None,
            "cert_file": "{folder}/foreign.crt",
            "key_file": "{folder}/foreign.key",
        },
        {"tls": True},
        ["{host}:{tls_port}", "check [target] cert_file and key_file"],
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
            [f"{asked} at {{host}}:{{port}}", "NOPERM", "give the user +ping"],
        )
        for user, asked in {
            "no-ping": "PING",
            "no-slots": "CLUSTER SLOTS",
            "no-info": "CLUSTER INFO",
            "no-get": "GET lp:tcp:preflight",
            "no-set": "SET lp:tcp:preflight",
            "no-expire": "EXPIRE lp:tcp:preflight",
            "no-keys": "GET lp:tcp:preflight",
        }.items()
    },
    "no TTL and no +persist": (
        "closed",
        {"username": "no-persist"},
        {"ttl_s": 0},
        ["PERSIST lp:tcp:preflight at {host}:{port}", "ttl_s = 0 need +persist"],
    ),
}


@pytest.mark.parametrize("case", TARGETS)
async def test_targets(case: str, servers: Servers, tmp_path: Path) -> None:
    """Each target that cannot be used is one line: what was tried, and the remedy."""
    name, target, lane, parts = TARGETS[case]
    path = config_of(servers, tmp_path, name, target=target, lanes=lane)
    cluster: LocalCluster = getattr(servers, name)
    ports = {"port": cluster.port, "tls_port": cluster.tls_port, "host": cluster.host}
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
