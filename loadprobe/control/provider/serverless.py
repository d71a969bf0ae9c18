"""A serverless cache as the API tells it.

Pure. To everybody who asks for status, endpoint, transport or tags it is a ``Group``
without shards and nodes; what it has beside that is here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_UNDER_WAY = ("cut", "progress")
_SYNCING = ("sync", "replicat", "migrating")
_FAILED = "fail"


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration into a cache, from its preparation to its end.

    Which words ``Status`` may be is not documented (user guide and API reference of
    botocore 1.44.8). They are read by their stems, which are those of the guide's own
    words for what happens, and by their ending: what is being done ends in "ing".

    Args:
        status: as it is told.
        cutover_mode: as it is told.
    """

    status: str
    cutover_mode: str = ""

    @property
    def is_midway(self) -> bool:
        """Tell whether it goes from one state to another."""
        is_doing = self._word.endswith("ing") and not self.is_syncing
        return is_doing or any(stem in self._word for stem in _UNDER_WAY)

    @property
    def is_syncing(self) -> bool:
        """Tell whether the cache follows the source."""
        is_on = any(stem in self._word for stem in _SYNCING)
        return is_on and not self.has_failed

    @property
    def has_failed(self) -> bool:
        """Tell whether something of it failed."""
        return _FAILED in self._word

    @property
    def is_over(self) -> bool:
        """Tell whether the cache serves on its own."""
        return self._word.startswith("complete")

    @property
    def _word(self) -> str:
        return self.status.lower()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a cache may and will use; None is no limit.

    Args:
        max_storage_gb: data, at most.
        min_storage_gb: data for which there is always room.
        max_ecpu_per_s: ElastiCache processing units a second, at most.
        min_ecpu_per_s: those that are always there.
    """

    max_storage_gb: int | None = None
    min_storage_gb: int | None = None
    max_ecpu_per_s: int | None = None
    min_ecpu_per_s: int | None = None

    def over(self, present: "Limits") -> "Limits":
        """Return what is said here, and of the rest what is there."""

        def first(mine: int | None, there: int | None) -> int | None:
            return there if mine is None else mine

        return Limits(
            first(self.max_storage_gb, present.max_storage_gb),
            first(self.min_storage_gb, present.min_storage_gb),
            first(self.max_ecpu_per_s, present.max_ecpu_per_s),
            first(self.min_ecpu_per_s, present.min_ecpu_per_s),
        )

    def as_argument(self) -> dict[str, object] | None:
        """Return CacheUsageLimits; None if nothing is said."""
        storage = _present(Maximum=self.max_storage_gb, Minimum=self.min_storage_gb)
        rate = _present(Maximum=self.max_ecpu_per_s, Minimum=self.min_ecpu_per_s)
        limits: dict[str, object] = {}
        if storage:
            limits["DataStorage"] = {**storage, "Unit": "GB"}
        if rate:
            limits["ECPUPerSecond"] = rate
        return limits or None

    def __str__(self) -> str:
        """Return it for people."""
        told = [
            f"{name} {value} {unit}"
            for name, value, unit in (
                ("at most", self.max_storage_gb, "GB"),
                ("at least", self.min_storage_gb, "GB"),
                ("at most", self.max_ecpu_per_s, "ECPU/s"),
                ("at least", self.min_ecpu_per_s, "ECPU/s"),
            )
            if value is not None
        ]
        return ", ".join(told) or "none"


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Serverless:
    """What a serverless cache has beside what every target has.

    Args:
        engine: "valkey", "redis" or "memcached".
        major_version: such as "8".
        full_version: such as "8.1"; "" if it is not told.
        limits: of its use.
        network_type: "ipv4", "ipv6" or "dual_stack"; "" if it is not told.
        connection_type: "vpc" or "public"; "" if it is not told.
        migration: the one that is open; None if there is none, or the installed
            botocore does not know of any.
    """

    engine: str
    major_version: str
    full_version: str = ""
    limits: Limits = NO_LIMITS
    network_type: str = ""
    connection_type: str = ""
    migration: Migration | None = None

    @property
    def version(self) -> str:
        """The version as closely as it is told; the engine may be named in it."""
        return self.full_version.split(" ")[-1].split("-")[-1] or self.major_version


def read_serverless(reply: Mapping[str, Any]) -> Serverless:
    """Build it from one member of ServerlessCaches."""
    migration = reply.get("Migration")
    return Serverless(
        engine=reply.get("Engine", ""),
        major_version=reply.get("MajorEngineVersion", ""),
        full_version=reply.get("FullEngineVersion", ""),
        limits=_read_limits(reply.get("CacheUsageLimits", {})),
        network_type=reply.get("NetworkType", ""),
        connection_type=reply.get("ConnectionType", ""),
        migration=Migration(
            migration.get("Status", ""), migration.get("CutoverMode", "")
        )
        if migration
        else None,
    )


def _read_limits(reply: Mapping[str, Any]) -> Limits:
    storage, rate = reply.get("DataStorage", {}), reply.get("ECPUPerSecond", {})
    return Limits(
        max_storage_gb=storage.get("Maximum"),
        min_storage_gb=storage.get("Minimum"),
        max_ecpu_per_s=rate.get("Maximum"),
        min_ecpu_per_s=rate.get("Minimum"),
    )


def _present(**values: int | None) -> dict[str, int]:
    return {name: value for name, value in values.items() if value is not None}
