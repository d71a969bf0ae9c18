"""A cluster of two nodes that is down when told to, and writes down when it was.

Only the standard library: ``python server.py`` tells two ports on its first line, then
obeys lines on standard input and answers each with one line:

    down KIND   the second node refuses ("error"), cuts ("reset") or says nothing
                ("silence") from now on; answered with the time
    up          it serves again; answered with the time, and with the time at which
                all that had waited was answered

Times are CLOCK_MONOTONIC in ns, which all processes of a machine share. The end of
standard input ends it. The first node, with the lower half of the slots, is never down.
"""

import os
import selectors
import socket
import struct
import sys
import time

HOST = "127.0.0.1"
SLOTS = 16_384
DOWN_REPLY = b"-CLUSTERDOWN The cluster is down\r\n"
LINGER = struct.pack("ii", 1, 0)  # closing sends RST
IDS = (b"a" * 40, b"b" * 40)


def slot_of(key: bytes) -> int:
    """Return the slot of a key: CRC16 (XMODEM) of its tag."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    if start >= 0 and end > start + 1:
        key = key[start + 1 : end]
    crc = 0
    for byte in key:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021) if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc % SLOTS


def bulk(text: bytes) -> bytes:
    """Return a bulk string."""
    return b"$%d\r\n%s\r\n" % (len(text), text)


def take_command(pending: bytearray) -> list[bytes] | None:
    """Remove and return the first whole command, or None."""
    end = pending.find(b"\r\n")
    if end < 0:
        return None
    at, words = end + 2, []
    for _ in range(int(pending[1:end])):
        end = pending.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(pending[at + 1 : end])
        if len(pending) < end + 4 + size:
            return None
        words.append(bytes(pending[end + 2 : end + 2 + size]))
        at = end + 4 + size
    del pending[:at]
    return words


class Client:
    """One connection: what came in and is no whole command yet, what has to go out."""

    def __init__(self, peer: socket.socket, node: int) -> None:
        self.peer, self.node = peer, node
        self.pending, self.out = bytearray(), bytearray()


class Cluster:
    """Both nodes in one loop of one thread."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.store: dict[bytes, bytes] = {}
        self.clients: set[Client] = set()
        self.down = ""
        self.listeners: list[socket.socket | None] = [None, None]
        for node in (0, 1):
            self.listen(node, 0)
        self.ports = [each.getsockname()[1] for each in self.listeners if each]

    def listen(self, node: int, port: int) -> None:
        """Open the listener of a node."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(512)
        listener.setblocking(False)
        self.listeners[node] = listener
        self.selector.register(listener, selectors.EVENT_READ, node)

    def ignore(self, node: int) -> None:
        """Close the listener of a node."""
        listener = self.listeners[node]
        if listener is not None:
            self.selector.unregister(listener)
            listener.close()
            self.listeners[node] = None

    # --- orders ------------------------------------------------------------------

    def go_down(self, kind: str) -> tuple[int, int]:
        """Be down from now on; return since when nothing is served, twice."""
        # Whatever came until here is answered before.
        for client in self.of_second():
            self.read(client)
        began_ns = time.monotonic_ns()
        self.down = kind
        if kind == "reset":
            self.ignore(1)
            for client in self.of_second():
                self.drop(client)
        elif kind == "silence":
            for each in self.deaf():
                self.selector.unregister(each)
        return began_ns, began_ns

    def go_up(self) -> tuple[int, int]:
        """Serve again; return until when nothing was served, and waited."""
        kind, self.down = self.down, ""
        ended_ns = time.monotonic_ns()
        if kind == "reset":
            self.listen(1, self.ports[1])
        elif kind == "silence":
            for each, what in self.deaf().items():
                self.selector.register(each, selectors.EVENT_READ, what)
            for client in self.of_second():
                self.read(client)
        return ended_ns, time.monotonic_ns()

    def of_second(self) -> "list[Client]":
        """Return the connections of the node that can be down."""
        return [client for client in self.clients if client.node == 1]

    def deaf(self) -> "dict[socket.socket, Client | int]":
        """Return the sockets of that node, with what they are known by."""
        found: dict[socket.socket, Client | int] = {
            client.peer: client for client in self.of_second()
        }
        if self.listeners[1] is not None:
            found[self.listeners[1]] = 1
        return found

    # --- connections -------------------------------------------------------------

    def accept(self, node: int) -> None:
        """Take a new connection."""
        listener = self.listeners[node]
        if listener is None:
            return
        try:
            peer, _ = listener.accept()
        except BlockingIOError:
            return
        peer.setblocking(False)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(peer, node)
        self.clients.add(client)
        self.selector.register(peer, selectors.EVENT_READ, client)

    def drop(self, client: Client) -> None:
        """Cut a connection."""
        self.clients.discard(client)
        self.selector.unregister(client.peer)
        client.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        client.peer.close()

    def read(self, client: Client) -> None:
        """Read what has come, and answer the whole commands in it."""
        try:
            came = client.peer.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            came = b""
        if not came:
            self.drop(client)
            return
        client.pending += came
        while (words := take_command(client.pending)) is not None:
            client.out += self.answer(client.node, words)
        self.flush(client)

    def flush(self, client: Client) -> None:
        """Send what the socket takes; wait for it to take more if there is some."""
        try:
            sent = client.peer.send(client.out) if client.out else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.drop(client)
            return
        del client.out[:sent]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.out else 0)
        self.selector.modify(client.peer, wanted, client)

    # --- commands ----------------------------------------------------------------

    def answer(self, node: int, words: list[bytes]) -> bytes:
        """Return the reply to a command."""
        name = words[0].upper()
        if name in (b"GET", b"SET", b"EXPIRE"):
            return self.keyed(node, name, words)
        if name == b"CLUSTER":
            return self.cluster(node, words[1].upper())
        if name == b"INFO":
            return bulk(b"redis_version:7.0.0\r\nrole:master\r\ncluster_enabled:1\r\n")
        if name == b"PING":
            return b"+PONG\r\n"
        if name in (b"CLIENT", b"READONLY", b"READWRITE"):
            return b"+OK\r\n"
        return b"-ERR unknown command '%s'\r\n" % words[0]

    def keyed(self, node: int, name: bytes, words: list[bytes]) -> bytes:
        """Return the reply to GET, SET or EXPIRE; nothing lives so long here."""
        if node == 1 and self.down == "error":
            return DOWN_REPLY
        slot = slot_of(words[1])
        owner = 0 if slot < SLOTS // 2 else 1
        if owner != node:
            return b"-MOVED %d %s:%d\r\n" % (slot, HOST.encode(), self.ports[owner])
        if name == b"SET":
            self.store[words[1]] = words[2]
            return b"+OK\r\n"
        value = self.store.get(words[1])
        if name == b"EXPIRE":
            return b":%d\r\n" % (value is not None)
        return b"$-1\r\n" if value is None else bulk(value)

    def cluster(self, node: int, about: bytes) -> bytes:
        """Return the reply to CLUSTER SLOTS, NODES or INFO."""
        halves = (0, SLOTS // 2 - 1), (SLOTS // 2, SLOTS - 1)
        if about == b"SLOTS":
            rows = [
                b"*3\r\n:%d\r\n:%d\r\n*3\r\n%s:%d\r\n%s"
                % (first, last, bulk(HOST.encode()), self.ports[at], bulk(IDS[at]))
                for at, (first, last) in enumerate(halves)
            ]
            return b"*2\r\n" + b"".join(rows)
        if about == b"NODES":
            lines = [
                b"%s %s:%d@%d %smaster - 0 0 %d connected %d-%d\n"
                % (
                    IDS[at],
                    HOST.encode(),
                    self.ports[at],
                    self.ports[at],
                    b"myself," if at == node else b"",
                    at + 1,
                    *half,
                )
                for at, half in enumerate(halves)
            ]
            return bulk(b"".join(lines))
        if about == b"INFO":
            return bulk(
                b"cluster_state:ok\r\ncluster_slots_assigned:16384\r\n"
                b"cluster_slots_ok:16384\r\ncluster_known_nodes:2\r\ncluster_size:2\r\n"
            )
        return b"-ERR unknown subcommand\r\n"

    # --- life --------------------------------------------------------------------

    def obey(self, line: bytes) -> tuple[int, int]:
        """Carry out an order; return the times of it."""
        words = line.decode().split()
        return self.go_down(words[1]) if words[0] == "down" else self.go_up()

    def serve(self) -> None:
        """Serve until standard input ends."""
        os.set_blocking(0, False)
        self.selector.register(0, selectors.EVENT_READ, "order")
        while True:
            for key, mask in self.selector.select():
                match key.data:
                    case "order":
                        orders = os.read(0, 1 << 12)
                        if not orders:
                            return
                        for line in orders.splitlines():
                            print(*self.obey(line), flush=True)  # noqa: T201
                    case 1 | Client(node=1) if self.down == "silence":
                        continue  # it went down in this very turn
                    case int() as node:
                        self.accept(node)
                    case Client() as client if client in self.clients:
                        if mask & selectors.EVENT_WRITE:
                            self.flush(client)
                        if mask & selectors.EVENT_READ and client in self.clients:
                            self.read(client)


if __name__ == "__main__":
    cluster = Cluster()
    print(*cluster.ports, flush=True)  # noqa: T201
    cluster.serve()
    sys.exit(0)
