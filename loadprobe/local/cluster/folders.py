"""Private folders: the runtime folder (state files) and one folder per cluster.

Every folder is mode 0700 and ours. A cluster folder carries its owner's identity in
its name, so what a SIGKILLed owner left behind is recognised and removed later.
"""

import os
import shutil
import tempfile
from pathlib import Path

from loadprobe.config.local_key import state_folders
from loadprobe.errors import PreflightError
from loadprobe.local.cluster.processes import is_process, start_ticks

_PREFIX = "cluster-"


def runtime_folder() -> Path:
    """Return (and make) the folder of state files.

    It is ``$XDG_RUNTIME_DIR/loadprobe``, else ``loadprobe-<uid>`` in the temp folder.
    """
    return _private(state_folders()[0])


def temp_folder() -> Path:
    """Return (and make) ``loadprobe-<uid>`` in the temp folder."""
    return _private(state_folders()[-1])


def make_cluster_folder() -> Path:
    """Return a new folder owned by this process; drop those of dead processes."""
    base = temp_folder()
    remove_abandoned(base)
    owner = f"{_namespace()}-{os.getpid()}-{start_ticks(os.getpid())}-"
    return Path(tempfile.mkdtemp(prefix=_PREFIX + owner, dir=base))


def remove_abandoned(base: Path) -> list[Path]:
    """Remove cluster folders whose owner is dead; return them.

    Folders made in another pid namespace (a container sharing the temp folder) are
    left alone: their owner cannot be looked up from here.
    """
    removed = []
    for folder in base.glob(f"{_PREFIX}{_namespace()}-*"):
        parts = folder.name.split("-")
        if len(parts) != 5 or not (parts[2].isdigit() and parts[3].isdigit()):
            continue
        if not is_process(int(parts[2]), int(parts[3])):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _namespace() -> str:
    """Return the identity of this pid namespace."""
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _private(folder: Path) -> Path:
    """Make a folder only we can use, or refuse the one that is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PreflightError(
            f"using the folder {folder}: it must be a real folder that belongs to "
            f"uid {os.getuid()} with mode 0700; remove it or correct it"
        )
    return folder
