"""What two configurations differ in, and what of it one run can take over. Pure.

Some keys are swapped while the load goes on, others with a new segment of the run. With
the rest it would be another run: figures of it would not be of the same thing any more.

Keys are named by their path, lanes and webhooks in it by their names:
``lanes.tcp.rate_per_s``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from loadprobe.config.keys import Config, to_plain

_NAMED = ("lanes", "webhooks")
_NOTHING: Mapping[str, object] = {}

_IN_MID_RUN = re.compile(
    r"lanes\.[^.]+\.((incident_)?rate_per_s|deadline_ms)"
    r"|load\.[^.]+"
    r"|slo\.[^.]+"
    r"|webhooks(\..+)?"
    r"|output\.(resume|segment_hours|seconds_hours|latency_seconds_hours|minutes_days"
    r"|retain_days|retain_gb|max_disk_ratio)"
    r"|target\.(username|password_file|password_env|ca_file|cert_file|key_file)"
    r"|target\.address_map"
)
"""Keys that are swapped without a gap."""

_OF_THE_RUN = re.compile(
    r"name|output\.dir|control(\..+)?|target\.(host|port|cluster)"
    r"|lanes\.[^.]+\.(driver|tls|loop|read_from|keyspace|value_bytes|multi_key)"
)
"""Keys that say what is measured, and what a lane's figures and values are.

The TTL of its keys is of these, too, whatever it follows from. A lane may come or go
as a whole: one that is to be different has another name.
"""


@dataclass(frozen=True, slots=True)
class ChangedKeys:
    """Paths of keys whose values are others, in the order of the file.

    Args:
        swapped: can take effect while the load goes on.
        anew: need a new segment of the run.
        fixed: need another run.
    """

    swapped: tuple[str, ...]
    anew: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything is different."""
        return bool(self.swapped or self.anew or self.fixed)

    @property
    def changed(self) -> tuple[str, ...]:
        """Return all that one run can take over."""
        return self.swapped + self.anew

    def under(self, section: str) -> bool:
        """Tell whether a key of a section is swapped."""
        return any(key.partition(".")[0] == section for key in self.swapped)


def changes(old: Config, new: Config) -> ChangedKeys:
    """Return what is different in a new configuration."""
    before, after = _flat(to_plain(old)), _flat(to_plain(new))
    keys = _outermost(
        [
            key
            for key in dict.fromkeys((*before, *after))
            if before.get(key, _NOTHING) != after.get(key, _NOTHING)
        ],
        before,
        after,
    )
    ramps = {lane.name for lane in (*old.lanes, *new.lanes) if lane.schedule == "ramp"}
    closed = {lane.name for lane in (*old.lanes, *new.lanes) if lane.loop == "closed"}

    def can_change(key: str) -> bool:
        if _IN_MID_RUN.fullmatch(key) is None:
            return False
        section, _, rest = key.partition(".")
        lane, _, name = rest.partition(".")
        fixed = closed if name == "deadline_ms" else ramps | closed
        return section != "lanes" or lane not in fixed

    fixed = [key for key in keys if _OF_THE_RUN.fullmatch(key) is not None]
    fixed += _other_ttls(old, new)
    rest = [key for key in keys if key not in fixed]
    return ChangedKeys(
        tuple(key for key in rest if can_change(key)),
        tuple(key for key in rest if not can_change(key)),
        tuple(fixed),
    )


def _other_ttls(old: Config, new: Config) -> list[str]:
    """Return the keys that would give keys of a lane another TTL than they have.

    When those that were written before may have expired is judged by their lane's.
    """
    before = {lane.name: lane.key_ttl_s for lane in old.lanes}
    return [
        f"lanes.{lane.name}.ttl_s"
        for lane in new.lanes
        if lane.key_ttl_s != before.get(lane.name, lane.key_ttl_s)
    ]


def _flat(plain: Mapping[str, object]) -> dict[str, object]:
    """Return path -> value; a lane or webhook itself has its name as a key, too."""
    found: dict[str, object] = {}
    for section, value in plain.items():
        if section in _NAMED and isinstance(value, list | tuple):
            for item in value:
                path = f"{section}.{item['name']}"
                found[path] = True
                found |= {f"{path}.{key}": item[key] for key in item}
        elif isinstance(value, Mapping):
            found[section] = True
            found |= {f"{section}.{key}": each for key, each in value.items()}
        elif value is not None:  # else there is no such section
            found[section] = value
    return found


def _outermost(
    keys: list[str], before: Mapping[str, object], after: Mapping[str, object]
) -> list[str]:
    """Leave out the keys of what came or went as a whole."""
    whole = {key for key in keys if (key in before) != (key in after)}
    return [
        key
        for key in keys
        if not any(key.startswith(f"{parent}.") for parent in whole if parent != key)
    ]
