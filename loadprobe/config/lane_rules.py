"""What the keys of a lane have to agree on, and lanes that share their keys."""

from collections import Counter
from collections.abc import Sequence

from loadprobe.config.client import check_client
from loadprobe.config.keys import Target
from loadprobe.config.lane import LONGEST_TTL_S, Lane
from loadprobe.errors import ConfigError

# Values name their key in four bytes, and there are spare keys for every slot.
_MOST_KEYS = 1_000_000_000

_LEAST_TTL_S = 5
_DEADLINES = 4


def check_lane(lane: Lane, target: Target, at: str) -> None:
    """Check one lane.

    Args:
        lane: its keys.
        target: what it is about.
        at: where it stands, for messages.

    Raises:
        ConfigError: its keys do not fit together, or not to the target.
    """
    _check_schedule(lane, at)
    _check_parts(lane, at)
    _check_ttl(lane, at)
    _check_client(lane, target, at)


def check_keyspaces(lanes: Sequence[Lane], where: str) -> None:
    """Check that lanes that share their keys agree on what is in them.

    Args:
        lanes: all lanes.
        where: name of the file, for messages.

    Raises:
        ConfigError: two of them do not.
    """
    first: dict[str, Lane] = {}
    parts: Counter[str] = Counter()
    for index, lane in enumerate(lanes):
        space, at = lane.key_prefix, f"{where}: lanes[{index}].keyspace"
        other = first.setdefault(space, lane)
        parts[space] += lane.processes
        if other is lane:
            continue
        for key in ("keys", "value_bytes", "multi_key", "key_ttl_s"):
            if getattr(lane, key) != getattr(other, key):
                named = "ttl_s" if key == "key_ttl_s" else key
                raise ConfigError(
                    at,
                    f"{lane.name} and {other.name} share the keys of {space!r} and "
                    f"differ in {named}; set the same, or another keyspace",
                )
        strange = next((each for each in (other, lane) if not each.is_witness), None)
        if strange is not None or lane.multi_key > 1:
            what = f"{strange.name} has another driver" if strange else "sets of keys"
            raise ConfigError(
                at,
                f"keys are shared by lanes of the wire driver, one key at a time, only "
                f"({what}); a client library may send a write twice, and then nobody "
                "can tell what a read of another lane should find",
            )
        if lane.keys < parts[space]:
            raise ConfigError(
                at,
                f"{lane.keys} keys for {parts[space]} processes of the lanes that "
                "share them; every process needs one",
            )


def _check_schedule(lane: Lane, at: str) -> None:
    """Check when arrivals are due."""
    if lane.schedule == "ramp" and (
        lane.ramp_s is None or lane.ramp_from_per_s is None
    ):
        raise ConfigError(at, "a ramp needs ramp_from_per_s and ramp_s")
    if lane.schedule != "ramp" and (lane.ramp_s or lane.ramp_from_per_s is not None):
        raise ConfigError(
            at, 'ramp_from_per_s and ramp_s need schedule = "ramp" beside them'
        )
    if lane.loop == "closed" and lane.schedule != "constant":
        raise ConfigError(
            f"{at}.schedule",
            'a closed loop has no schedule; remove it, or set loop = "open"',
        )
    if lane.incident_rate_per_s is not None:
        if lane.loop == "closed":
            raise ConfigError(
                f"{at}.incident_rate_per_s",
                'a closed loop has no rate; remove it, or set loop = "open"',
            )
        if lane.incident_rate_per_s < lane.rate_per_s:
            raise ConfigError(
                f"{at}.incident_rate_per_s",
                f"{lane.incident_rate_per_s:g} is below rate_per_s "
                f"({lane.rate_per_s:g}); expected the higher one of the two",
            )
    if lane.connect_rate_per_s and lane.connect_rate_per_s < 1:
        raise ConfigError(
            f"{at}.connect_rate_per_s",
            f"{lane.connect_rate_per_s:g} is too rare to tell when an outage began; "
            "expected 0 for none, or 1 to 100 per second and shard",
        )


