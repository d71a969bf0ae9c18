"""Deleting the keys that runs of a configuration left behind.

Only what is named as its lanes name their keys is deleted, by ``SCAN`` and ``UNLINK``
on every primary: nothing is blocked, and no more keys a second go than asked for. What
is written meanwhile by a run that goes on may be left.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import groupby

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config.keys import Config
from loadprobe.control.watch.node_answers import NodeSilent
from loadprobe.control.watch.node_views import NodeClient, NodeLogin
from loadprobe.core.load.keyspace import prefix_of
from loadprobe.core.topology.topology import parse_slots
from loadprobe.errors import PreflightError

_TIMEOUT_S = 5.0
_SCANNED = 500
_FIRST_CURSOR = b"0"

OnProgress = Callable[[int], None]


def prefixes(config: Config) -> list[bytes]:
    """Return what the names of the keys of a configuration's lanes begin with."""
    return sorted({prefix_of(lane.key_prefix) for lane in config.lanes})


async def clean(
    config: Config,
    *,
    deletes: bool,
    keys_per_s: int,
    on_progress: OnProgress,
) -> int:
    """Delete, or only count, the keys of a configuration's lanes.

    Args:
        config: says where they are, and what they are called.
        deletes: False only counts.
        keys_per_s: deletes so many keys a second at most, all nodes together.
        on_progress: called with the number of keys so far.

    Returns:
        The number of keys.

    Raises:
        PreflightError: a primary does not answer, or refuses; what was deleted before
            is gone.
    """
    tls = all(lane.tls for lane in config.lanes)
    target = config.target
    login = NodeLogin(target, tls=tls, timeout_s=_TIMEOUT_S)
    seed = login.open_node(target.host, target.port_of(tls=tls))
    found = 0
    try:
        places = [(target.host, target.port_of(tls=tls))]
        if target.cluster:
            rows = parse_slots(await seed.slots(), asked_host=target.host).rows
            places = sorted({(primary.host, primary.port) for _, _, primary, _ in rows})
        for host, port in places:
            node = login.open_node(host, port)
            try:
                async for count in _clean_node(
                    node, prefixes(config), deletes=deletes, keys_per_s=keys_per_s
                ):
                    found += count
                    on_progress(found)
            finally:
                await node.close()
    except (NodeSilent, ValueError) as exc:
        raise PreflightError(
            f"cleaning {target.host}: {exc}; {found} keys were "
            f"{'deleted' if deletes else 'found'} before"
        ) from exc
    finally:
        await seed.close()
    return found


async def _clean_node(
    node: NodeClient, wanted: Sequence[bytes], *, deletes: bool, keys_per_s: int
) -> AsyncIterator[int]:
    """Yield how many keys of one node were found, step by step."""
    for prefix in wanted:
        cursor = _FIRST_CURSOR
        while True:
            began_ns = mono_now_ns()
            # Nothing in a name of a lane has a meaning in a pattern.
            cursor, keys = await node.scan(cursor, prefix + b"{*", count=_SCANNED)
            ours = {key for key in keys if _is_ours(key, prefix)}
            if deletes:
                for together in by_slot(ours):
                    await node.unlink(together)
                due_s = len(ours) / keys_per_s
                await asyncio.sleep(due_s - (mono_now_ns() - began_ns) / NS_PER_S)
            yield len(ours)
            if cursor == _FIRST_CURSOR:
                break


def _is_ours(key: bytes, prefix: bytes) -> bool:
    """Tell whether a key has a name as those of a lane: after its prefix a hash tag."""
    return key.startswith(prefix + b"{") and key.find(b"}") > len(prefix) + 1


def by_slot(keys: Iterable[bytes]) -> list[list[bytes]]:
    """Return keys in groups that one command may be about: those with one hash tag."""
    return [list(group) for _, group in groupby(sorted(keys, key=_tag), key=_tag)]


def _tag(key: bytes) -> bytes:
    return key[key.index(b"{") : key.index(b"}")]
