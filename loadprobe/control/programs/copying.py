"""A copy under way: its processes are run, watched and ended.

It goes on beside the steps of a scenario until it is ended: what follows the source
must do so until the lanes have left it. A process that ends too early, a copy that
stalls or falls behind is told at once, whatever the scenario is doing by then.
"""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.control.programs.course import CopyCourse, CopyStatus, together
from loadprobe.control.programs.program import (
    OutputJournal,
    end_program,
    finish_program,
    masked,
    start_program,
)
from loadprobe.control.programs.shake import read_shake_status
from loadprobe.control.programs.tools import ToolRun
from loadprobe.control.provider.secret import Secret
from loadprobe.core.events import CopySeen, Emit, StepProblem
from loadprobe.errors import ControlError

_POLL_S = 0.2
_STATUS_S = 2.0
_TOLD_NS = NS_PER_S
_GRACE_S = 5.0
_MOST_PAGE_BYTES = 1 << 20


@dataclass(slots=True)
class _CopyProcess:
    """One process of a copy, and what is known of it.

    Args:
        run: what is run.
        journal: takes its output.
        process: it; None before it was started.
        code: how it ended; None while it runs.
        is_following: a line of its output has said so.
        status: what its status page told last.
    """

    run: ToolRun
    journal: OutputJournal
    process: asyncio.subprocess.Process | None = None
    code: int | None = None
    is_following: bool = False
    status: CopyStatus | None = None

    def add(self, stream: str, line: str) -> None:
        """Take a line of its output."""
        self.journal.add("stdout" if stream == "stdout" else "stderr", line)
        pattern = self.run.caught_up
        if pattern and not self.is_following and re.search(pattern, line):
            self.is_following = True

    def now(self) -> CopyStatus:
        """Return how far it is."""
        if self.run.status_port is not None:
            return self.status or CopyStatus("starting")
        is_over = self.code == 0 or self.is_following
        return CopyStatus(
            state=self.journal.last[:80] or "running",
            is_begun=self.process is not None,
            is_copied=is_over,
            is_in_step=is_over,
            moved=self.journal.lines,
        )


