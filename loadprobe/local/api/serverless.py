"""A serverless cache: servers that nobody is shown, behind one endpoint with TLS.

Its servers are a group of the control plane like any other, so that it is created,
changed and ended by the same code; only what is shown of it differs.
"""

from dataclasses import dataclass, field
from typing import Any

from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.groups import NO_ENDPOINTS, ReplicationGroup
from loadprobe.local.api.rendering import endpoint, group_arn
from loadprobe.local.cluster.cluster import LocalCluster
from loadprobe.local.cluster.following import SourceCopies

SHARDS, REPLICAS = 2, 1
"""What a cache is made of here; on AWS nobody is told."""

PREPARING, PREPARED = "preparing", "prepared"
STARTING, SYNCING = "starting", "syncing"
STOPPING, STOPPED = "stopping", "stopped"
CUTTING_OVER = "cutting-over"
"""What the status of a migration may be here: AWS documents no words of its own."""


@dataclass(slots=True)
class CacheMigration:
    """A migration into a cache.

    Args:
        copies: of its source.
        status: one of the words above.
        is_automatic: it is completed by itself.
        has_stopped: it was stopped once: what the cache holds has to be deleted.
    """

    copies: SourceCopies
    status: str = PREPARING
    is_automatic: bool = False
    has_stopped: bool = False


@dataclass(slots=True)
class ServerlessCache:
    """One cache.

    Args:
        servers: what serves it.
        description: Description.
        limits: CacheUsageLimits, a label: nothing is limited here.
        subnets: SubnetIds, a label.
        security_groups: SecurityGroupIds, a label.
        migration: the one that is open, if any.
    """

    servers: ReplicationGroup
    description: str = ""
    limits: dict[str, Any] = field(default_factory=dict)
    subnets: list[str] = field(default_factory=list)
    security_groups: list[str] = field(default_factory=list)
    migration: CacheMigration | None = None

    @property
    def name(self) -> str:
        """ServerlessCacheName."""
        return self.servers.group_id

    @property
    def clusters(self) -> list[LocalCluster]:
        """All that runs for it."""
        copies = self.migration.copies.clusters if self.migration else []
        return [self.servers.cluster, *copies]

    def require_migration(self, *statuses: str) -> CacheMigration:
        """Return the open migration, or raise the API's fault.

        Args:
            statuses: those that it may have.
        """
        if self.migration is None:
            raise ApiFault(
                "ServerlessCacheNotUnderMigrationFault",
                f"Serverless cache {self.name} is not under migration.",
            )
        if self.migration.status not in statuses:
            raise ApiFault(
                "InvalidServerlessCacheStateFault",
                f"The migration into {self.name} is {self.migration.status}, not "
                f"{' or '.join(statuses)}.",
            )
        return self.migration


def describe_cache(cache: ServerlessCache) -> dict[str, Any]:
    """Return the API's ServerlessCache."""
    servers, cluster = cache.servers, cache.servers.cluster
    described: dict[str, Any] = {
        "ServerlessCacheName": cache.name,
        "Description": cache.description,
        "CreateTime": servers.created,
        "Status": servers.status,
        "Engine": servers.engine,
        "CacheUsageLimits": cache.limits,
        "SecurityGroupIds": cache.security_groups,
        "SubnetIds": cache.subnets,
        "SnapshotRetentionLimit": 0,
        "ARN": group_arn(servers),
    }
    if cluster.nodes:
        version = cluster.nodes[0].server.version
        described["MajorEngineVersion"] = version.partition(".")[0]
        described["FullEngineVersion"] = version
    if cluster.nodes and servers.status not in NO_ENDPOINTS:
        described["Endpoint"] = endpoint(servers, cluster.endpoint)
        described["ReaderEndpoint"] = endpoint(servers, cluster.endpoint)
        if cache.migration is not None:
            described["Migration"] = {
                "Status": cache.migration.status,
                "MigrationEndpoint": described["Endpoint"],
                "CutoverMode": "auto" if cache.migration.is_automatic else "manual",
            }
    return described
