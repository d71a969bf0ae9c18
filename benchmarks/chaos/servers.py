"""What is done to servers: killed, stopped, locked, their certificates changed."""

import asyncio
from pathlib import Path

from benchmarks.chaos.judging import Done, Truth
from benchmarks.chaos.stage import BROKEN, DEADLINE_MS, PASSWORD, SHARDS, Stage
from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.core.intervals import Interval
from loadprobe.local.cluster.certificates import CertificateFiles
from loadprobe.local.cluster.node import LocalNode

DEADLINE_NS = DEADLINE_MS * NS_PER_MS
_SETTLE_S = 0.6


async def killed(stage: Stage) -> Done:
    """Kill a server, start it again, and wait until it serves."""
    node = stage.node
    begun_ns = mono_now_ns()
    await node.kill()
    gone_ns = mono_now_ns()
    await asyncio.sleep(0.5)
    await node.start()
    refused_ns, served_ns = gone_ns, mono_now_ns()
    while (await node.cluster_info())["cluster_state"] != "ok":
        refused_ns = mono_now_ns()
        await asyncio.sleep(0.002)
        served_ns = mono_now_ns()
    served_ns = mono_now_ns()
    return Done(
        "server killed",
        "`kill -9`, started again 0.5 s later; it waits for its cluster",
        truths=[Truth((gone_ns, refused_ns), (begun_ns, served_ns), "shard")],
    )


async def stopped(stage: Stage) -> Done:
    """Stop a server, and let it go on."""
    certain, possible = await stop_servers([stage.node], 1.0)
    return Done(
        "server stopped",
        "SIGSTOP for 1 s; what exceeds the deadline of 250 ms is the outage",
        truths=[Truth(certain, possible, "shard")],
    )


async def all_stopped(stage: Stage) -> Done:
    """Stop all servers at once."""
    certain, possible = await stop_servers(stage.cluster.nodes, 1.0)
    return Done(
        "all servers stopped",
        "SIGSTOP of all three for 1 s",
        truths=[Truth(certain, possible, "cluster", shards=SHARDS)],
    )


async def stop_servers(
    nodes: list[LocalNode], for_s: float, *, deadline_ns: int = DEADLINE_NS
) -> tuple[Interval, Interval]:
    """Stop servers for a while; return when they certainly, and may have been, dark.

    Args:
        nodes: the servers.
        for_s: how long they are stopped.
        deadline_ns: what is answered by then is no outage.
    """
    begun_ns = mono_now_ns()
    for node in nodes:
        node.pause()
    while any(_state(node) != "T" for node in nodes):
        await asyncio.sleep(0.001)
    silent_ns = mono_now_ns()
    await asyncio.sleep(for_s)
    over_ns = mono_now_ns()
    for node in nodes:
        node.resume()
    return (silent_ns, over_ns - deadline_ns), (begun_ns, mono_now_ns())


def _state(node: LocalNode) -> str:
    """Return the state of a server's process, T if it is stopped."""
    return Path(f"/proc/{node.pid}/stat").read_text().rpartition(") ")[2][0]


async def certificate_of_others(stage: Stage) -> Done:
    """Let a server show a certificate of an authority that nobody trusts."""
    return await _certificate(
        stage,
        stage.foreign.issue("foreign"),
        "certificate swapped",
        "the server shows one of another authority, connections by TLS cut",
    )


async def certificate_expired(stage: Stage) -> Done:
    """Let a server show a certificate that has expired."""
    return await _certificate(
        stage,
        stage.authority.issue_expired("expired"),
        "certificate expired",
        "the server shows one that has expired, connections by TLS cut",
    )


async def certificate_renewed(stage: Stage) -> Done:
    """Let a server show another good certificate: nothing may be noticed."""
    await _show(stage.node, stage.authority.issue("renewed"))
    await asyncio.sleep(_SETTLE_S)
    return Done(
        "certificate renewed",
        "the server shows another one of the same authority; connections stay",
    )


async def _certificate(
    stage: Stage, files: CertificateFiles, name: str, what: str
) -> Done:
    node = stage.node
    certificates = stage.cluster.certificates
    assert certificates is not None
    begun_ns = mono_now_ns()
    await _show(node, files)
    await node.disconnect(node.ports.tls)
    shown_ns = mono_now_ns()
    await asyncio.sleep(0.8)
    over_ns = mono_now_ns()
    await _show(node, certificates.server)
    possible = begun_ns, mono_now_ns()
    return Done(
        name,
        what,
        truths=[Truth((shown_ns, over_ns), possible, "transport", lanes=("tls",))],
    )


async def _show(node: LocalNode, files: CertificateFiles) -> None:
    pair = {"tls-cert-file": files.certificate, "tls-key-file": files.key}
    await node.reconfigure({key: str(path) for key, path in pair.items()})


async def password_changed(stage: Stage) -> Done:
    """Let a server demand another password, of new connections."""
    node = stage.node
    begun_ns = mono_now_ns()
    await node.command("ACL", "SETUSER", "default", "resetpass", ">another")
    await _disconnect(node)
    changed_ns = mono_now_ns()
    await asyncio.sleep(0.8)
    over_ns = mono_now_ns()
    await node.command("ACL", "SETUSER", "default", "resetpass", f">{PASSWORD}")
    possible = begun_ns, mono_now_ns()
    return Done(
        "wrong password",
        "the server demands another one for 0.8 s, all connections cut",
        truths=[Truth((changed_ns, over_ns), possible, "access")],
    )


async def no_more_clients(stage: Stage) -> Done:
    """Let a server take no more connections."""
    node = stage.node
    begun_ns = mono_now_ns()
    await node.reconfigure({"maxclients": "1"})
    await _disconnect(node)
    full_ns = mono_now_ns()
    await asyncio.sleep(0.8)
    over_ns = mono_now_ns()
    await node.reconfigure({"maxclients": "10000"})
    possible = begun_ns, mono_now_ns()
    return Done(
        "maxclients reached",
        "the server takes no more connections for 0.8 s, all open ones cut",
        truths=[Truth((full_ns, over_ns), possible, "shard")],
        remark=f"new connections of {BROKEN} are told to be down, too",
    )


async def _disconnect(node: LocalNode) -> None:
    for port in node.served_ports:
        await node.disconnect(port)
