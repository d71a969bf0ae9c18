"""The accounts of all places: told entry by entry, and written down in the same words.

Pure. A file of a snapshot and the entries after it gives the same accounts again.
"""

from collections.abc import Iterable

import msgspec

from loadprobe.core.budget.account import Account, Bands, Sums
from loadprobe.core.intervals import Interval

Place = tuple[str, str]
"""A lane, and a shard."""


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """When shards of a lane were observed."""

    lane: str
    shards: list[str]
    spans: list[Interval]


class Dark(msgspec.Struct, frozen=True, array_like=True):
    """When a shard of a lane was dark; ``bands.seen`` is empty."""

    lane: str
    shard: str
    bands: Bands


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became known at once.

    Args:
        until_ns: everything due before was judged, UNIX.
        seen: observed since the entry before.
        ended: outages that are over.
        open: those that go on, all of them; None: as in the entry before.
    """

    until_ns: int
    seen: list[Seen] = []
    ended: list[Dark] = []
    open: list[Dark] | None = None


class PlaceAccount(msgspec.Struct, frozen=True):
    """The account of a place, with its name."""

    lane: str
    shard: str
    account: Account


class BudgetSnapshot(msgspec.Struct, frozen=True):
    """All accounts at a time.

    Args:
        until_ns: everything due before was judged, UNIX; 0 if nothing was.
        places: the accounts.
    """

    until_ns: int = 0
    places: list[PlaceAccount] = []


class Accounts:
    """The accounts of all places (see the module).

    Args:
        known: those of before.

    Attributes:
        until_ns: everything due before was judged, UNIX; 0 if nothing was.
    """

    def __init__(self, known: BudgetSnapshot | None = None) -> None:
        known = known or BudgetSnapshot()
        self.until_ns = known.until_ns
        self._accounts: dict[Place, Account] = {
            (row.lane, row.shard): row.account for row in known.places
        }
        self._settled: dict[tuple[Place, int], tuple[int, Sums]] = {}

    @property
    def places(self) -> list[Place]:
        """Return the places of which anything is known, sorted."""
        return sorted(self._accounts)

    def take(self, entry: Entry) -> None:
        """Take what became known."""
        self.until_ns = max(self.until_ns, entry.until_ns)
        for row in entry.ended:
            self._of(row.lane, row.shard).add(row.bands)
        if entry.open is not None:
            self._go_on(entry.open)
        for rows in entry.seen:
            for shard in rows.shards:
                self._of(rows.lane, shard).add(Bands(seen=rows.spans))
        for account in self._accounts.values():
            account.settle(entry.until_ns)

    def _of(self, lane: str, shard: str) -> Account:
        account = self._accounts.get((lane, shard))
        if account is None:
            account = self._accounts[lane, shard] = Account()
        return account

    def _go_on(self, rows: Iterable[Dark]) -> None:
        going_on = {(row.lane, row.shard): row.bands for row in rows}
        for lane, shard in going_on:
            self._of(lane, shard)
        for place, account in self._accounts.items():
            bands = going_on.get(place)
            if bands is not None or account.open.count:
                account.go_on(bands or Bands())

    def resume(self, now_ns: int) -> None:
        """Go on after another process, or after none.

        Args:
            now_ns: the time; what is said of a later one is forgotten.
        """
        self.until_ns = min(self.until_ns, now_ns)
        for account in self._accounts.values():
            account.leave_open()
            account.rewind(now_ns)

    def sums(self, place: Place, starts_ns: Iterable[int]) -> list[Sums]:
        """Return the lengths since some times, each the beginning of a bucket."""
        account = self._accounts.get(place) or Account()
        recent = account.unsettled()
        return [
            self._since(place, account, start_ns).plus(recent.sums(start_ns))
            for start_ns in starts_ns
        ]

    def _since(self, place: Place, account: Account, start_ns: int) -> Sums:
        """Return what is settled; that changes once a minute at most."""
        known = self._settled.get((place, start_ns))
        if known is None or known[0] != account.settled_ns:
            if len(self._settled) > 100 * len(self._accounts):
                self._settled.clear()  # the starts move with time
            known = account.settled_ns, account.settled(start_ns)
            self._settled[place, start_ns] = known
        return known[1]

    def snapshot(self) -> BudgetSnapshot:
        """Return all accounts; what nothing is known of any more is left out."""
        return BudgetSnapshot(
            self.until_ns,
            [
                PlaceAccount(lane, shard, account)
                for (lane, shard), account in sorted(self._accounts.items())
                if not account.is_empty
            ],
        )
