"""The provider's answer about a serverless cache as a value.

Pure, as ``replies``.
"""

from loadprobe.control.provider.kinds import SERVERLESS_CACHE
from loadprobe.control.provider.replies import (
    Call,
    Group,
    Reply,
    as_endpoint,
    as_unix_ns,
    whole,
)
from loadprobe.control.provider.serverless import read_serverless


@whole
def read_serverless_cache(reply: Reply, call: Call) -> Group:
    """Build a Group from one member of ServerlessCaches."""
    user_group = reply.get("UserGroupId")
    return Group(
        id=reply["ServerlessCacheName"],
        # The API reference has them in capitals, replies in small letters.
        status=reply.get("Status", "").lower(),
        pending={},
        shards={},
        endpoint=as_endpoint(reply.get("Endpoint")),
        reader=as_endpoint(reply.get("ReaderEndpoint")),
        tls_mode="required",
        call=call,
        user_groups=(user_group,) if user_group else (),
        created_unix_ns=as_unix_ns(reply.get("CreateTime")),
        arn=reply.get("ARN", ""),
        kind=SERVERLESS_CACHE,
        serverless=read_serverless(reply),
    )
