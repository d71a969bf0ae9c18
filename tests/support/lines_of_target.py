"""Lines of the target: what it looks like, how it is reached, what is done to it."""

from loadprobe.core.events import (
    EndpointLost,
    EndpointMoved,
    EpochRaised,
    ForwardRefused,
    GroupStatusSeen,
    MaintenanceBegun,
    MaintenanceOver,
    NodeAdded,
    NodeForwarded,
    NodeReached,
    NodeRemoved,
    NodeStateSeen,
    NodeUnreached,
    ProviderTold,
    RoleChanged,
    ShardAdded,
    ShardRemoved,
    SlotsMoved,
    TunnelAnswered,
    TunnelBroken,
    TunnelOpened,
    TunnelStalled,
    UpdateSeen,
    WindowSeen,
)
from tests.support.event_lines import AT, Line

TARGET_LINES: list[Line] = [
    (
        ProviderTold(
            AT,
            date_unix_ns=1,
            seen_unix_ns=2,
            message="completed",
            source_identifier="rg-0001-002",
            source_type="cache-cluster",
            meaning="failover_completed",
            node_group="0001",
            to_node="rg-0001-002",
            failover_id="0001#1",
        ),
        "provider",
        "provider_event",
        (
            '{"date_unix_ns":1,"seen_unix_ns":2,"message":"completed",'
            '"source_identifier":"rg-0001-002","source_type":"cache-cluster",'
            '"kind":"failover_completed","node_group":"0001","from_node":null,'
            '"to_node":"rg-0001-002","failover_id":"0001#1"}'
        ),
    ),
    (
        RoleChanged(AT, "0001", "a -> b"),
        "topology",
        "role_change",
        '{"shard":"0001","detail":"a -> b"}',
    ),
    (
        SlotsMoved(AT, "0001", "9 -> 5 slots"),
        "topology",
        "slots_moved",
        '{"shard":"0001","detail":"9 -> 5 slots"}',
    ),
    (
        SlotsMoved(AT, "0002", "5 -> 9 slots", gained=4),
        "topology",
        "slots_moved",
        '{"shard":"0002","detail":"5 -> 9 slots","gained":4}',
    ),
    (
        ShardAdded(AT, "0003", "a", gained=4),
        "topology",
        "shard_added",
        '{"shard":"0003","detail":"a","gained":4}',
    ),
    (
        ShardRemoved(AT, "0003", "a"),
        "topology",
        "shard_removed",
        '{"shard":"0003","detail":"a"}',
    ),
    (
        NodeAdded(AT, "0001", "a"),
        "topology",
        "node_added",
        '{"shard":"0001","detail":"a"}',
    ),
    (
        NodeRemoved(AT, "0001", "a"),
        "topology",
        "node_removed",
        '{"shard":"0001","detail":"a"}',
    ),
    (
        NodeStateSeen(AT, "a", "silent", "no answer"),
        "topology",
        "cluster_state",
        '{"node":"a","state":"silent","reason":"no answer"}',
    ),
    (EpochRaised(AT, 7, 6), "topology", "epoch", '{"epoch":7,"previous":6}'),
    (
        EndpointMoved(AT, "db", "a", "b", 50.5),
        "topology",
        "endpoint_moved",
        '{"host":"db","from_addresses":"a","to_addresses":"b","gap_ms":50.5}',
    ),
    (
        EndpointLost(AT, "db", "unknown"),
        "topology",
        "endpoint_lost",
        '{"host":"db","reason":"unknown"}',
    ),
    (
        NodeUnreached(AT, "a:1", "", "no entry", 5.5),
        "reach",
        "node_unreached",
        '{"node":"a:1","shard":"","reason":"no entry","known_ms":5.5}',
    ),
    (
        NodeReached(AT, "a:1", is_gone=True),
        "reach",
        "node_reached",
        '{"node":"a:1","is_gone":true}',
    ),
    (
        TunnelBroken(AT, "b", "closed", 5.5),
        "tunnel",
        "broken",
        '{"to":"b","reason":"closed","silent_ms":5.5}',
    ),
    (TunnelOpened(AT, "b", 5.5), "tunnel", "opened", '{"to":"b","broken_ms":5.5}'),
    (TunnelStalled(AT, "b", 5.5), "tunnel", "stalled", '{"to":"b","silent_ms":5.5}'),
    (
        TunnelAnswered(AT, "b", 5.5),
        "tunnel",
        "answered",
        '{"to":"b","stalled_ms":5.5}',
    ),
    (
        NodeForwarded(AT, "a:1", "0001", 5000, 5.5),
        "tunnel",
        "forwarded",
        '{"node":"a:1","shard":"0001","local_port":5000,"waited_ms":5.5}',
    ),
    (
        ForwardRefused(AT, "", "prohibited"),
        "tunnel",
        "forward_refused",
        '{"node":"","reason":"prohibited"}',
    ),
    (
        WindowSeen(AT, "sun:23:00-mon:01:30", None),
        "maintenance",
        "window",
        '{"window":"sun:23:00-mon:01:30","next_start_unix_ns":null}',
    ),
    (
        UpdateSeen(AT, "fix-1", "important", "complete", "in-progress", 5),
        "maintenance",
        "update",
        (
            '{"name":"fix-1","severity":"important","status":"complete",'
            '"previous":"in-progress","apply_by_unix_ns":5}'
        ),
    ),
    (
        GroupStatusSeen(AT, "modifying", "available"),
        "maintenance",
        "group_status",
        '{"status":"modifying","previous":"available"}',
    ),
    (
        MaintenanceBegun(AT, 1, "why", 5),
        "maintenance",
        "begun",
        '{"number":1,"reason":"why","start_unix_ns":5}',
    ),
    (
        MaintenanceOver(AT, 1, "why", 5, 9, 3, 0, 0.0, 0.0, 0.0, "nobody noticed"),
        "maintenance",
        "over",
        (
            '{"number":1,"reason":"why","start_unix_ns":5,"end_unix_ns":9,"signs":3,'
            '"outages":0,"dark_ms":0.0,"lower_ms":0.0,"upper_ms":0.0,'
            '"verdict":"nobody noticed"}'
        ),
    ),
]
