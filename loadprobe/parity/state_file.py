"""The file of a comparison's state: read at the begin, replaced whole while it goes on.

It holds names of keys, so its owner alone can read it.
"""

from pathlib import Path

import msgspec

from loadprobe.core.parity.state import (
    STATE_VERSION,
    ParityState,
    ParityTerms,
    coverages_of,
    tally_of,
)
from loadprobe.errors import PreflightError, UsageError
from loadprobe.outputs.folder.private import replace_whole


def load_state(path: Path, terms: ParityTerms) -> ParityState | None:
    """Return the state of an earlier life; None if there is none.

    Args:
        path: the file.
        terms: what is to be compared.

    Raises:
        UsageError: it cannot be read, is no such file, or of another comparison.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise UsageError(f"--state {path}: cannot be read: {exc.strerror}") from exc
    try:
        state = msgspec.json.decode(text, type=ParityState)
        coverages_of(state)
        tally_of(state)
    except (msgspec.MsgspecError, ValueError) as exc:
        raise UsageError(
            f"--state {path} is no state of a comparison: {exc}; give another file"
        ) from exc
    if state.schema_version != STATE_VERSION:
        raise UsageError(
            f"--state {path} is of schema_version {state.schema_version}, expected "
            f"{STATE_VERSION}; give another file"
        )
    if state.terms != terms:
        raise UsageError(
            f"--state {path} is of another comparison ({_shown(state.terms)}); give "
            "the same source, target and options, or another file"
        )
    if state.is_over:
        raise UsageError(
            f"--state {path} is of a comparison that is over; remove it to compare anew"
        )
    return state


def save_state(path: Path, state: ParityState) -> None:
    """Replace the file.

    Raises:
        PreflightError: it cannot be written.
    """
    try:
        replace_whole(path, msgspec.json.encode(state))
    except OSError as exc:
        raise PreflightError(
            f"--state {path}: cannot be written: {exc.strerror}"
        ) from exc


def _shown(terms: ParityTerms) -> str:
    return (
        f"{terms.source} and {terms.target}, prefix {terms.prefix!r}, sample "
        f"{terms.sample:g}, TTL tolerance {terms.ttl_tolerance_s:g} s"
    )
