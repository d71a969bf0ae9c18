"""What is watched beside a step that changes the transports of a group.

While a step ends an endpoint, that endpoint is watched closely, on connections of its
own. While one switches TLS on, the lanes that wait for TLS begin as soon as it is
served, which is long before the provider says so.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.control.provider.replies import Endpoint, Group
from loadprobe.control.scenario.keys import Step, TlsStep
from loadprobe.control.scenario.lanes import LaneEndpoints
from loadprobe.control.scenario.surroundings import Surroundings
from loadprobe.control.watch.endpoint import EndpointWatch, WatchedEndpoint, watching
from loadprobe.control.watch.tls_scout import TlsScout
from loadprobe.core.events import EndpointSeen, LanesBegun, StepProblem
from loadprobe.core.phase_names import Phase
from loadprobe.drivers.tls import make_context
from loadprobe.errors import RunError

_REFUSAL_WAIT_S = 10.0


class Transports:
    """Watches transports that end or begin with a step.

    Args:
        around: the run.
        endpoints: where the lanes are.
    """

    def __init__(self, around: Surroundings, endpoints: LaneEndpoints) -> None:
        self._around = around
        self._target = around.config.target
        self._ways = around.ways
        self._endpoints = endpoints

    @asynccontextmanager
    async def watched(
        self, step: Step, before: Group, *, name: str
    ) -> AsyncIterator[EndpointWatch | None]:
        """Watch while a step is under way.

        Args:
            step: what is carried out.
            before: the group before it.
            name: of its turn, for the journal.

        Returns:
            The watch of the endpoint that the step ends, None if it ends none.
        """
        watch = await self._ending(step, before)
        plain = self._endpoints.of(tls=False)
        if watch is not None:
            async with watching(watch):
                yield watch
        elif self._brings_tls(step, before) and plain.host:
            target = self._target.at(tls=False, host=plain.host, port=plain.port)
            is_local = self._around.control.endpoint_url is not None
            scout = TlsScout(target, asks_port=is_local, ask_way=self._ways.ask_way)
            async with self._waking(scout, name):
                yield None
        else:
            yield None

    async def note_end(self, watch: EndpointWatch, *, name: str) -> dict[str, int]:
        """Return when the endpoint ended, as the proof that it did, by phase."""
        seen_ns: dict[str, int] = {}
        if await watch.wait_refused(_REFUSAL_WAIT_S) and watch.refused_ns is not None:
            seen_ns[Phase.ENDPOINT_REFUSED] = watch.refused_ns
        else:
            text = (
                f"{watch.name} still takes connections {_REFUSAL_WAIT_S:g} s after the "
                "step has settled"
            )
            self._around.emit(StepProblem(mono_now_ns(), name, text))
        if watch.cut_ns is not None:
            seen_ns[Phase.ENDPOINT_CUT] = watch.cut_ns
        return seen_ns

    def _brings_tls(self, step: Step, before: Group) -> bool:
        """Tell whether lanes wait for what a step is going to bring."""
        is_first = isinstance(step, TlsStep) and before.tls_mode == "none"
        return is_first and any(lane.tls for lane in self._around.lanes.lanes)

    async def _ending(self, step: Step, before: Group) -> EndpointWatch | None:
        """Return a watch of the endpoint that a step ends, None if it ends none."""
        if not isinstance(step, TlsStep) or before.tls_mode != "preferred":
            return None
        tls = {"required": False, "none": True}.get(step.mode)
        if tls is None:
            return None
        endpoint = self._endpoints.of(tls=tls)
        await self._ways.ask_way(endpoint.host, endpoint.port)
        watched = WatchedEndpoint(
            endpoint,
            self._target,
            context=make_context(self._target) if tls else None,
            was_blocked=self._ways.was_blocked if self._target.tunnel else None,
        )
        return EndpointWatch(watched, self._around.emit)

    @asynccontextmanager
    async def _waking(self, scout: TlsScout, step: str) -> AsyncIterator[None]:
        looking = asyncio.create_task(scout.first_served())
        waking = asyncio.create_task(self._wake_at(looking, step))
        try:
            yield
        except BaseException:
            waking.cancel()
            raise
        finally:
            looking.cancel()  # what is found by now is made use of
            await asyncio.wait({waking})
            if not waking.cancelled():
                waking.result()

    async def _wake_at(
        self, looking: "asyncio.Task[tuple[Endpoint, int]]", step: str
    ) -> None:
        await asyncio.wait({looking})
        if looking.cancelled():
            return
        endpoint, served_ns = looking.result()
        self._around.emit(
            EndpointSeen(
                served_ns,
                endpoint.host,
                endpoint.port,
                tls=True,
                state="accepting",
                reason="",
                gap_ms=None,
            )
        )
        try:
            woken = await self._around.lanes.wake(
                tls=True, host=endpoint.host, port=endpoint.port
            )
        except RunError:
            return  # it is tried again when the step has settled
        if woken:
            late_ms = (mono_now_ns() - served_ns) / NS_PER_MS
            text = (
                f"the TLS lanes were told to begin {late_ms:.0f} ms after the first "
                "handshake that was served; before they began they observed nothing"
            )
            self._around.emit(LanesBegun(mono_now_ns(), step, text))
