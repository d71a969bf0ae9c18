"""Acknowledged writes outlive their process; a file that is wrong is forgotten."""

import os
import stat
from array import array
from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

import pytest

from loadprobe.clock import NS_PER_S, BootClock, read_boot_clock
from loadprobe.core.load.lifetimes import LONG_AGO
from loadprobe.core.load.remembered import Remembered
from loadprobe.outputs.folder import ledger_file
from loadprobe.outputs.folder.ledger_file import LEDGER, LedgerFile, read_ledger


def column(*numbers: int) -> bytes:
    """Return a column of unsigned numbers."""
    return array("Q", numbers).tobytes()


def since(*numbers: int) -> bytes:
    """Return a column of signed numbers."""
    return array("q", numbers).tobytes()


def versions(rows: Mapping[int, Remembered]) -> dict[int, int]:
    """Return key -> version."""
    return {key: row.version for key, row in rows.items()}


def test_what_was_told_last_is_read(tmp_path: Path) -> None:
    """Known and new writes of all lanes, each key by its newest version."""
    known = {"tcp": {1: Remembered(10, 5), 2: Remembered(20, 6)}}
    file = LedgerFile(tmp_path, known)
    file.add("tcp", column(2, 3), column(21, 30), since(-7, LONG_AGO))
    file.add("tls", column(1), column(1 << 60), since(8))
    file.close()
    kept = {
        "tcp": {
            1: Remembered(10, 5),
            2: Remembered(21, -7),
            3: Remembered(30, LONG_AGO),
        },
        "tls": {1: Remembered(1 << 60, 8)},
    }
    assert read_ledger(tmp_path) == kept
    assert stat.S_IMODE((tmp_path / LEDGER).stat().st_mode) == 0o600
    again = LedgerFile(tmp_path, kept)
    again.forget("tcp", column(3, 99))
    again.forget("none", column(1))
    again.close()
    assert versions(read_ledger(tmp_path)["tcp"]) == {1: 10, 2: 21}
    assert read_ledger(tmp_path / "nothing") == {}


def test_a_torn_or_changed_file_says_less(tmp_path: Path) -> None:
    """Whatever byte is cut off or changed: no version is read that was not written."""
    file = LedgerFile(tmp_path, {})
    for version in range(1, 4):
        file.add("tcp", column(7), column(version), since(version))
    file.close()
    path = tmp_path / LEDGER
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at])
        cut = read_ledger(tmp_path).get("tcp", {})
        assert cut.get(7, (0, 0)) in [(n, n) for n in range(3)]
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        changed = read_ledger(tmp_path).get("tcp", {})
        assert changed.get(7, (0, 0)) in [(n, n) for n in range(4)]
        assert set(changed) <= {7}


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x93\xa1a\xc4\x01k\xc4\x00", b"\xc0", b"\x93\xa1a\xc4\x08kkkkkkkk"],
)
def test_a_frame_with_other_things_ends_it(tmp_path: Path, payload: bytes) -> None:
    """A right checksum does not make sense of what has none."""
    kept = {"tcp": {1: Remembered(1, 1)}}
    file = LedgerFile(tmp_path, kept)
    file.close()
    head = ledger_file._HEADER.pack(len(payload), crc32(payload))
    with (tmp_path / LEDGER).open("ab") as appended:
        appended.write(head + payload)
    assert read_ledger(tmp_path) == kept


def test_it_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often keys are written, the file has little more than one of each."""
    monkeypatch.setattr(ledger_file, "GROWN_BYTES", 1_000)
    file = LedgerFile(tmp_path, {})
    sizes = []
    for version in range(1, 2_000):
        file.add("tcp", column(version % 5), column(version), since(0))
        sizes.append((tmp_path / LEDGER).stat().st_size)
    file.close()
    assert max(sizes) < 2_000
    assert versions(read_ledger(tmp_path)["tcp"]) == {
        n % 5: n for n in range(1_995, 2_000)
    }


def test_a_full_disk_costs_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written before stays readable, and with room again all is there."""
    file = LedgerFile(tmp_path, {})
    file.add("tcp", column(1), column(1), since(0))
    real = os.write

    def full(fd: int, data: bytes) -> int:
        """Take half of it."""
        return real(fd, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", full)
    for version in range(2, 300):
        file.add("tcp", column(1), column(version), since(0))
    assert versions(read_ledger(tmp_path)["tcp"]) == {1: 1}
    monkeypatch.undo()
    for version in range(300, 500):
        file.add("tcp", column(1), column(version), since(0))
    file.close()
    assert versions(read_ledger(tmp_path)["tcp"]) == {1: 499}


@pytest.mark.parametrize(
    ("off_s", "stepped_s", "age_s"),
    [(60, 0, 160), (60, 30, 190), (7200, -60, 7240), (60, -3600, None)],
)
def test_another_start_of_the_machine(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    off_s: int,
    stepped_s: int,
    age_s: int | None,
) -> None:
    """Then the wall clock tells how old a key is; a time to come tells nothing."""
    then = BootClock("one", 10_000 * NS_PER_S, 1_000_000 * NS_PER_S)
    monkeypatch.setattr(ledger_file, "read_boot_clock", lambda: then)
    file = LedgerFile(tmp_path, {})
    set_ns = then.now_ns - 100 * NS_PER_S
    file.add("tcp", column(1, 2), column(10, 20), since(set_ns, LONG_AGO))
    file.close()
    later_s = 1_010_000 + off_s + stepped_s
    now = BootClock("two", 50 * NS_PER_S, (later_s - 50) * NS_PER_S)
    monkeypatch.setattr(ledger_file, "read_boot_clock", lambda: now)
    kept = read_ledger(tmp_path)["tcp"]
    expected = LONG_AGO if age_s is None else now.now_ns - age_s * NS_PER_S
    assert kept == {1: (10, expected), 2: (20, LONG_AGO)}
    monkeypatch.setattr(ledger_file, "read_boot_clock", lambda: then)
    assert read_ledger(tmp_path)["tcp"] == {1: (10, set_ns), 2: (20, LONG_AGO)}


def test_the_clock_of_now_is_read() -> None:
    """It does not go back, and leads to the time of the wall clock."""
    one, two = read_boot_clock(), read_boot_clock()
    assert one.boot_id == two.boot_id
    assert one.now_ns <= two.now_ns
    assert abs(one.to_wall_ns - two.to_wall_ns) < NS_PER_S
