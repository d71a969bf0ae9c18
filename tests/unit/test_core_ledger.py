"""The ledger by example."""

from loadprobe.core.ledger import Ledger, ReadVerdict

OK, STALE = ReadVerdict.OK, ReadVerdict.STALE


def written(*versions: int) -> Ledger:
    """Return a ledger in which versions of key 1 were written one after the other."""
    ledger = Ledger()
    for version in versions:
        ledger.begin_write(1, version)
        ledger.acked(1, version, b"%d" % version)
    return ledger


def judge(ledger: Ledger, version: int | None) -> ReadVerdict:
    """Judge a read of key 1 that is sent and answered now."""
    return ledger.judge_read(
        1,
        version,
        acked_at_send=ledger.acknowledged(1),
        was_present=ledger.is_present(1),
    )


def test_a_key_never_written() -> None:
    """Of an unknown key anything may be read: nil, or what an earlier run wrote."""
    ledger = Ledger()
    assert judge(ledger, None) is OK
    assert judge(ledger, 5) is OK
    assert ledger.expected(1) is None
    assert ledger.acknowledged(1) == 0


def test_acknowledged_versions() -> None:
    """After writes in sequence only the last version is right."""
    ledger = written(10, 11)
    assert ledger.expected(1) == b"11"
    assert judge(ledger, 11) is OK
    assert judge(ledger, 10) is STALE
    assert judge(ledger, 3) is STALE
    assert judge(ledger, None) is ReadVerdict.MISSING
    assert judge(ledger, 12) is ReadVerdict.FUTURE
    assert ledger.acknowledged_keys() == [1]


def test_a_seen_key_can_go_missing() -> None:
    """A key of an earlier run that was read once is missing when it is nil later."""
    ledger = Ledger()
    ledger.seen(1, 5, b"5")
    assert ledger.is_present(1)
    assert ledger.expected(1) == b"5"
    assert judge(ledger, None) is ReadVerdict.MISSING
    assert ledger.acknowledged_keys() == []


def test_what_was_acknowledged_after_sending_does_not_count() -> None:
    """A read sent before an acknowledgement may find the version before it."""
    ledger = written(10)
    acked_at_send = ledger.acknowledged(1)
    ledger.begin_write(1, 11)
    ledger.acked(1, 11, b"11")
    found = ledger.judge_read(1, 10, acked_at_send=acked_at_send, was_present=True)
    assert found is OK


def test_overlapping_writes_may_be_applied_in_any_order() -> None:
    """Of two writes under way together either may stay, in whatever order they end."""
    for order in ((11, 12), (12, 11)):
        ledger = written(10)
        ledger.begin_write(1, 11)
        ledger.begin_write(1, 12)
        for version in order:
            ledger.acked(1, version, b"%d" % version)
        assert ledger.expected(1) == b"12"
        assert judge(ledger, 11) is OK
        assert judge(ledger, 12) is OK
        assert judge(ledger, 10) is STALE


def test_a_write_without_reply_may_come_later() -> None:
    """A write that was given up may be found after a later one was acknowledged."""
    ledger = written(10)
    ledger.begin_write(1, 11)
    ledger.begin_write(1, 12)
    ledger.acked(1, 12, b"12")
    assert judge(ledger, 11) is OK
    ledger.acked(1, 11, b"11")
    assert judge(ledger, 11) is OK
    assert ledger.acknowledged(1) == 12


def test_a_write_without_reply_is_settled_once_read() -> None:
    """When its value was read it had been applied: later writes supersede it."""
    ledger = written(10)
    ledger.begin_write(1, 11)
    assert judge(ledger, 11) is OK
    ledger.seen(1, 11, b"11")
    ledger.begin_write(1, 12)
    ledger.acked(1, 12, b"12")
    assert judge(ledger, 11) is STALE


def test_a_refused_write_leaves_nothing_behind() -> None:
    """A write that did not happen excuses no old value."""
    ledger = written(10)
    ledger.begin_write(1, 11)
    ledger.failed(1, 11)
    assert judge(ledger, 10) is OK
    ledger.begin_write(1, 12)
    ledger.acked(1, 12, b"12")
    assert judge(ledger, 11) is STALE


def test_memory_is_bounded_and_forgetting_accuses_nobody() -> None:
    """Of a key with very many writes of unknown fate the oldest are not judged."""
    ledger = Ledger()
    for version in range(1, 1001):
        ledger.begin_write(1, version)
    ledger.begin_write(1, 2000)
    ledger.acked(1, 2000, b"2000")
    assert all(judge(ledger, version) is OK for version in range(1, 1001))
    assert max(map(len, ledger._rivals.values())) <= 64


def test_what_is_superseded_meanwhile_is_not_held_against_a_read() -> None:
    """A read may find one of two overlapping writes after a third was acknowledged."""
    ledger = Ledger()
    ledger.begin_write(1, 11)
    ledger.begin_write(1, 12)
    ledger.acked(1, 12, b"12")
    ledger.acked(1, 11, b"11")
    ledger.begin_write(1, 13)
    ledger.acked(1, 13, b"13")
    found = ledger.judge_read(1, 11, acked_at_send=12, was_present=True)
    assert found is OK
    assert judge(ledger, 11) is STALE


def test_writes_in_sequence_keep_nothing() -> None:
    """Without overlap nothing is kept per write."""
    ledger = written(*range(1, 500))
    assert not ledger._rivals
    assert not ledger._forgiven
