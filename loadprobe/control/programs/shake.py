"""RedisShake: its configuration, written from ours, and its status page.

Pure. Form of both: RedisShake 4 (``shake.toml``, ``internal/status`` and
``internal/reader/sync_standalone_reader.go`` of its repository). It could not be run
here; what is read was written after these files.
"""

from collections.abc import Mapping

import msgspec

from loadprobe.control.programs.course import CopyStatus, together
from loadprobe.control.programs.ends import DataEnd

_COPYING = ("receiving rdb", "syncing rdb")
_FOLLOWING = "syncing aof"


class _Reader(msgspec.Struct, frozen=True):
    status: str = ""
    rdb_file_size_bytes: int = 0
    rdb_received_bytes: int = 0
    rdb_sent_bytes: int = 0
    aof_received_offset: int = 0
    aof_sent_offset: int = 0
    aof_received_bytes: int = 0


class _Page(msgspec.Struct, frozen=True):
    consistent: bool = False
    reader: _Reader | list[_Reader] | None = None


_decode = msgspec.json.Decoder(_Page).decode


def shake_config(
    source: DataEnd, target: DataEnd, *, status_port: int, folder: str
) -> str:
    """Return the configuration, which holds the passwords of both ends.

    Args:
        source: read as a replica reads it: by PSYNC.
        target: where to.
        status_port: where it tells how far it is.
        folder: what it writes goes there.
    """
    ends = {
        "sync_reader": {
            **_end(source),
            "sync_rdb": True,
            "sync_aof": True,
            "prefer_replica": False,
            "try_diskless": False,
        },
        "redis_writer": {**_end(target), "off_reply": False},
        "advanced": {
            "dir": folder,
            "status_port": status_port,
            "log_file": "shake.log",
            "log_level": "info",
            "log_interval": 5,
            # A key that is there already would end it.
            "rdb_restore_command_behavior": "rewrite",
        },
    }
    return "\n".join(_section(name, keys) for name, keys in ends.items())


def _end(end: DataEnd) -> dict[str, object]:
    return {
        "cluster": end.is_cluster,
        "address": end.address,
        "username": end.username or "",
        "password": "" if end.password is None else end.password.reveal(),
        "tls": end.tls,
    }


def _section(name: str, keys: Mapping[str, object]) -> str:
    # A JSON text is a basic string of TOML, and so are its numbers and flags.
    lines = [f"{key} = {msgspec.json.encode(v).decode()}" for key, v in keys.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def read_shake_status(page: bytes) -> CopyStatus:
    """Return how far it is.

    Raises:
        ValueError: it is no status page.
    """
    try:
        told = _decode(page)
    except msgspec.MsgspecError as exc:
        raise ValueError(f"no status page of RedisShake: {exc}") from exc
    if told.reader is None:  # in its first second
        return CopyStatus("starting")
    readers = told.reader if isinstance(told.reader, list) else [told.reader]
    if not readers:
        return CopyStatus("starting")
    return together([_status(each, is_consistent=told.consistent) for each in readers])


def _status(reader: _Reader, *, is_consistent: bool) -> CopyStatus:
    is_following = reader.status == _FOLLOWING
    lag = max(0, reader.aof_received_offset - reader.aof_sent_offset)
    all_bytes = reader.rdb_file_size_bytes
    return CopyStatus(
        state=reader.status or "starting",
        is_begun=is_following or reader.status in _COPYING,
        is_copied=is_following,
        is_in_step=is_following and is_consistent,
        done_bytes=reader.rdb_file_size_bytes
        if is_following
        else reader.rdb_sent_bytes,
        all_bytes=all_bytes or None,
        lag_bytes=lag if is_following else None,
        moved=reader.rdb_received_bytes
        + reader.rdb_sent_bytes
        + reader.aof_received_bytes
        + max(0, reader.aof_sent_offset),
    )
