"""Whether what a scenario expects of the load came true. Pure."""

from loadprobe.control.scenario_keys import Expect
from loadprobe.core.steps import Expectation


def judge_expectations(
    expect: Expect, *, lost_writes: int | None, wrong: int
) -> tuple[Expectation, ...]:
    """Compare an [expect] section with what was measured.

    Args:
        expect: as the scenario says.
        lost_writes: acknowledged writes that were not found again; None if that was
            not looked up.
        wrong: replies that did not match what was written.
    """
    expectations = []
    if isinstance(expect.max_lost_writes, int):
        expectations.append(
            _counted("lost writes", lost_writes, expect.max_lost_writes)
        )
    expectations.append(_counted("wrong replies", wrong, expect.max_wrong))
    return tuple(expectations)


def _counted(noun: str, found: int | None, limit: int) -> Expectation:
    what = f"at most {limit} {noun}" if limit else f"no {noun}"
    if found is None:
        return Expectation(what, None, "not looked up")
    return Expectation(what, found <= limit, f"{found} {noun}")
