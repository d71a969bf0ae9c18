"""A program that stands in for RedisShake: its command line, its status page, its work.

It reads the configuration that loadprobe writes, copies all keys by DUMP and RESTORE,
and passes on the stream of the source, as a replica gets it. It is no RedisShake: it
knows texts alone, and one source.

    python shake_stand_in.py CONFIG.toml
"""

import json
import os
import socket
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import hiredis
from redis import Redis
from redis.cluster import RedisCluster

_CHUNK = 65_536
_AT_ONCE = 500


class Follower:
    """Follows a source, as a replica does.

    Args:
        config: what loadprobe wrote.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.source, writer = config["sync_reader"], config["redis_writer"]
        host, port = writer["address"].split(":")
        kind = RedisCluster if writer["cluster"] else Redis
        self.target: Any = kind(
            host=host, port=int(port), password=writer["password"] or None
        )
        self.status = "hand shaking"
        self.rdb_bytes = self.rdb_sent_bytes = 0
        self.received = self.sent = self.start = 0
        self.stream: list[list[bytes]] = []
        self.lock = threading.Condition()

    def page(self) -> dict[str, Any]:
        """Return the status page."""
        with self.lock:
            is_following = self.status == "syncing aof"
            reader = {
                "name": "reader_stand_in",
                "address": self.source["address"],
                "dir": ".",
                "status": self.status,
                "rdb_file_size_bytes": self.rdb_bytes,
                "rdb_file_size_human": "",
                "rdb_received_bytes": self.rdb_bytes,
                "rdb_received_human": "",
                "rdb_sent_bytes": self.rdb_sent_bytes,
                "rdb_sent_human": "",
                "aof_received_offset": self.received,
                "aof_sent_offset": self.sent,
                "aof_received_bytes": self.received - self.start,
                "aof_received_human": "",
            }
            return {
                "start_time": "2026-01-01 00:00:00",
                "consistent": is_following and self.received == self.sent,
                "total_entries_count": {"allow": 0, "disallow": 0},
                "per_cmd_entries_count": {},
                "reader": reader,
                "writer": {},
            }

    def run(self) -> None:
        """Copy, then follow for ever."""
        host, port = self.source["address"].split(":")
        link = socket.create_connection((host, int(port)))
        password = self.source["password"]
        if password:
            link.sendall(hiredis.pack_command(("AUTH", password)))  # type: ignore[arg-type]
            assert link.recv(_CHUNK).startswith(b"+OK")
        self.status = "waiting bgsave"
        link.sendall(b"PSYNC ? -1\r\n")
        file = link.makefile("rb")
        while (line := file.readline()) in (b"\n", b""):
            pass
        self.start = self.received = self.sent = int(line.split()[2])
        while not (line := file.readline()).startswith(b"$"):
            pass
        self.status = "receiving rdb"
        self.rdb_bytes = int(line[1:])
        file.read(self.rdb_bytes)
        threading.Thread(target=self._receive, args=(link, file), daemon=True).start()
        self.status = "syncing rdb"
        self._copy(host, int(port), password or None)
        self.status = "syncing aof"
        while True:
            with self.lock:
                while not self.stream:
                    self.lock.wait()
                words = self.stream.pop(0)
            self._apply(words)
            with self.lock:
                self.sent += len(hiredis.pack_command(tuple(words)))  # type: ignore[arg-type]

    def _receive(self, link: socket.socket, file: Any) -> None:
        reader = hiredis.Reader()
        while chunk := file.read1(_CHUNK):
            reader.feed(chunk)
            with self.lock:
                self.received += len(chunk)
                while (words := reader.gets()) is not False:
                    self.stream.append(words)
                self.lock.notify()
            ack = ("REPLCONF", "ACK", str(self.received))
            link.sendall(hiredis.pack_command(ack))  # type: ignore[arg-type]

    def _copy(self, host: str, port: int, password: str | None) -> None:
        source = Redis(host=host, port=port, password=password)
        cursor, begun = 0, False
        while cursor or not begun:
            begun = True
            cursor, keys = source.scan(cursor, count=_AT_ONCE)
            asked = source.pipeline(transaction=False)
            for key in keys:
                asked.dump(key)
            told = self.target.pipeline()
            for key, value in zip(keys, asked.execute(), strict=True):
                if value is not None:
                    told.restore(key, 0, value, replace=True)
                    self.rdb_sent_bytes += len(value)
            told.execute()

    def _apply(self, words: list[bytes]) -> None:
        if words[0].upper() == b"SET":
            self.target.set(words[1], words[2])


def serve(follower: Follower, port: int) -> None:
    """Tell how far it is."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(follower.page()).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    HTTPServer(("127.0.0.1", port), Page).serve_forever()


def main() -> None:
    """Do as the configuration says."""
    config = tomllib.loads(Path(sys.argv[1]).read_text())
    follower = Follower(config)
    port = config["advanced"]["status_port"]
    threading.Thread(target=serve, args=(follower, port), daemon=True).start()
    sys.stdout.write("stand-in: started\n")
    if "--die-after" in sys.argv:
        seconds = float(sys.argv[sys.argv.index("--die-after") + 1])
        threading.Timer(seconds, _die).start()
    follower.run()


def _die() -> None:
    sys.stdout.write("stand-in: dies\n")
    sys.stdout.flush()
    os._exit(3)


if __name__ == "__main__":
    main()
