"""Acknowledged writes outlive their process; a file that is wrong is forgotten."""

import os
import stat
from array import array
from pathlib import Path
from zlib import crc32

import pytest

from loadprobe.outputs.folder import ledger_file
from loadprobe.outputs.folder.ledger_file import LEDGER, LedgerFile, read_ledger


def column(*numbers: int) -> bytes:
    """Return a column of unsigned numbers."""
    return array("Q", numbers).tobytes()


def test_what_was_told_last_is_read(tmp_path: Path) -> None:
    """Known and new writes of all lanes, each key by its newest version."""
    file = LedgerFile(tmp_path, {"tcp": {1: 10, 2: 20}})
    file.add("tcp", column(2, 3), column(21, 30))
    file.add("tls", column(1), column(1 << 60))
    file.close()
    kept = {"tcp": {1: 10, 2: 21, 3: 30}, "tls": {1: 1 << 60}}
    assert read_ledger(tmp_path) == kept
    assert stat.S_IMODE((tmp_path / LEDGER).stat().st_mode) == 0o600
    again = LedgerFile(tmp_path, kept)
    again.forget("tcp", column(3, 99))
    again.forget("none", column(1))
    again.close()
    assert read_ledger(tmp_path)["tcp"] == {1: 10, 2: 21}
    assert read_ledger(tmp_path / "nothing") == {}


def test_a_torn_or_changed_file_says_less(tmp_path: Path) -> None:
    """Whatever byte is cut off or changed: no version is read that was not written."""
    file = LedgerFile(tmp_path, {})
    for version in range(1, 4):
        file.add("tcp", column(7), column(version))
    file.close()
    path = tmp_path / LEDGER
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at])
        cut = read_ledger(tmp_path).get("tcp", {})
        assert cut.get(7, 0) in range(3)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        changed = read_ledger(tmp_path).get("tcp", {})
        assert changed.get(7, 0) in range(4)
        assert set(changed) <= {7}


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x93\xa1a\xc4\x01k\xc4\x00", b"\xc0", b"\x93\xa1a\xc4\x08kkkkkkkk"],
)
def test_a_frame_with_other_things_ends_it(tmp_path: Path, payload: bytes) -> None:
    """A right checksum does not make sense of what has none."""
    file = LedgerFile(tmp_path, {"tcp": {1: 1}})
    file.close()
    head = ledger_file._HEADER.pack(len(payload), crc32(payload))
    with (tmp_path / LEDGER).open("ab") as appended:
        appended.write(head + payload)
    assert read_ledger(tmp_path) == {"tcp": {1: 1}}


def test_it_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often keys are written, the file has little more than one of each."""
    monkeypatch.setattr(ledger_file, "GROWN_BYTES", 1_000)
    file = LedgerFile(tmp_path, {})
    sizes = []
    for version in range(1, 2_000):
        file.add("tcp", column(version % 5), column(version))
        sizes.append((tmp_path / LEDGER).stat().st_size)
    file.close()
    assert max(sizes) < 2_000
    assert read_ledger(tmp_path)["tcp"] == {n % 5: n for n in range(1_995, 2_000)}


def test_a_full_disk_costs_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written before stays readable, and with room again all is there."""
    file = LedgerFile(tmp_path, {})
    file.add("tcp", column(1), column(1))
    real = os.write

    def full(fd: int, data: bytes) -> int:
        """Take half of it."""
        return real(fd, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", full)
    for version in range(2, 300):
        file.add("tcp", column(1), column(version))
    assert read_ledger(tmp_path) == {"tcp": {1: 1}}
    monkeypatch.undo()
    for version in range(300, 500):
        file.add("tcp", column(1), column(version))
    file.close()
    assert read_ledger(tmp_path) == {"tcp": {1: 499}}
