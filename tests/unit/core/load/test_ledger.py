"""The history by example."""

from loadprobe.core.load.ledger import History, ReadVerdict
from loadprobe.core.load.values import NIL

OK, STALE = ReadVerdict.OK, ReadVerdict.STALE


def written(*versions: int) -> History:
    """Return a history in which versions of key 1 were written one after the other."""
    history = History()
    for version in versions:
        history.begin_write(version)
        history.acked(version, b"%d" % version)
    return history


def judge(history: History, version: int | None) -> ReadVerdict:
    """Judge a read of key 1 that is sent and answered now."""
    return history.judge_read(
        version,
        acked_at_send=history.acked_version,
        was_present=history.value is not NIL,
    )


def test_a_key_never_written() -> None:
    """Of an unknown key anything may be read: nil, or what an earlier run wrote."""
    history = History()
    assert judge(history, None) is OK
    assert judge(history, 5) is OK
    assert history.value is NIL
    assert history.acked_version == 0


def test_acknowledged_versions() -> None:
    """After writes in sequence only the last version is right."""
    history = written(10, 11)
    assert history.value == b"11"
    assert judge(history, 11) is OK
    assert judge(history, 10) is STALE
    assert judge(history, 3) is STALE
    assert judge(history, None) is ReadVerdict.MISSING
    assert judge(history, 12) is ReadVerdict.FUTURE


def test_a_seen_key_can_go_missing() -> None:
    """A key of an earlier run that was read once is missing when it is nil later."""
    history = History()
    history.seen(5, b"5")
    assert history.value is not NIL
    assert history.value == b"5"
    assert judge(history, None) is ReadVerdict.MISSING


def test_what_was_acknowledged_after_sending_does_not_count() -> None:
    """A read sent before an acknowledgement may find the version before it."""
    history = written(10)
    acked_at_send = history.acked_version
    history.begin_write(11)
    history.acked(11, b"11")
    found = history.judge_read(10, acked_at_send=acked_at_send, was_present=True)
    assert found is OK


def test_overlapping_writes_may_be_applied_in_any_order() -> None:
    """Of two writes under way together either may stay, in whatever order they end."""
    for order in ((11, 12), (12, 11)):
        history = written(10)
        history.begin_write(11)
        history.begin_write(12)
        for version in order:
            history.acked(version, b"%d" % version)
        assert history.value == b"12"
        assert judge(history, 11) is OK
        assert judge(history, 12) is OK
        assert judge(history, 10) is STALE


def test_a_write_without_reply_may_come_later() -> None:
    """A write that was given up may be found after a later one was acknowledged."""
    history = written(10)
    history.begin_write(11)
    history.begin_write(12)
    history.acked(12, b"12")
    assert judge(history, 11) is OK
    history.acked(11, b"11")
    assert judge(history, 11) is OK
    assert history.acked_version == 12


def test_a_write_without_reply_is_decided_once_read() -> None:
    """When its value was read it had been applied: later writes supersede it."""
    history = written(10)
    history.begin_write(11)
    assert judge(history, 11) is OK
    history.seen(11, b"11")
    history.begin_write(12)
    history.acked(12, b"12")
    assert judge(history, 11) is STALE


def test_a_refused_write_leaves_nothing_behind() -> None:
    """A write that did not happen excuses no old value."""
    history = written(10)
    history.begin_write(11)
    history.failed(11)
    assert judge(history, 10) is OK
    history.begin_write(12)
    history.acked(12, b"12")
    assert judge(history, 11) is STALE


def test_memory_is_bounded_and_forgetting_accuses_nobody() -> None:
    """Of a key with very many writes of unknown fate the oldest are not judged."""
    history = History()
    for version in range(1, 1001):
        history.begin_write(version)
    history.begin_write(2000)
    history.acked(2000, b"2000")
    assert all(judge(history, version) is OK for version in range(1, 1001))
    assert len(history._rivals) <= 64


def test_what_is_superseded_meanwhile_is_not_held_against_a_read() -> None:
    """A read may find one of two overlapping writes after a third was acknowledged."""
    history = History()
    history.begin_write(11)
    history.begin_write(12)
    history.acked(12, b"12")
    history.acked(11, b"11")
    history.begin_write(13)
    history.acked(13, b"13")
    found = history.judge_read(11, acked_at_send=12, was_present=True)
    assert found is OK
    assert judge(history, 11) is STALE


def test_writes_in_sequence_keep_nothing() -> None:
    """Without overlap nothing is kept per write."""
    history = written(*range(1, 500))
    assert not history._rivals
    assert history._oldest_judged == history._acked_judged == 0


def test_what_overlaps_for_one_key_is_nothing_to_another() -> None:
    """Keys share the knowledge that nothing overlaps, not what does."""
    one, other = History(), History()
    one.begin_write(1)
    one.begin_write(2)
    one.acked(1, b"1")
    assert one.judge_read(1, acked_at_send=2, was_present=True) is ReadVerdict.OK
    other.begin_write(1)
    other.acked(1, b"1")
    other.begin_write(2)
    other.acked(2, b"2")
    assert other.judge_read(1, acked_at_send=2, was_present=True) is ReadVerdict.STALE
    assert History()._rivals == {}
