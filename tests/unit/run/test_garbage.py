"""While a run lasts, what is collected, and what is passed over."""

import gc
from pathlib import Path

import pytest

from tests.support.supervised import Supervised


class Knot:
    """Something that refers to itself."""

    def __init__(self) -> None:
        self.own = self


async def test_collections_pass_over_what_was_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While a run lasts, no garbage collection looks at what was made before it."""
    run = Supervised(monkeypatch, tmp_path)
    frozen: list[int] = []
    run.measurement.on_seal = lambda: frozen.append(gc.get_freeze_count())
    assert await run.run.run() == 0
    assert min(frozen) > 10_000
    assert gc.get_freeze_count() == 0


async def test_what_refers_to_itself_is_let_go_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Lost connections do not stay until Python happens to look at all there is."""
    run = Supervised(monkeypatch, tmp_path)
    left: list[int] = []
    begin = run.measurement.begin

    def begin_with_knots() -> int:
        for _ in range(1_000):
            Knot()
        return begin()

    def count_knots() -> None:
        left.append(sum(isinstance(each, Knot) for each in gc.get_objects()))

    monkeypatch.setattr(run.measurement, "begin", begin_with_knots)
    run.measurement.on_seal = count_knots
    gc.disable()
    try:
        assert await run.run.run() == 0
    finally:
        gc.enable()
    assert left[0] == 0
