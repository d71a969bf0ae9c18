"""Carries out the steps that move data and lanes to another place.

Copies that follow the source go on beside the other steps, until the lanes have left
it or the scenario is over.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import assert_never

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.control.mutations.phase_log import Phases
from loadprobe.control.programs.copying import Copying
from loadprobe.control.programs.course import CopyCourse
from loadprobe.control.programs.ends import DataEnd
from loadprobe.control.programs.tools import (
    ToolRun,
    any_command,
    redis_cli_import,
    redis_cli_rdb,
    redis_shake,
    riot,
)
from loadprobe.control.provider.replies import Endpoint, Group
from loadprobe.control.provider.secret import Secret
from loadprobe.control.scenario.brake import Brake
from loadprobe.control.scenario.lanes import LaneEndpoints
from loadprobe.control.scenario.surroundings import Surroundings
from loadprobe.control.scenario.targets import (
    data_end,
    led_to,
    moves,
    password_of,
    where,
)
from loadprobe.control.scenario.transfer_keys import CopyStep, CutoverStep, DrainStep
from loadprobe.control.scenario.turns import Transfer
from loadprobe.core.events import (
    CopyCaughtUp,
    FullCopyBegun,
    FullCopyDone,
    LanesMoved,
    LaneWentOver,
    MutationSettled,
    WritesResumed,
    WritesStopped,
)
from loadprobe.core.phase_names import Phase
from loadprobe.core.steps import WentOver
from loadprobe.errors import ControlError, RunError

_LOOK_S = 0.05


class Transferring:
    """Carries out transfers, one at a time (see the module).

    Args:
        around: the run.
        endpoints: where the lanes are.
        brake: ends a copy that was not done yet.
    """

    def __init__(
        self, around: Surroundings, endpoints: LaneEndpoints, brake: Brake
    ) -> None:
        self._around = around
        self._lanes = around.lanes
        self._endpoints = endpoints
        self._brake = brake
        self._copies: list[Copying] = []

    async def take(
        self, step: Transfer, phases: Phases, group: Group
    ) -> tuple[WentOver, ...]:
        """Carry one out; return the lanes that went over.

        Args:
            step: what to do.
            phases: takes what happens.
            group: the group of [control].

        Raises:
            ControlError: it failed, and why.
        """
        phases.seen_ns[Phase.BEGUN] = mono_now_ns()
        went_over: tuple[WentOver, ...] = ()
        try:
            match step:
                case CopyStep():
                    await self._copy(step, phases, group)
                case DrainStep():
                    await self._hold_writes(phases, step.deadline_s)
                case CutoverStep():
                    went_over = await self._cut_over(step, phases, group)
                case _:
                    assert_never(step)
        except RunError as exc:
            raise ControlError(str(exc)) from exc
        if not self._brake.reason:
            phases.enter(MutationSettled())
        return went_over

    async def close(self) -> None:
        """End what goes on beside: nothing is moved any more."""
        self._lanes.release_writes()
        await self._end_copies()

    # --- writes ----------------------------------------------------------------------

    async def _hold_writes(self, phases: Phases, within_s: float) -> None:
        held_ns = await self._lanes.hold_writes(within_s=within_s)
        phases.enter(WritesStopped(), mono_ns=held_ns)

    # --- copies ----------------------------------------------------------------------

    async def _copy(self, step: CopyStep, phases: Phases, group: Group) -> None:
        target = self._around.config.target
        source = await data_end(
            target,
            self._endpoints.of(tls=self._is_by_tls),
            tls=self._is_by_tls,
            password=_secret(target.read_password()),
        )
        to = source
        if step.method != "rdb":
            there = led_to(step, target, group)
            tls = moves(step, group)
            at = Endpoint(*where(there, tls=tls))
            to = await data_end(there, at, tls=tls, password=password_of(step))
        around = self._around
        is_known = step.tool != "command"
        copying = Copying(
            phases.step,
            self._runs(step, source, to),
            CopyCourse(stall_s=step.stall_s, most_lag_bytes=step.most_lag_bytes),
            around.emit,
            secrets=[each.password for each in (source, to) if each.password],
            withheld=around.withheld if is_known else around.withheld_from_others,
        )
        self._copies.append(copying)
        await copying.begin()
        until_ns = mono_now_ns() + int(step.deadline_s * NS_PER_S)
        while not copying.is_done:
            self._tell_course(step, copying, phases)
            if self._brake.reason:
                await self._end_copies()
                return
            if copying.failure:
                raise ControlError(copying.failure)
            if mono_now_ns() >= until_ns:
                raise ControlError(
                    "the copy was not done after "
                    f"{step.deadline_s:g} s; raise deadline_s"
                )
            await self._brake.pause(_LOOK_S)
        self._tell_course(step, copying, phases)
        if copying.follows:
            status = copying.course.status
            phases.enter(CopyCaughtUp(status.lag_bytes if status else None))
        else:
            self._copies.remove(copying)
            await copying.end()

    def _runs(
        self, step: CopyStep, source: DataEnd, target: DataEnd
    ) -> Sequence[ToolRun]:
        program = step.program or step.tool
        match step.tool:
            case "redis-cli" if step.method == "rdb":
                assert step.file is not None, "it was checked"
                return [redis_cli_rdb(program, source, step.file, step.arguments)]
            case "redis-cli":
                return [redis_cli_import(program, source, target, step.arguments)]
            case "riot":
                pattern = step.caught_up or ""
                more = step.arguments
                run = riot(
                    program,
                    source,
                    target,
                    live=step.live,
                    caught_up=pattern,
                    more=more,
                )
                return [run]
            case "command":
                pattern = step.caught_up or ""
                return [
                    any_command(step.command or (), source, target, caught_up=pattern)
                ]
            case "redis-shake":
                sources = self._shards(source) if step.per_shard else [source]
                return [
                    redis_shake(program, each, target, status_port=free_port())
                    for each in sources
                ]
            case _:
                assert_never(step.tool)

    def _shards(self, source: DataEnd) -> list[DataEnd]:
        topology = self._around.topology.current
        if topology is None:
            raise ControlError("the shards of the source are not known yet; try again")
        primaries = [shard.primary for shard in topology.shards]
        return [source.at(node.host, node.port) for node in primaries]

    def _tell_course(self, step: CopyStep, copying: Copying, phases: Phases) -> None:
        course = copying.course
        if course.has_begun and Phase.COPY_BEGUN not in phases.seen_ns:
            phases.enter(FullCopyBegun(step.tool))
        if course.is_copied and Phase.COPY_DONE not in phases.seen_ns:
            phases.enter(FullCopyDone())

    async def _end_copies(self) -> None:
        copies, self._copies = self._copies, []
        for copying in copies:
            await copying.end()

    # --- lanes -----------------------------------------------------------------------

    @property
    def _is_by_tls(self) -> bool:
        return all(lane.tls for lane in self._lanes.lanes)

    async def _cut_over(
        self, step: CutoverStep, phases: Phases, group: Group
    ) -> tuple[WentOver, ...]:
        until_ns = mono_now_ns() + int(step.deadline_s * NS_PER_S)

        def left_s() -> float:
            return max(0.1, (until_ns - mono_now_ns()) / NS_PER_S)

        failed = next((copy.failure for copy in self._copies if copy.failure), "")
        if failed:
            raise ControlError(f"the lanes stay at the source, for {failed}")
        there, tls = led_to(step, self._around.config.target, group), moves(step, group)
        password = password_of(step)
        try:
            if step.writers == "drained":
                await self._hold_writes(phases, left_s())
                await self._catch_up(step, phases, left_s)
            went_over = await self._lanes.go_over(
                tls=tls,
                target=there,
                password=None if password is None else password.reveal(),
                within_s=left_s(),
            )
        finally:
            resumed_ns = self._lanes.release_writes()
        host, port = where(there, tls=tls)
        self._endpoints.moved(tls=tls, at=Endpoint(host, port), step=step)
        if went_over:
            last_ns = max(each.at_ns for each in went_over)
            phases.enter(LanesMoved(f"{host}:{port}"), mono_ns=last_ns)
        phases.enter(WritesResumed(), mono_ns=resumed_ns)
        for each in went_over:
            self._around.emit(
                LaneWentOver(
                    each.at_ns,
                    phases.step,
                    each.lane,
                    each.checked,
                    each.lost,
                    each.overwritten,
                    each.unread,
                )
            )
        await self._end_copies()
        return tuple(went_over)

    async def _catch_up(
        self, step: CutoverStep, phases: Phases, left_s: Callable[[], float]
    ) -> None:
        """Wait until nothing that was written is still on its way."""
        since_ns = mono_now_ns()
        for copying in self._copies:
            copying.course.look_anew()
        telling = [each for each in self._copies if each.knows_lag]
        if len(telling) < len(self._copies):
            await asyncio.sleep(step.catch_up_s)
        until_ns = mono_now_ns() + int(left_s() * NS_PER_S)
        while not all(each.course.is_in_step_since(since_ns) for each in telling):
            failed = next((each.failure for each in telling if each.failure), "")
            if failed or mono_now_ns() >= until_ns:
                why = failed or f"the copy was not in step after {step.deadline_s:g} s"
                raise ControlError(f"the lanes stay at the source, for {why}")
            await asyncio.sleep(_LOOK_S)
        if telling:
            status = telling[0].course.status
            phases.enter(CopyCaughtUp(status.lag_bytes if status else None))


def free_port() -> int:
    """Return a port of this host that nobody has now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _secret(password: str | None) -> Secret | None:
    return None if password is None else Secret(password)
