"""The keys of the steps that only serverless caches know."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from loadprobe.config.keys import Text
from loadprobe.control.provider.serverless import Limits
from loadprobe.control.scenario.step_keys import BaseStep, Names

_Gigabytes = Annotated[int, Meta(ge=1, le=5000)]
_Ecpu = Annotated[int, Meta(ge=1000, le=15_000_000)]


class LimitingStep(BaseStep, frozen=True, kw_only=True):
    """What steps share that set limits of use.

    The ranges are those of the provider (AWS CDK reference, CacheUsageLimits).

    Args:
        max_storage_gb: data, at most.
        min_storage_gb: data for which there is always room.
        max_ecpu_per_s: ElastiCache processing units a second, at most.
        min_ecpu_per_s: those that are always there.
    """

    max_storage_gb: _Gigabytes | None = None
    min_storage_gb: _Gigabytes | None = None
    max_ecpu_per_s: _Ecpu | None = None
    min_ecpu_per_s: _Ecpu | None = None

    @property
    def limits(self) -> Limits:
        """Return them as one value."""
        return Limits(
            self.max_storage_gb,
            self.min_storage_gb,
            self.max_ecpu_per_s,
            self.min_ecpu_per_s,
        )


class CreateServerlessStep(LimitingStep, frozen=True, kw_only=True):
    """Create the serverless cache of [control]; only as the first step.

    Args:
        engine: "valkey" or "redis"; if absent "valkey", or the other one where that
            cannot be encrypted.
        version: major engine version; the provider's choice if absent.
        subnets: ids of the subnets of its endpoint.
        security_groups: ids of its security groups.
        user_group: id of the user group that controls access; absent: nobody has to
            log in.
        snapshots: what it is seeded from: ARNs of RDB files in S3, or of snapshots;
            of a local control plane, paths.
        keep: the cache stays when the run ends, whatever ends it; else it is deleted.
    """

    mode: ClassVar[Literal["required"]] = "required"
    shards: ClassVar[int] = 1

    engine: Literal["valkey", "redis"] | None = None
    version: Text | None = None
    subnets: Names | None = None
    security_groups: Names | None = None
    user_group: Text | None = None
    snapshots: Names | None = None
    keep: bool = False


class LimitsStep(LimitingStep, frozen=True, kw_only=True):
    """Change how much the cache may and will use."""


class UserGroupStep(BaseStep, frozen=True, kw_only=True):
    """Have another user group control access.

    Args:
        user_group: its id, or "none" for nobody has to log in.
    """

    user_group: Text
