"""Start, find and end a local cluster that runs in a process of its own.

Only the process named by the state file (pid and start time) is ever signalled.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import aiohttp
import msgspec

from loadprobe.errors import PreflightError, RunError, UsageError
from loadprobe.local.api.control_plane import GROUPS_PATH
from loadprobe.local.cluster.folders import remove_abandoned, temp_folder
from loadprobe.local.cluster.processes import send_signal
from loadprobe.local.serve import LocalOptions
from loadprobe.local.state import (
    LocalGroupState,
    LocalState,
    log_path,
    read_state,
    remove_state,
)

_READY_TIMEOUT_S = 40.0
_STOP_TIMEOUT_S = 15.0
_ASK_TIMEOUT_S = 5.0
_POLL_S = 0.02
_ERROR_TYPES = {
    UsageError.__name__: UsageError,
    PreflightError.__name__: PreflightError,
}
# Kept so that they are reaped: they outlive the objects of the call that made them.
_children: dict[int, subprocess.Popen[bytes]] = {}


class StartFailure(msgspec.Struct, frozen=True, tag_field="failed", tag="start"):
    """What the background process writes instead of a state when it cannot start.

    Args:
        kind: name of the error's class.
        text: the error.
    """

    kind: str
    text: str


async def up(
    options: LocalOptions, *, progress: Callable[[str], None] | None = None
) -> LocalState:
    """Start a local cluster in the background; return when it is ready.

    With ``die_with_parent`` the kernel watches the calling thread: call it from one
    that lives as long as the cluster should.

    Args:
        options: what to run.
        progress: called with a short text at every step.

    Raises:
        UsageError: one of that name runs already.
        PreflightError: no server, no TLS in it, no port, or no readable password file.
        RunError: it did not become ready; the text ends with its log.
    """
    tell = progress or (lambda _: None)
    if status(options.name) is not None:
        raise UsageError(
            f"starting the local cluster {options.name!r}: it runs already; end it "
            "(loadprobe local down), or choose another name"
        )
    if options.shards:
        servers = options.shards * (1 + options.replicas)
        tell(f"starting {servers} servers ({options.shards} shards)")
    else:
        tell("starting the API without a group")
    process = _spawn(options)
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S):
            line = await asyncio.to_thread(_first_line, process)
        state = _decoded(options, line)
    except BaseException as exc:
        process.kill()  # its servers die with it; also ends the reading thread
        process.wait()
        if isinstance(exc, TimeoutError):
            raise _not_ready(options, f"no answer in {_READY_TIMEOUT_S:g} s") from exc
        raise
    _children[process.pid] = process
    where = f", servers at {state.host}:{state.port}" if options.shards else ""
    tell(f"ready: API at {state.endpoint_url}{where}")
    return state


def status(name: str = "local") -> LocalState | None:
    """Return the state of the running cluster of that name, or None."""
    state = read_state(name)
    return state if state is not None and state.is_running else None


async def list_groups(state: LocalState) -> list[LocalGroupState]:
    """Ask a running cluster's API for its groups.

    Raises:
        RunError: it did not answer.
    """
    timeout = aiohttp.ClientTimeout(total=_ASK_TIMEOUT_S)
    url = state.endpoint_url + GROUPS_PATH
    headers = {"Authorization": f"Bearer {state.access_key}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, headers=headers) as response,
        ):
            return msgspec.json.decode(
                await response.read(), type=list[LocalGroupState]
            )
    except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as exc:
        raise RunError(
            f"asking {url} for the groups of the local cluster {state.name!r}: "
            f"{type(exc).__name__} {exc}; see its log {log_path(state.name)}"
        ) from exc


async def down(name: str = "local") -> LocalState | None:
    """End the cluster of that name and wait until everything is gone.

    Returns:
        The state of what was ended; None if nothing ran.
    """
    state = read_state(name)
    if state is not None and send_signal(state.pid, state.start_ticks, signal.SIGTERM):
        if not await _is_gone(state):
            send_signal(state.pid, state.start_ticks, signal.SIGKILL)
            await _is_gone(state)
        ended: LocalState | None = state
    else:
        ended = None
    if state is not None:
        child = _children.pop(state.pid, None)
        if child is not None:
            child.wait()
        remove_state(name)
    remove_abandoned(temp_folder())
    return ended


def _spawn(options: LocalOptions) -> subprocess.Popen[bytes]:
    """Start the process; not with asyncio, which kills it when its loop is closed."""
    log = os.open(
        log_path(options.name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o600
    )
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "loadprobe.local"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(options))
    process.stdin.close()
    return process


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    with process.stdout as stream:
        return stream.readline()


def _decoded(options: LocalOptions, line: bytes) -> LocalState:
    try:
        answer = msgspec.json.decode(line)
    except msgspec.DecodeError as exc:
        raise _not_ready(options, "it ended without an answer") from exc
    if "failed" in answer:
        failure = msgspec.convert(answer, StartFailure)
        raise _ERROR_TYPES.get(failure.kind, RunError)(failure.text)
    return msgspec.convert(answer, LocalState)


def _not_ready(options: LocalOptions, what: str) -> RunError:
    path = log_path(options.name)
    tail = "\n".join(path.read_text(errors="replace").splitlines()[-12:])
    return RunError(
        f"starting the local cluster {options.name!r} in the background: {what}; its "
        f"log {path} ends with:\n{tail}"
    )


async def _is_gone(state: LocalState) -> bool:
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            while state.is_running:
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        return False
    return True
