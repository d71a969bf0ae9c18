"""The two kinds of what the API controls: replication groups and serverless caches.

Pure. All that differs between the two where one code serves both is said here; what one
of them cannot do at all is refused by name before (see ``scenario.fitting_steps``).
"""

from dataclasses import dataclass

from loadprobe.config.keys import Control


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of what the API controls.

    Args:
        word: for people.
        key: of ``[control]``.
        argument: names one in a call.
        not_found: code of the fault for one that is not there.
        describe: the call that tells of one.
        listed: the member of its reply that has them.
        delete: the call that ends one.
        has_nodes: it is made of shards and nodes that the provider tells.
    """

    word: str
    key: str
    argument: str
    not_found: str
    describe: str
    listed: str
    delete: str
    has_nodes: bool

    def is_source(self, source_type: str) -> bool:
        """Tell whether events of a type of source can be about one, or its nodes."""
        return source_type.startswith(_SERVERLESS) is not self.has_nodes


REPLICATION_GROUP = Kind(
    word="group",
    key="replication_group",
    argument="ReplicationGroupId",
    not_found="ReplicationGroupNotFoundFault",
    describe="DescribeReplicationGroups",
    listed="ReplicationGroups",
    delete="DeleteReplicationGroup",
    has_nodes=True,
)
SERVERLESS_CACHE = Kind(
    word="serverless cache",
    key="serverless_cache",
    argument="ServerlessCacheName",
    not_found="ServerlessCacheNotFoundFault",
    describe="DescribeServerlessCaches",
    listed="ServerlessCaches",
    delete="DeleteServerlessCache",
    has_nodes=False,
)
KINDS = (REPLICATION_GROUP, SERVERLESS_CACHE)
NOT_FOUND = frozenset(kind.not_found for kind in KINDS)
"""Codes of the faults for what is not there."""

_SERVERLESS = "serverless-cache"


def kind_of(control: Control) -> Kind:
    """Return the kind of what ``[control]`` names."""
    return SERVERLESS_CACHE if control.is_serverless else REPLICATION_GROUP
