"""RedisShake's configuration as it is written, and its status page as it is read.

The pages have the form that the program's own source gives them (version 4); it could
not be run to record them.
"""

import tomllib
from typing import Any

import msgspec
import pytest

from loadprobe.control.programs.ends import DataEnd
from loadprobe.control.programs.shake import read_shake_status, shake_config
from loadprobe.control.provider.secret import Secret

READER: dict[str, Any] = {
    "name": "reader_10.0.0.5_6379",
    "address": "10.0.0.5:6379",
    "dir": "/tmp/data/reader_10.0.0.5_6379",
    "status": "syncing rdb",
    "rdb_file_size_bytes": 4_096,
    "rdb_file_size_human": "4.0 KiB",
    "rdb_received_bytes": 4_096,
    "rdb_received_human": "4.0 KiB",
    "rdb_sent_bytes": 1_024,
    "rdb_sent_human": "1.0 KiB",
    "aof_received_offset": 5_000,
    "aof_sent_offset": 0,
    "aof_received_bytes": 700,
    "aof_received_human": "700 B",
}
WRITER = {"name": "writer", "unanswered_bytes": 0, "unanswered_entries": 0}


def page(reader: object, *, consistent: bool = False) -> bytes:
    """Return a status page."""
    count = {"allow": 3, "disallow": 0, "allow_ops": 1.5, "disallow_ops": 0}
    return msgspec.json.encode(
        {
            "start_time": "2026-01-01 12:00:00",
            "consistent": consistent,
            "total_entries_count": count,
            "per_cmd_entries_count": {"SET": count},
            "reader": reader,
            "writer": WRITER,
        }
    )


def test_the_full_copy() -> None:
    """How much of it was passed on, and that it is not done."""
    status = read_shake_status(page(READER))
    assert (status.state, status.is_begun, status.is_copied) == (
        "syncing rdb",
        True,
        False,
    )
    assert (status.done_bytes, status.all_bytes, status.lag_bytes) == (
        1_024,
        4_096,
        None,
    )


def test_following() -> None:
    """How far it is behind; in step only if it says so of itself."""
    following = READER | {"status": "syncing aof", "aof_sent_offset": 4_700}
    status = read_shake_status(page(following))
    assert status.is_copied
    assert not status.is_in_step
    assert (status.done_bytes, status.lag_bytes) == (4_096, 300)
    assert read_shake_status(page(following, consistent=True)).is_in_step


@pytest.mark.parametrize("status", ["hand shaking", "waiting bgsave"])
def test_before_the_copy(status: str) -> None:
    """It has not begun while the source makes its file."""
    told = read_shake_status(page(READER | {"status": status}))
    assert (told.state, told.is_begun) == (status, False)


def test_a_source_in_cluster_mode() -> None:
    """One reader for each shard: the copy is done when the last one has it."""
    following = READER | {"status": "syncing aof", "aof_sent_offset": 5_000}
    status = read_shake_status(page([following, READER], consistent=True))
    assert (status.state, status.is_copied) == ("syncing rdb", False)
    status = read_shake_status(page([following, following], consistent=True))
    assert status.is_in_step
    assert status.lag_bytes == 0


@pytest.mark.parametrize("reader", [None, []])
def test_the_first_second(reader: object) -> None:
    """The page has no reader yet."""
    assert read_shake_status(page(reader)).state == "starting"


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"reader": 3}'])
def test_what_is_no_page(body: bytes) -> None:
    """It is told as such."""
    with pytest.raises(ValueError, match="no status page of RedisShake"):
        read_shake_status(body)


def test_the_configuration() -> None:
    """Both ends with their logins, and what makes it restartable."""
    source = DataEnd("10.0.0.5", 6379, username="me", password=Secret('p"w\\'))
    target = DataEnd("db.example.com", 6380, tls=True, is_cluster=True)
    text = shake_config(source, target, status_port=9_000, folder="/tmp/x")
    told = tomllib.loads(text)
    assert told["sync_reader"] == {
        "cluster": False,
        "address": "10.0.0.5:6379",
        "username": "me",
        "password": 'p"w\\',
        "tls": False,
        "sync_rdb": True,
        "sync_aof": True,
        "prefer_replica": False,
        "try_diskless": False,
    }
    assert told["redis_writer"]["address"] == "db.example.com:6380"
    assert told["redis_writer"]["cluster"]
    assert told["redis_writer"]["tls"]
    assert told["advanced"]["status_port"] == 9_000
    assert told["advanced"]["rdb_restore_command_behavior"] == "rewrite"
