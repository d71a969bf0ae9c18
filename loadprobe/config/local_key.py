"""The access key of a local control plane, as its state file tells it to its owner.

Whoever started it can read the file (mode 0600, in a folder of mode 0700); nobody else
on the machine can, and without the key the API refuses everything.
"""

import os
import tempfile
from pathlib import Path

import msgspec


class _State(msgspec.Struct):
    endpoint_url: str
    access_key: str = ""


def state_folders() -> tuple[Path, ...]:
    """Return where state files can be, the preferred folder first; none is made."""
    in_temp = Path(tempfile.gettempdir()) / f"loadprobe-{os.getuid()}"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "loadprobe", in_temp
    return (in_temp,)


def local_key(endpoint_url: str) -> str | None:
    """Return the access key of a local API that we started; None if it has none."""
    wanted = endpoint_url.rstrip("/").replace("localhost", "127.0.0.1")
    for folder in state_folders():
        for path in folder.glob("local-*.json"):
            try:
                if path.lstat().st_uid != os.getuid():
                    continue
                state = msgspec.json.decode(path.read_bytes(), type=_State)
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                continue  # it just ended, or is of another version
            if state.endpoint_url == wanted and state.access_key:
                return state.access_key
    return None
