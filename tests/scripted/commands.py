"""What each command answers, with and without a fault.

No I/O: takes the words of one command, returns the bytes of its reply. All nodes
share one store, so replication is immediate and moved slots lose nothing. A TTL is
taken note of by nobody: tests are shorter.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from tests.scripted import resp
from tests.scripted.faults import WRITES, Fault
from tests.scripted.topology import HOST, Member, Topology
from tests.support.key_slots import key_slot

_NOAUTH = resp.error("NOAUTH Authentication required.")
_WRONGPASS = resp.error("WRONGPASS invalid username-password pair or user is disabled.")
_CROSSSLOT = resp.error("CROSSSLOT Keys in request don't hash to the same slot")
_SYNTAX = resp.error("ERR syntax error")
_NO_PASSWORD = resp.error(
    "ERR AUTH <password> called without any password configured for the default "
    "user. Are you sure your configuration is correct?"
)
# Name -> (arity as COMMAND tells it, flags, position of the last key).
_KEYED: dict[bytes, tuple[int, tuple[str, ...], int]] = {
    b"GET": (2, ("readonly", "fast"), 1),
    b"SET": (-3, ("write", "denyoom"), 1),
    b"MGET": (-2, ("readonly", "fast"), -1),
    b"EXISTS": (-2, ("readonly", "fast"), -1),
    b"DEL": (-2, ("write",), -1),
    b"EXPIRE": (-3, ("write", "fast"), 1),
    b"PERSIST": (2, ("write", "fast"), 1),
}
_COMMAND_TABLE = resp.encode(
    [
        [name.decode().lower(), arity, list(flags), 1, last_key, 1]
        for name, (arity, flags, last_key) in _KEYED.items()
    ]
)


@dataclass(slots=True)
class Counters:
    """What one node has received."""

    connects: int = 0
    faulted: int = 0
    ops: defaultdict[bytes, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(slots=True)
class Session:
    """The state of one connection.

    Args:
        member: the node it is connected to.
        counters: of that node.
        number: what CLIENT ID tells.
        tls: whether it came in by TLS.
        is_trusted: logged in, or no password is needed.
        reads_replica: READONLY was sent.
        is_asking: ASKING was the previous command.
    """

    member: Member
    counters: Counters
    number: int
    tls: bool
    is_trusted: bool
    reads_replica: bool = False
    is_asking: bool = False


class Engine:
    """The store and the commands.

    Args:
        topology: who owns which slot.
        password: of the user ``default``; None wants none.
    """

    def __init__(self, topology: Topology, password: str | None) -> None:
        self.topology = topology
        self._password = None if password is None else password.encode()
        self._store: dict[bytes, bytes] = {}
        self._previous: dict[bytes, bytes | None] = {}

    @property
    def needs_password(self) -> bool:
        """Whether sessions start without trust."""
        return self._password is not None

    def execute(
        self, session: Session, words: list[bytes], fault: Fault | None
    ) -> bytes:
        """Apply one command and return its reply.

        Args:
            session: of the connection; AUTH, ASKING and READONLY change it.
            words: the command and its arguments.
            fault: what the node suffers from now.
        """
        name = words[0].upper()
        session.counters.ops[name] += 1
        if not session.is_trusted and name != b"AUTH":
            return _NOAUTH
        if name not in _KEYED:
            return self._keyless(session, name, words)
        arity = _KEYED[name][0]
        if (arity > 0 and len(words) != arity) or len(words) < -arity:
            return _wrong_arity(name)
        is_asking, session.is_asking = session.is_asking, False
        if fault is not None and fault.refuses(name):
            session.counters.faulted += 1
            return resp.error(fault.reply)
        keys = words[1:] if _KEYED[name][2] < 0 else words[1:2]
        slot = key_slot(keys[0])
        if any(key_slot(key) != slot for key in keys[1:]):
            return _CROSSSLOT
        if not (is_asking or self._serves(session, name, slot)):
            return self._moved(session, slot)
        return self._keyed(session, name, words, fault)

    def _serves(self, session: Session, name: bytes, slot: int) -> bool:
        member = session.member
        return self.topology.owners[slot] == member.shard and (
            member.is_primary or (session.reads_replica and name not in WRITES)
        )

    def _moved(self, session: Session, slot: int) -> bytes:
        owner = self.topology.primary(self.topology.owners[slot])
        return resp.error(f"MOVED {slot} {HOST}:{owner.port_for(tls=session.tls)}")

    def _keyed(
        self, session: Session, name: bytes, words: list[bytes], fault: Fault | None
    ) -> bytes:
        match name:
            case b"GET":
                return resp.bulk(self._read(session, words[1], fault))
            case b"SET":
                _, key, value, *options = words
                is_limited = options[:1] == [b"EX"] and len(options) == 2
                if options not in ([], [b"XX"]) and not is_limited:
                    return _SYNTAX
                if options == [b"XX"] and key not in self._store:
                    return resp.bulk(None)
                self._previous[key] = self._store.get(key)
                self._store[key] = value
                return resp.OK
            case b"MGET":
                return resp.encode(
                    [self._read(session, key, fault) for key in words[1:]]
                )
            case b"EXPIRE" | b"PERSIST":
                return resp.encode(int(words[1] in self._store))
            case b"EXISTS":
                return resp.encode(sum(key in self._store for key in words[1:]))
            case _:
                return resp.encode(sum(self._delete(key) for key in words[1:]))

    def _read(self, session: Session, key: bytes, fault: Fault | None) -> bytes | None:
        value = self._store.get(key)
        if fault is None or value is None:
            return value
        match fault.kind:
            case "wrong_value":
                told: bytes | None = _flipped(value)
            case "stale_value":
                told = self._previous[key]
            case "nil":
                told = None
            case _:
                return value
        session.counters.faulted += 1
        return told

    def _delete(self, key: bytes) -> bool:
        self._previous.pop(key, None)
        return self._store.pop(key, None) is not None

    def _keyless(self, session: Session, name: bytes, words: list[bytes]) -> bytes:
        match name:
            case b"PING":
                return resp.PONG if len(words) == 1 else resp.bulk(words[1])
            case b"CLUSTER":
                return self._cluster(session, words)
            case b"AUTH":
                return self._auth(session, words)
            case b"ASKING":
                session.is_asking = True
                return resp.OK
            case b"READONLY" | b"READWRITE":
                session.reads_replica = name == b"READONLY"
                return resp.OK
            case b"CLIENT":
                is_id = len(words) > 1 and words[1].upper() == b"ID"
                return resp.encode(session.number) if is_id else resp.OK
            case b"FLUSHALL":
                self._store.clear()
                self._previous.clear()
                return resp.OK
            case b"COMMAND":
                return _COMMAND_TABLE
            case b"INFO":
                return resp.encode(self._info(session.member))
            case _:
                return resp.error(f"ERR unknown command '{_text(words[0])}'")

    def _auth(self, session: Session, words: list[bytes]) -> bytes:
        if not 2 <= len(words) <= 3:
            return _wrong_arity(b"AUTH")
        if self._password is None:
            return _NO_PASSWORD
        user = words[1] if len(words) == 3 else b"default"
        if user != b"default" or words[-1] != self._password:
            return _WRONGPASS
        session.is_trusted = True
        return resp.OK

    def _cluster(self, session: Session, words: list[bytes]) -> bytes:
        if len(words) < 2:
            return _wrong_arity(b"CLUSTER")
        topology, tls = self.topology, session.tls
        match words[1].upper():
            case b"SLOTS":
                return resp.encode(topology.slots_reply(tls=tls))
            case b"NODES":
                return resp.encode(topology.nodes_text(session.member, tls=tls))
            case b"SHARDS":
                return resp.encode(topology.shards_reply())
            case b"INFO":
                return resp.encode(topology.info_text())
            case b"MYID":
                return resp.encode(session.member.node_id)
            case _:
                return resp.error(
                    f"ERR unknown subcommand '{_text(words[1])}'. Try CLUSTER HELP."
                )

    def _info(self, member: Member) -> str:
        role = "master" if member.is_primary else "slave"
        return (
            "# Server\r\nredis_version:7.0.15\r\nredis_mode:cluster\r\n"
            f"tcp_port:{member.port}\r\n# Replication\r\nrole:{role}\r\n"
            "# Cluster\r\ncluster_enabled:1\r\n# Keyspace\r\n"
            f"db0:keys={len(self._store)},expires=0,avg_ttl=0\r\n"
        )


def _flipped(value: bytes) -> bytes:
    """Return the value with one bit of its middle byte changed; empty stays empty."""
    changed = bytearray(value)
    if changed:
        changed[len(changed) // 2] ^= 1
    return bytes(changed)


def _text(word: bytes) -> str:
    return word.decode(errors="replace")


def _wrong_arity(name: bytes) -> bytes:
    return resp.error(
        f"ERR wrong number of arguments for '{name.decode().lower()}' command"
    )
