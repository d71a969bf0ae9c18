"""What probe processes are told to do otherwise, while they go on.

Those that begin later do so, too: what is told here stands in their plans.
"""

from collections.abc import Iterable, Sequence

import msgspec

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.config.keys import Lane, Target
from loadprobe.core.events import Emit, RateChanged
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.probe.fleet import FleetProbe
from loadprobe.probe.orders import UseCertificates, UseDeadline, UseForwards, UseLogin
from loadprobe.probe.rates import LEAD_NS, LaneRates
from loadprobe.run.probe_plans import ProbePlans


class Tuning:
    """Changes of a load in mid-run.

    Args:
        plans: of the processes.
        rates: at which rate each lane goes.
        aggregate: judges by the deadlines.
        probes: the processes.
        emit: where events go.

    Attributes:
        rates: as above.
    """

    def __init__(
        self,
        plans: ProbePlans,
        rates: LaneRates,
        aggregate: Aggregate,
        probes: Sequence[FleetProbe],
        *,
        emit: Emit,
    ) -> None:
        self._plans = plans
        self.rates = rates
        self._aggregate = aggregate
        self._probes = probes
        self._emit = emit

    def change_rate(
        self, lane: str, to_per_s: float, *, reason: str, ramp_s: float = 0.0
    ) -> None:
        """Let a lane that has begun have another rate; the event says why.

        Args:
            lane: its name; it is one of an open loop.
            to_per_s: arrivals per second of the whole lane, above 0.
            reason: for the event.
            ramp_s: how long the change takes.
        """
        now_ns = mono_now_ns()
        message, at_ns = self.rates.change(lane, to_per_s, ramp_s=ramp_s, now_ns=now_ns)
        for process in self._plans.roster.of([lane]):
            self._probes[process].change_rate(message)
        from_per_s = message.paces[-1].from_per_s
        self._emit(RateChanged(at_ns, lane, from_per_s, to_per_s, ramp_s, reason))

    def configure_rates(self, lanes: Iterable[Lane]) -> None:
        """Let lanes that have not begun yet begin at other rates."""
        for lane in lanes:
            if lane.loop == "open" and lane.name not in self.rates.begun:
                self.rates.configure(lane)

    def change_deadlines(self, lanes: Iterable[Lane]) -> None:
        """Let arrivals that are due a little later have other deadlines.

        Args:
            lanes: all of them; those whose deadline is as it was are left alone.
        """
        plans = self._plans
        now = {lane.name: lane for lane in plans.config.lanes}
        from_ns = mono_now_ns() + LEAD_NS
        for lane in lanes:
            known = now[lane.name]
            if lane.deadline_ms == known.deadline_ms:
                continue
            ns = lane.deadline_ms * NS_PER_MS
            self._aggregate.change_deadline(lane.name, ns, from_ns)
            changed = msgspec.structs.replace(known, deadline_ms=lane.deadline_ms)
            now[lane.name] = changed
            plans.roster.use_lane(changed)
            for process in plans.roster.of([lane.name]):
                self._probes[process].tell(UseDeadline(lane.name, from_ns, ns))
        plans.config = msgspec.structs.replace(plans.config, lanes=tuple(now.values()))

    def use_login(
        self,
        username: str | None,
        password: str | None,
        *,
        renew_s: float | None = None,
    ) -> None:
        """Let new connections log in as somebody from now on.

        Args:
            username: None names nobody.
            password: None does not log in.
            renew_s: open connections log in anew, spread over so many seconds; None
                leaves them as they are.
        """
        self._plans.password = password
        self._plans.routes.log_in(username)
        for probe in self._probes:  # also those that are being woken
            probe.tell(UseLogin(username, password, renew_s))

    def use_certificates(self, target: Target) -> None:
        """Let new connections use what the certificate files of a target hold now."""
        self._plans.routes.use_certificates(target)
        for probe in self._probes:
            probe.tell(UseCertificates(target))

    def use_forwards(self) -> None:
        """Let all processes reach nodes by the forwards that there are now."""
        told = UseForwards(dict(self._plans.config.target.address_map))
        for probe in self._probes:  # also those that connect
            probe.tell(told)
