"""Error budgets outlive their process, in a file of their own."""

import errno
import os
import stat
from pathlib import Path

import pytest

from loadprobe.clock import NS_PER_S
from loadprobe.core.budget.account import Bands
from loadprobe.core.budget.accounts import Accounts, Dark, Entry, Seen
from loadprobe.outputs.folder import budget_file
from loadprobe.outputs.folder.budget_file import (
    BudgetFile,
    find_budget,
    read_budget,
)

HOUR_NS = 3600 * NS_PER_S
PLACE = ("tcp", "0001")


def entry(second: int, *, dark: bool = False) -> Entry:
    """Return that a second was seen, and perhaps dark."""
    span = second * NS_PER_S, (second + 1) * NS_PER_S
    ended = [Dark(*PLACE, Bands([span], [span], [span]))] if dark else []
    return Entry(span[1], seen=[Seen("tcp", ["0001"], [span])], ended=ended)


def opened(folder: Path, target: str = "a:1") -> tuple[BudgetFile, Accounts]:
    """Return the file of a target, as a run opens it."""
    file = BudgetFile(folder, "night", target)
    accounts = file.load()
    file.begin(accounts.snapshot())
    return file, accounts


def tell(file: BudgetFile, accounts: Accounts, *entries: Entry) -> None:
    """Tell entries as a run does."""
    for row in entries:
        accounts.take(row)
        file.add(row)


def files(folder: Path) -> list[Path]:
    """Return the files with entries."""
    return sorted((folder / ".budget" / "night").glob("*.ndjson"))


def sums(accounts: Accounts) -> tuple[int, int]:
    """Return how many seconds were dark and seen."""
    (found,) = accounts.sums(PLACE, [0])
    return found.estimate_ns // NS_PER_S, found.seen_ns // NS_PER_S


