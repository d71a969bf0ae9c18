"""A run folder as it is compared: its figures, and in what they came about. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from loadprobe.clock import NS_PER_S
from loadprobe.core.comparing.comparison import ComparedRun
from loadprobe.core.comparing.figures import figures_of
from loadprobe.core.comparing.obstacles import Circumstances
from loadprobe.outputs.folder.reader import RunData

_MS_PER_S = 1000
_FREE = {"name", "target", "output", "http", "control", "webhooks", "remote_write"}
"""Sections of the configuration that may differ: what is measured, and who is told."""


def compared_run(data: RunData) -> ComparedRun:
    """Return a run folder that was read, as it is compared."""
    summary = data.summary
    blind_s = max((lane.blind_ms for lane in summary.lanes), default=0.0) / _MS_PER_S
    duration_s = (summary.end_unix_ns - summary.start_unix_ns) / NS_PER_S
    around = Circumstances(
        run=str(data.path),
        state=summary.state,
        blind_part=blind_s / duration_s if duration_s > 0 else 0.0,
        facts=dict(_facts(data)),
    )
    return ComparedRun(around, figures_of(summary))


def _facts(data: RunData) -> Iterator[tuple[str, object]]:
    info = data.info
    yield "scenario", info.scenario
    yield from _flat("versions", info.versions)
    yield from _flat("host", info.host)
    for section, value in info.config.items():
        if section not in _FREE:
            yield from _flat(section, value)


def _flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the leaves of plain data; of lists with names the name is the place."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _flat(f"{name}.{key}", below)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for at, below in enumerate(value):
            place = below.get("name", at) if isinstance(below, Mapping) else at
            yield from _flat(f"{name}.{place}", below)
    else:
        yield name, value
