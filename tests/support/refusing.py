"""A server that refuses writes, as long as that is wanted."""

from loadprobe.clock import mono_now_ns
from loadprobe.local.cluster.node import LocalNode


async def refuse_writes(node: LocalNode, *, is_full: bool) -> tuple[int, int]:
    """Let a server have no memory for writes, or enough; return when that was done."""
    start_ns = mono_now_ns()
    bytes_ = 1 if is_full else 0
    assert await node.pipeline([("CONFIG", "SET", "maxmemory", bytes_)]) == ["OK"]
    return start_ns, mono_now_ns()
