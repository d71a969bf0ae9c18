"""Probe processes as the supervisor sees them, without any."""

from collections.abc import Callable

import pytest

from loadprobe.errors import PreflightError, ProbeCrashed, UsageError
from loadprobe.probe.__main__ import _failure
from loadprobe.probe.fleet import Death, FleetProbe
from loadprobe.probe.messages import Finished, FromProbe, ProbeFailed
from loadprobe.probe.orders import Plan, Start


def make_probe(
    monkeypatch: pytest.MonkeyPatch, deaths: list[Death], *ends: FromProbe | None
) -> FleetProbe:
    """Return a probe whose processes end as given, with their last message."""

    def plan(_is_first: bool) -> Plan:
        raise AssertionError("no process is started")

    ignore: Callable[..., None] = lambda *_: None  # noqa: E731
    probe = FleetProbe(
        7, plan, on_message=ignore, on_death=deaths.append, on_restart=ignore
    )
    left = list(ends)

    async def run_once(_is_first: bool) -> tuple[FromProbe | None, str]:
        return left.pop(0), "exit code 1"

    monkeypatch.setattr(probe, "_run_once", run_once)
    return probe


@pytest.mark.parametrize("is_ending", [False, True])
async def test_a_defect_is_no_death(
    monkeypatch: pytest.MonkeyPatch, is_ending: bool
) -> None:
    """Also of a process that was told to end: its read-back may have met it."""
    deaths: list[Death] = []
    crash = ProbeFailed(7, False, "Traceback: KeyError")
    probe = make_probe(monkeypatch, deaths, crash)
    probe._start = Start(0, 0)
    probe._stopping = is_ending
    with pytest.raises(ProbeCrashed, match="KeyError"):
        await probe.run()
    assert deaths == []


async def test_a_target_that_fails_at_the_end_is_a_death(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the target does is no defect: the rest of the time is blind."""
    deaths: list[Death] = []
    probe = make_probe(monkeypatch, deaths, ProbeFailed(7, True, "no way"))
    probe._start = Start(0, 0)
    probe._stopping = True
    await probe.run()
    assert [death.process for death in deaths] == [7]


async def test_an_end_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody died."""
    deaths: list[Death] = []
    await make_probe(monkeypatch, deaths, Finished(7)).run()
    assert deaths == []


def test_a_defect_beside_a_target_that_fails_is_told() -> None:
    """One of several errors that is ours makes it a crash, wherever it stands."""
    theirs = PreflightError("no way there")
    ours = KeyError("ours")
    alone = _failure(1, ExceptionGroup("", [theirs, UsageError("nor there")]))
    assert (alone.preflight, alone.text) == (True, "no way there")
    for errors in ([theirs, ours], [ExceptionGroup("", [ours]), theirs]):
        told = _failure(1, ExceptionGroup("", errors))
        assert not told.preflight
        assert "KeyError: 'ours'" in told.text
