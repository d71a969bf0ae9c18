"""The real command as an operator runs it: ``loadprobe run``, with HTTP on."""

import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.measurement import BenchmarkError
from loadprobe.clock import NS_PER_S, mono_now_ns
from loadprobe.config import keys as config
from loadprobe.local.cluster.ports import free_ports
from tests.support.run_command import to_toml

_READY_S, _END_S, _POLL_S = 30.0, 60.0, 0.1
_SCRAPE_TIMEOUT_S = 5.0


@dataclass(slots=True)
class Command:
    """A command that runs.

    Args:
        process: it.
        url: where its HTTP server is.
        folder: where all that it writes is.
    """

    process: subprocess.Popen[bytes]
    url: str
    folder: Path

    @property
    def pid(self) -> int:
        """Its process; the probes are descendants."""
        return self.process.pid

    def fetch(self, path: str) -> bytes:
        """Return a page.

        Raises:
            BenchmarkError: it is not served.
        """
        try:
            with urllib.request.urlopen(
                self.url + path, timeout=_SCRAPE_TIMEOUT_S
            ) as reply:
                return bytes(reply.read())
        except OSError as exc:
            raise BenchmarkError(f"reading {self.url}{path}: {exc}") from exc

    def stop(self) -> bytes:
        """End it in order; return the ``summary.json`` it wrote.

        Raises:
            BenchmarkError: it failed, or does not end.
        """
        self.process.terminate()
        try:
            status = self.process.wait(_END_S)
        except subprocess.TimeoutExpired as exc:
            raise BenchmarkError(f"loadprobe has not ended after {_END_S:g} s") from exc
        if status != 0:
            raise BenchmarkError(f"loadprobe ended with status {status}{self._said()}")
        (path,) = self.folder.glob("runs/*/summary.json")
        return path.read_bytes()

    def wait_until_ready(self) -> None:
        """Wait until the load has begun.

        Raises:
            BenchmarkError: it has ended, or takes too long.
        """
        until_ns = mono_now_ns() + int(_READY_S * NS_PER_S)
        while mono_now_ns() < until_ns:
            if self.process.poll() is not None:
                break
            try:
                self.fetch("/readyz")
            except BenchmarkError:
                time.sleep(_POLL_S)
            else:
                return
        raise BenchmarkError(f"loadprobe is not ready{self._said()}")

    def _said(self) -> str:
        return f": {(self.folder / 'said').read_text(errors='replace')[-2000:]}"


@contextmanager
def running(target: config.Target, *lanes: config.Lane) -> Iterator[Command]:
    """Start it on lanes, and wait until the load has begun; end it on every way out.

    Raises:
        BenchmarkError: it does not begin.
    """
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with tempfile.TemporaryDirectory(prefix="loadprobe-bench-") as name:
        folder = Path(name)
        whole = config.Config(
            target=target,
            lanes=lanes,
            http=config.Http(listen=address),
            output=config.Output(dir=str(folder / "runs")),
        )
        path = folder / "run.toml"
        path.write_text(to_toml(whole))
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "loadprobe", "run", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        command = Command(process, f"http://{address}", folder)
        try:
            command.wait_until_ready()
            yield command
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_END_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


class _Lateness(msgspec.Struct, frozen=True):
    p50: float | None
    p99: float | None
    max: float | None


class _Observer(msgspec.Struct, frozen=True):
    lateness_ms: _Lateness
    blind_ms: float


class Summary(msgspec.Struct, frozen=True):
    """What is read from ``summary.json``."""

    observer: _Observer


def lateness_p99_ms(summary: bytes) -> float:
    """Return the 99th percentile of sent - due.

    Raises:
        BenchmarkError: nothing was sent.
    """
    value = msgspec.json.decode(summary, type=Summary).observer.lateness_ms.p99
    if value is None:
        raise BenchmarkError("no arrival was served")
    return value
