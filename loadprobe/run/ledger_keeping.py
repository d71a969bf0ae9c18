"""Keeps what was written and acknowledged, for a process that goes on with the run."""

from array import array
from collections.abc import Iterable
from pathlib import Path

from loadprobe.outputs.folder.ledger_file import Ledger, LedgerFile
from loadprobe.probe.messages import Acknowledged


class LedgerKeeping:
    """Passes on to the file in the run folder what probes tell, once there is one.

    Args:
        known: what an earlier process wrote.
        lanes: names of those there are. What others wrote is forgotten: nobody renews
            it, and one that comes back by such a name may write something else.
    """

    def __init__(self, known: Ledger, lanes: Iterable[str]) -> None:
        self._known = {lane: known[lane] for lane in lanes if lane in known}
        self._file: LedgerFile | None = None

    def begin(self, folder: Path) -> None:
        """Keep it in a run folder from now on."""
        self._file = LedgerFile(folder, self._known)

    def take(self, told: Acknowledged) -> None:
        """Take what was acknowledged."""
        if self._file is not None:
            self._file.add(told.lane, told.keys, told.versions, told.set_ns)

    def forget(self, lane: str, keys: bytes) -> None:
        """Take note of what is known to be lost: that is not to be found once more."""
        if self._file is not None:
            self._file.forget(lane, keys)
            return
        rows = self._known.get(lane, {})
        for key in array("Q", keys):
            rows.pop(key, None)

    def close(self) -> None:
        """Keep no more."""
        if self._file is not None:
            self._file.close()