def _check_parts(lane: Lane, at: str) -> None:
    """Check what workers and processes share: connections and keys."""
    if lane.processes > lane.workers:
        raise ConfigError(
            f"{at}.processes",
            f"{lane.processes} processes cannot share {lane.workers} workers; "
            "lower processes, or raise workers",
        )
    if lane.connections is not None and not (
        lane.processes <= lane.connections <= lane.workers
    ):
        raise ConfigError(
            f"{at}.connections",
            f"{lane.connections} for {lane.workers} workers in {lane.processes} "
            "processes; expected at most one per worker, and one per process at least",
        )
    if lane.pipeline > 1 and lane.loop == "open":
        raise ConfigError(
            f"{at}.pipeline",
            "an open loop never waits for replies, so it pipelines by itself; "
            'remove it, or set loop = "closed"',
        )
    if lane.keys * lane.multi_key > _MOST_KEYS:
        raise ConfigError(
            f"{at}.multi_key",
            f"{lane.keys} sets of {lane.multi_key} keys are more than {_MOST_KEYS} "
            "keys; lower keys, or multi_key",
        )
    if lane.keys < lane.processes:
        raise ConfigError(
            f"{at}.keys",
            f"{lane.keys} keys for {lane.processes} processes; every process needs one",
        )


def _check_ttl(lane: Lane, at: str) -> None:
    """Check that keys can be renewed before their TTL has passed."""
    ttl_s = lane.key_ttl_s
    if not ttl_s or lane.read_only:
        return
    if lane.multi_key > 1:
        raise ConfigError(
            f"{at}.ttl_s",
            "MSET, by which sets of keys are written, takes no TTL; remove it (sets "
            "stay until `loadprobe clean`), or multi_key",
        )
    if ttl_s < _LEAST_TTL_S:
        raise ConfigError(
            f"{at}.ttl_s",
            f"{ttl_s} is too short to be renewed in time; expected 0 for none, or "
            f"{_LEAST_TTL_S} seconds to {LONGEST_TTL_S}",
        )
    if ttl_s < lane.least_ttl_s:
        raise ConfigError(
            f"{at}.ttl_s",
            f"{ttl_s} is too short for {lane.keys} keys: to renew them in time would "
            "take more than 1,000 commands a second; expected "
            f"{lane.least_ttl_s} or more, 0 for none, or fewer keys",
        )
    if ttl_s * 1000 < _DEADLINES * lane.deadline_ms:
        raise ConfigError(
            f"{at}.ttl_s",
            f"{ttl_s} s is less than {_DEADLINES} times deadline_ms "
            f"({lane.deadline_ms}): a key could be gone before its write is judged; "
            f"expected {-(-_DEADLINES * lane.deadline_ms // 1000)} or more, or 0",
        )


def _check_wire_only(lane: Lane, at: str) -> None:
    """Refuse what a client library cannot be asked for."""
    if lane.connections is not None or lane.pipeline > 1:
        raise ConfigError(
            f"{at}.{'pipeline' if lane.connections is None else 'connections'}",
            f"{lane.driver} decides on that by itself; "
            "remove it, or use the wire driver",
        )
    if lane.connect_rate_per_s:
        raise ConfigError(
            f"{at}.connect_rate_per_s",
            f"{lane.driver} keeps its connections to itself; "
            "remove it, or use the wire driver",
        )
    if lane.read_from != "primary":
        raise ConfigError(
            f"{at}.read_from",
            f"{lane.driver} has a read_from of its own, in [lanes.client]; "
            "set that, or use the wire driver",
        )
    if lane.multi_key > 1:
        raise ConfigError(
            f"{at}.multi_key",
            f"{lane.driver} is asked for one key at a time; "
            "remove it, or use the wire driver",
        )


def _check_client(lane: Lane, target: Target, at: str) -> None:
    client = lane.client
    if lane.is_witness:
        if client is not None:
            raise ConfigError(
                f"{at}.client",
                "the wire driver has no settings; remove it, or set another driver",
            )
        return
    _check_wire_only(lane, at)
    if lane.tls and target.server_name is not None:
        raise ConfigError(
            f"{at}.driver",
            f"{lane.driver} verifies every node under the address it connects to and "
            "cannot be told target.server_name; remove that, or use the wire driver",
        )
    check_client(lane, target, at)
    if client is None:
        return
    if client.clients > lane.workers // lane.processes:
        raise ConfigError(
            f"{at}.client.clients",
            f"{client.clients} clients for {lane.workers // lane.processes} workers in "
            "a process; every client needs one",
        )
    pauses = client.backoff_base_ms, client.backoff_cap_ms
    if any(pauses) and client.backoff != "exponential-jitter":
        raise ConfigError(
            f"{at}.client",
            'backoff_base_ms and backoff_cap_ms need backoff = "exponential-jitter"',
        )
    if client.backoff is not None and client.retries is None:
        raise ConfigError(
            f"{at}.client.backoff",
            "a pause between tries needs retries beside it",
        )
