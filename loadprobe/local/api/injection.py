"""What is made to go wrong on purpose, for tests of whoever calls the API.

Pure: values and bookkeeping. The control plane asks for each call what to do with it,
and for each change whether to break it in the background.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta, Struct

ANY = "*"
_EXPIRED = "The security token included in the request is expired"


class Injection(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that goes wrong, a number of times.

    Args:
        kind: "fail": the call is answered with a fault and not performed.
            "lose_reply": it is performed, and the connection closed without a reply.
            "lose_request": it is not performed, and the connection is closed.
            "delay": it is performed, and the reply comes ``seconds`` later.
            "break": it is accepted, and its work in the background fails.
        action: the API action; "*" is any.
        times: how often; None is for ever.
        code: the fault's code ("fail").
        message: the fault's text, or the reason why the work failed ("break").
        seconds: how late ("delay").
    """

    kind: Literal["fail", "lose_reply", "lose_request", "delay", "break"]
    action: str = ANY
    times: Annotated[int, Meta(ge=1)] | None = 1
    code: str = "InternalFailure"
    message: str = "made to fail"
    seconds: Annotated[float, Meta(ge=0)] = 0.0


@dataclass(slots=True)
class _Planned:
    injection: Injection
    left: int | None


class FaultPlan:
    """What goes wrong next; those planned first come first."""

    def __init__(self) -> None:
        self._planned: list[_Planned] = []

    def add(self, injection: Injection) -> None:
        """Plan one injection, after those already planned."""
        self._planned.append(_Planned(injection, injection.times))

    def fail(
        self, action: str, code: str, *, times: int | None = 1, message: str = ""
    ) -> None:
        """Answer the next calls of an action with a fault, and do not perform them."""
        text = message or f"{action} was made to fail."
        self.add(
            Injection(kind="fail", action=action, times=times, code=code, message=text)
        )

    def lose_reply(self, action: str, *, times: int | None = 1) -> None:
        """Perform the next calls of an action, and hang up instead of a reply."""
        self.add(Injection(kind="lose_reply", action=action, times=times))

    def lose_request(self, action: str, *, times: int | None = 1) -> None:
        """Hang up on the next calls of an action, and do not perform them."""
        self.add(Injection(kind="lose_request", action=action, times=times))

    def delay(self, action: str, seconds: float, *, times: int | None = 1) -> None:
        """Perform the next calls of an action, and reply so many seconds later."""
        self.add(Injection(kind="delay", action=action, times=times, seconds=seconds))

    def break_work(
        self, action: str, *, times: int | None = 1, reason: str = "made to fail"
    ) -> None:
        """Accept the next calls of an action, and let their work fail afterwards."""
        self.add(Injection(kind="break", action=action, times=times, message=reason))

    def expire_credentials(self, *, times: int | None = None) -> None:
        """Answer every call with ExpiredToken, until ``clear``."""
        self.fail(ANY, "ExpiredToken", times=times, message=_EXPIRED)

    def clear(self) -> None:
        """Forget what is planned."""
        self._planned.clear()

    def take(self, action: str) -> Injection | None:
        """Return what happens to a call that has come in, and count it."""
        return self._take(action, of_work=False)

    def take_break(self, action: str) -> Injection | None:
        """Return what breaks the work of an accepted call, and count it."""
        return self._take(action, of_work=True)

    def _take(self, action: str, *, of_work: bool) -> Injection | None:
        for planned in self._planned:
            found = planned.injection
            if (found.kind == "break") is of_work and found.action in (ANY, action):
                if planned.left is not None:
                    planned.left -= 1
                    if planned.left == 0:
                        self._planned.remove(planned)
                return found
        return None