class Copying:
    """A copy under way (see the module).

    Emits ``ExecLine``, ``ExecEnded``, ``CopySeen`` and ``StepProblem``.

    Args:
        step: name of the step that began it.
        runs: its processes, at least one.
        course: judges how it goes.
        emit: where events go.
        secrets: what must not be told.
        withheld: environment variables of ours that its processes do not inherit.

    Attributes:
        course: how it went so far.
        failure: why it is of no use any more; "" while it is.
    """

    def __init__(
        self,
        step: str,
        runs: Sequence[ToolRun],
        course: CopyCourse,
        emit: Emit,
        *,
        secrets: Sequence[Secret] = (),
        withheld: Collection[str] = (),
    ) -> None:
        self.course = course
        self.failure = ""
        self._step = step
        self._emit = emit
        self._secrets = secrets
        self._withheld = withheld
        self._processes = [
            _CopyProcess(run, OutputJournal(step, emit, secrets)) for run in runs
        ]
        self._folder: Path | None = None
        self._followers: list[asyncio.Task[None]] = []
        self._watching: asyncio.Task[None] | None = None
        self._told: tuple[int, CopyStatus | None] = (0, None)
        self._is_ending = False

    async def begin(self) -> None:
        """Start its processes, and watch them from now on.

        Raises:
            ControlError: one could not be started.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="loadprobe-copy-"))  # mode 0700
        for number, each in enumerate(self._processes):
            command = self._written(each.run, number)
            try:
                each.process = await start_program(
                    command,
                    env=each.run.env,
                    asks=each.run.asks,
                    withheld=self._withheld,
                )
            except (OSError, ValueError) as exc:
                why = exc.strerror if isinstance(exc, OSError) else str(exc)
                raise ControlError(
                    f"{command[0]!r} could not be started: {why}; "
                    "install it, or give its path (program = ...)"
                ) from exc
            self._followers.append(asyncio.create_task(self._follow(each)))
        self._watching = asyncio.create_task(self._watch())

    def _written(self, run: ToolRun, number: int) -> list[str]:
        """Write the files of a process; return its command."""
        assert self._folder is not None
        paths: dict[str, str] = {}
        for name, text in run.files.items():
            path = self._folder / f"{number}-{name}"
            path.touch(mode=0o600)
            text = text.replace("{folder}", str(self._folder))  # noqa: PLW2901
            path.write_text(text, encoding="utf-8")
            paths[name] = str(path)
        command = []
        for word in run.command:
            for name, path_text in paths.items():
                word = word.replace(f"{{{name}}}", path_text)  # noqa: PLW2901
            command.append(word)
        return command

    @property
    def is_over(self) -> bool:
        """Tell whether all its processes have ended."""
        return all(each.code is not None for each in self._processes)

    @property
    def is_done(self) -> bool:
        """Tell whether it has copied all there was, or follows the source."""
        if any(each.run.status_port is not None for each in self._processes):
            return self.course.has_caught_up
        return self.course.is_copied

    @property
    def follows(self) -> bool:
        """Tell whether it follows the source."""
        return not self.is_over and self.is_done

    @property
    def knows_lag(self) -> bool:
        """Tell whether it is told how far it is behind."""
        return all(each.run.status_port is not None for each in self._processes)

    async def end(self) -> None:
        """End its processes, and remove what was written for them."""
        self._is_ending = True
        running = [p for p in self._processes if p.process and p.code is None]
        for each in running:
            assert each.process is not None
            if each.process.returncode is None:
                each.process.terminate()
        if self._watching is not None:
            self._watching.cancel()
        if self._followers:
            await asyncio.wait(self._followers, timeout=_GRACE_S)
        tasks = [*self._followers, *filter(None, [self._watching])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for each in running:
            assert each.process is not None
            await end_program(each.process)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        for task in tasks:
            if not task.cancelled():
                task.result()  # a defect of ours is none of the copy

    # --- beside everything else ------------------------------------------------------

    async def _follow(self, each: _CopyProcess) -> None:
        """Read what a process says until it has ended."""
        assert each.process is not None
        try:
            code = await finish_program(each.process, each.add)
        finally:
            await end_program(each.process)
        each.code = code
        each.journal.close(code)
        is_early = each.run.status_port is not None or each.run.caught_up
        if self._is_ending or (code == 0 and not is_early):
            return
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        last = f"; its last line: {each.journal.last}" if each.journal.last else ""
        shown = masked(each.run.command[0], self._secrets)
        self.failure = f"{shown!r}, which copies, ended with {how}{last}"
        self._emit(StepProblem(mono_now_ns(), self._step, self.failure))

    async def _watch(self) -> None:
        timeout = aiohttp.ClientTimeout(total=_STATUS_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not self.failure:
                for each in self._processes:
                    if each.run.status_port is not None and each.code is None:
                        await self._ask(each, session)
                self._look()
                await asyncio.sleep(_POLL_S)

    async def _ask(self, each: _CopyProcess, session: aiohttp.ClientSession) -> None:
        """Ask a process how far it is; one that does not answer is where it was."""
        try:
            async with session.get(
                f"http://127.0.0.1:{each.run.status_port}/"
            ) as reply:
                each.status = read_shake_status(await _page(reply.content))
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
            return

    def _look(self) -> None:
        now_ns = mono_now_ns()
        status = together([each.now() for each in self._processes])
        for problem in self.course.take(status, now_ns):
            self._emit(StepProblem(now_ns, self._step, problem))
        told_ns, told = self._told
        if status != told and now_ns - told_ns >= _TOLD_NS:
            self._told = now_ns, status
            self._emit(
                CopySeen(
                    now_ns,
                    self._step,
                    masked(status.state, self._secrets),
                    status.done_bytes,
                    status.all_bytes,
                    status.lag_bytes,
                )
            )


async def _page(content: aiohttp.StreamReader) -> bytes:
    """Return a status page, of whoever answers at its port.

    Raises:
        ValueError: it is too long for one.
    """
    page = b""
    async for part in content.iter_any():
        page += part
        if len(page) > _MOST_PAGE_BYTES:
            raise ValueError("the page has no end")
    return page