def test_everything_told_is_there_without_an_end(tmp_path: Path) -> None:
    """A process that is killed closes nothing; the next one goes on with all of it."""
    file, accounts = opened(tmp_path)
    tell(file, accounts, *(entry(s, dark=s % 10 == 0) for s in range(500)))
    (path,) = files(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sums(read_budget(path)) == (50, 500)
    file.close()
    again, accounts = opened(tmp_path)
    assert sums(accounts) == (50, 500)
    tell(again, accounts, entry(499, dark=True), entry(500, dark=True))
    assert sums(accounts) == (52, 501)
    again.close()


def test_each_target_has_its_own(tmp_path: Path) -> None:
    """Runs of one name at two targets do not share a budget."""
    one, accounts = opened(tmp_path, "a:1")
    tell(one, accounts, entry(0, dark=True))
    other, accounts = opened(tmp_path, "b:1")
    assert accounts.places == []
    one.close()
    other.close()


def test_what_is_torn_is_left_out(tmp_path: Path) -> None:
    """The last line of a process that was killed while it wrote, and what follows."""
    file, accounts = opened(tmp_path)
    tell(file, accounts, *(entry(s, dark=True) for s in range(5)))
    file.close()
    (path,) = files(tmp_path)
    content = path.read_bytes()
    for cut in (1, 20):
        path.write_bytes(content[:-cut])
        assert sums(read_budget(path)) == (4, 4)
    path.write_bytes(
        content.replace(b'"until_ns":3000000000', b'"until_ns":3000000001')
    )
    assert sums(read_budget(path)) == (2, 2)


def test_a_damaged_file_is_set_aside_and_the_one_before_read(tmp_path: Path) -> None:
    """It is said, and nothing is deleted."""
    file, accounts = opened(tmp_path)
    tell(file, accounts, *(entry(s, dark=True) for s in range(5)))
    file.begin(accounts.snapshot())
    tell(file, accounts, entry(5, dark=True))
    file.close()
    old, new = files(tmp_path)
    new.write_bytes(b"[1" + new.read_bytes()[2:])
    again, accounts = opened(tmp_path)
    assert sums(accounts) == (5, 5)
    (problem,) = again.problems
    assert "set aside" in problem
    assert new.with_suffix(".damaged").exists()
    assert old in files(tmp_path)
    again.close()


def test_it_is_begun_anew_when_it_has_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two generations are kept, and nothing is lost with those before."""
    monkeypatch.setattr(budget_file, "GROWN_BYTES", 2_000)
    file, accounts = opened(tmp_path)
    count = 0
    for second in range(2_000):
        tell(file, accounts, entry(second, dark=second % 2 == 0))
        if file.is_grown:
            count += 1
            file.begin(accounts.snapshot())
    file.close()
    assert count > 5
    assert len(files(tmp_path)) == 2
    assert sums(read_budget(files(tmp_path)[-1])) == (1_000, 2_000)
    assert sum(path.stat().st_size for path in files(tmp_path)) < 40_000


def test_a_full_disk_takes_nothing_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is begun anew meanwhile, a whole one is kept for the next."""
    monkeypatch.setattr(budget_file, "GROWN_BYTES", 2_000)
    file, accounts = opened(tmp_path)
    tell(file, accounts, *(entry(s, dark=True) for s in range(10)))

    def refuse(_fd: int, _content: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", refuse)
        for second in range(10, 300):
            tell(file, accounts, entry(second))
            if file.is_grown:
                file.begin(accounts.snapshot())
        # Whoever is killed now leaves what had been written.
        rest, *_ = files(tmp_path)
        assert sums(read_budget(rest)) == (10, 10)
    tell(file, accounts, entry(300))
    assert sums(read_budget(files(tmp_path)[-1])) == (10, 301)
    file.begin(accounts.snapshot())
    file.close()
    assert len(files(tmp_path)) == 2
    again, accounts = opened(tmp_path)
    assert sums(accounts) == (10, 301)
    assert again.problems == []
    again.close()


def test_what_cannot_be_read_now_is_there_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that could not read it keeps its own to itself, as it says."""
    file, accounts = opened(tmp_path)
    tell(file, accounts, *(entry(s, dark=True) for s in range(10)))
    file.close()

    def refuse(_path: Path) -> Accounts:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(budget_file, "read_budget", refuse)
        alone, accounts = opened(tmp_path)
        tell(alone, accounts, entry(20))
        (problem,) = alone.problems
        assert "it is that of this process alone" in problem
        alone.close()
    again, accounts = opened(tmp_path)
    assert sums(accounts) == (10, 10)
    again.close()


def test_one_process_has_it(tmp_path: Path) -> None:
    """Another run of the same name and target keeps its own to itself, and says so."""
    one, accounts = opened(tmp_path)
    tell(one, accounts, entry(0, dark=True))
    other, others = opened(tmp_path)
    tell(other, others, entry(1, dark=True))
    (problem,) = other.problems
    assert "another run of the same name has it" in problem
    other.close()
    one.close()
    assert sums(read_budget(files(tmp_path)[-1])) == (1, 1)


def test_another_format_is_not_read(tmp_path: Path) -> None:
    """A file of a later version is set aside, not misread."""
    file, _ = opened(tmp_path)
    file.close()
    (path,) = files(tmp_path)
    header = budget_file.Header(2, "night", "a:1", Accounts().snapshot())
    path.write_bytes(budget_file.encode(header))
    with pytest.raises(ValueError, match="format is 2"):
        read_budget(path)


def test_how_it_stood_at_an_earlier_time(tmp_path: Path) -> None:
    """Also after it was begun anew; not if nothing tells of that time any more."""
    file, accounts = opened(tmp_path)
    tell(file, accounts, *(entry(s, dark=s % 2 == 0) for s in range(100)))
    file.close()
    again, accounts = opened(tmp_path)
    tell(again, accounts, *(entry(s, dark=True) for s in range(100, 200)))

    def at(second: float) -> tuple[int, int] | None:
        until_ns = round(second * NS_PER_S)
        found = find_budget(tmp_path, "night", "a:1", until_ns)
        return None if found is None else sums(found)

    assert [at(1), at(60.5), at(100)] == [(1, 1), (30, 60), (50, 100)]
    assert [at(101), at(200), at(205)] == [(51, 101), (150, 200), (150, 200)]
    assert at(205.1) is None  # nobody had it then
    assert find_budget(tmp_path, "night", "b:1", 60 * NS_PER_S) is None
    (first, *_) = files(tmp_path)
    pipe = first.with_name(first.name.replace("00000001", "00000099"))
    os.mkfifo(pipe)  # somebody else's folder: nothing is waited for
    assert at(60.5) == (30, 60)
    pipe.unlink()
    again.begin(accounts.snapshot())
    assert at(60) is None  # the first one has gone
    assert at(150) == (100, 150)
    again.close()
