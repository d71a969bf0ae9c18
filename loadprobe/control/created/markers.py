"""Marks of the groups that a scenario created, so that none is forgotten and paid for.

Rule: a marker is on the disk before the group is asked for, and removed after the
provider knows the group no more. What is deleted on the word of a marker is only what
that marker can have created: the group of its name that carries its mark (a random text
in a tag), made no earlier than the marker, by a process that is gone. Of a process on
another host, or in another pid namespace (a container that shares the folder), nobody
here can tell: it counts as alive.

Markers hold no secrets; they are in ``$XDG_STATE_HOME/loadprobe/groups``, else in
``~/.local/state/loadprobe/groups``.
"""

import hashlib
import os
import re
import secrets
import socket
from pathlib import Path

import msgspec

from loadprobe.config.keys import Control
from loadprobe.errors import ControlError
from loadprobe.liveness import is_process, start_ticks

SCHEMA_VERSION = 1


class Marker(msgspec.Struct, frozen=True):
    """What is known of a group before it is created.

    Args:
        group: replication group id, or the name of the serverless cache.
        region: its region.
        endpoint_url: where the API is; None for AWS.
        written_unix_ns: when it was written, in the provider's time.
        pid: process that wrote it.
        start_ticks: when that process started (clock ticks since boot).
        boot_id: the boot those ticks count from.
        host: name of the host it runs on; empty: not known.
        pid_namespace: that of ``pid``; empty: not known.
        mark: what the group carries in a tag; empty: written by a version without.
        serverless: it is a serverless cache.
        schema_version: of this document.
    """

    group: str
    region: str
    endpoint_url: str | None
    written_unix_ns: int
    pid: int
    start_ticks: int
    boot_id: str
    host: str = ""
    pid_namespace: str = ""
    mark: str = ""
    serverless: bool = False
    schema_version: int = SCHEMA_VERSION

    @property
    def is_owned(self) -> bool:
        """Whether the process that wrote it still lives, as far as is known here."""
        if self.is_foreign:
            return False
        return self.boot_id == _boot_id() and is_process(self.pid, self.start_ticks)

    @property
    def is_foreign(self) -> bool:
        """Whether nobody here can tell if the process that wrote it still lives."""
        if self.host != socket.gethostname():
            return True
        return self.boot_id == _boot_id() and self.pid_namespace != _pid_namespace()

    @property
    def control(self) -> Control:
        """Where the group is."""
        group, cache = (None, self.group) if self.serverless else (self.group, None)
        return Control(group, self.region, self.endpoint_url, cache)

    @property
    def owner(self) -> str:
        """The process that wrote it, for people who are elsewhere."""
        return f"process {self.pid} on {self.host or 'an unknown host'}"

    @property
    def where(self) -> str:
        """The group and where it is, for people."""
        return f"{self.group} at {self.endpoint_url or self.region}"


def folder() -> Path:
    """Return where markers are."""
    home = os.environ.get("XDG_STATE_HOME")
    state = Path(home) if home else Path.home() / ".local" / "state"
    return state / "loadprobe" / "groups"


def new_mark() -> str:
    """Return a mark that no other group has (128 random bits)."""
    return secrets.token_hex(16)


def write(control: Control, *, now_ns: int, mark: str) -> None:
    """Mark a group that is about to be created, by this process.

    Args:
        control: where it is going to be.
        now_ns: UNIX ns in the provider's time.
        mark: what it is going to carry in a tag.

    Raises:
        ControlError: another process that lives, or may live, is creating it, or the
            marker cannot be written: the group must not be created then.
    """
    pid = os.getpid()
    ticks = start_ticks(pid)
    assert ticks is not None, "this process lives"
    marker = Marker(
        group=control.cache,
        serverless=control.is_serverless,
        region=control.region,
        endpoint_url=control.endpoint_url,
        written_unix_ns=now_ns,
        pid=pid,
        start_ticks=ticks,
        boot_id=_boot_id(),
        host=socket.gethostname(),
        pid_namespace=_pid_namespace(),
        mark=mark,
    )
    path = file_of(control)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        present = _read(path)
        if present is not None and present.is_owned and present.pid != pid:
            raise ControlError(
                f"creating {marker.where}: process {present.pid} has marked it as its "
                "own and still runs; end that one, or choose another group"
            )
        if present is not None and present.is_foreign:
            raise ControlError(
                f"creating {marker.where}: {present.owner} has marked it as its own, "
                "and may still run; choose another group, or delete that one: "
                "loadprobe cleanup --force"
            )
        _replace(path, msgspec.json.encode(marker))
    except OSError as exc:
        raise ControlError(
            f"creating {marker.where}: the note of it cannot be written to {path}: "
            f"{exc.strerror}; without it the group could be forgotten, so it was not "
            "asked for; set XDG_STATE_HOME to a folder that can be written to"
        ) from exc


def remove(control: Control) -> None:
    """Remove the marker of a group, if there is one."""
    file_of(control).unlink(missing_ok=True)


def own(control: Control) -> Marker | None:
    """Return the marker of a group if this process wrote it.

    Raises:
        ControlError: the file is no marker of this version.
    """
    marker = _read(file_of(control))
    is_ours = marker is not None and marker.is_owned and marker.pid == os.getpid()
    return marker if is_ours else None


def left_behind() -> tuple[Marker, ...]:
    """Return the markers whose owners are gone, by the time they were written.

    Raises:
        ControlError: a file there is no marker of this version.
    """
    return tuple(
        marker for marker in _all() if not marker.is_owned and not marker.is_foreign
    )


def foreign() -> tuple[Marker, ...]:
    """Return the markers whose owners may live elsewhere, the oldest first.

    Raises:
        ControlError: a file there is no marker of this version.
    """
    return tuple(marker for marker in _all() if marker.is_foreign)


def remedy(control: Control) -> str:
    """Return what to do about a group that is there and is to be created.

    Raises:
        ControlError: the file of the group is no marker of this version.
    """
    marker = _read(file_of(control))
    if marker is None:
        return "choose another name, or delete it"
    if marker.is_foreign:
        return f"{marker.owner} has created it and may still run; wait for its end"
    if marker.is_owned:
        return f"process {marker.pid} has created it and still runs; wait for its end"
    return "an earlier run created it and left it behind; delete it: loadprobe cleanup"


def file_of(control: Control) -> Path:
    """Return the file of a group: two regions may have groups of one name."""
    where = f"{control.endpoint_url or control.region}\n{control.cache}"
    if control.is_serverless:
        where += "\nserverless"
    digest = hashlib.sha256(where.encode()).hexdigest()[:12]
    name = re.sub(r"[^A-Za-z0-9-]", "_", control.cache)[:60]
    return folder() / f"{name}-{digest}.json"


def _all() -> list[Marker]:
    read = [_read(path) for path in folder().glob("*.json")]
    found = [marker for marker in read if marker is not None]
    return sorted(found, key=lambda marker: marker.written_unix_ns)


def _read(path: Path) -> Marker | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Marker)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ControlError(
            f"reading the note of a created group from {path}: {exc}; look whether its "
            "group still exists, delete that if it is yours, then remove the file"
        ) from exc


def _replace(path: Path, content: bytes) -> None:
    """Replace a file, and have it and its name reach the disk.

    Raises:
        OSError: it was not replaced.
    """
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder_fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _pid_namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink())
