"""What is sent to the servers that are measured: nothing that ElastiCache restricts."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

RESTRICTED = {
    *("BGREWRITEAOF", "BGSAVE", "CONFIG", "DEBUG", "MIGRATE", "PSYNC", "REPLICAOF"),
    *("SAVE", "SHUTDOWN", "SLAVEOF", "SYNC"),
    *("ACL SETUSER", "ACL LOAD", "ACL SAVE", "ACL DELUSER"),
    *("CLUSTER ADDSLOTS", "CLUSTER ADDSLOTSRANGE", "CLUSTER BUMPEPOCH"),
    *("CLUSTER DELSLOTS", "CLUSTER DELSLOTSRANGE", "CLUSTER FAILOVER"),
    *("CLUSTER FLUSHSLOTS", "CLUSTER FORGET", "CLUSTER LINKS", "CLUSTER MEET"),
    "CLUSTER SETSLOT",
}
"""Commands that its nodes refuse (its documentation, "Supported and restricted")."""
ALLOWED = {
    ("control/watch/tls_scout.py", "CONFIG GET"),
}
"""Sent to other servers than those of AWS alone; see there."""
_SENDS = {"encode", "_ask", "ask", "request", "execute_command", "pack_command"}
_LITERAL = re.compile(r"\*(?:\d+|%d)\\r\\n\$\d+\\r\\n([A-Z]+)")


def words_of(call: ast.Call) -> list[str]:
    """Return the words of a command as far as they are written out."""
    words: list[str] = []
    for argument in call.args[:2]:
        parts = [argument]
        if isinstance(argument, ast.Starred) and isinstance(argument.value, ast.Tuple):
            parts = argument.value.elts[:2]
        for part in parts:
            value = part.value if isinstance(part, ast.Constant) else None
            if isinstance(value, bytes):
                value = value.decode()
            if not isinstance(value, str):
                return words
            words.append(value)
    return words


def sent(path: Path) -> Iterator[str]:
    """Yield the commands that a module sends, of one word or two."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            words = words_of(node) if name in _SENDS else []
            if words and words[0].isupper():
                yield " ".join(words).upper()
    yield from _LITERAL.findall(text)


def test_nothing_restricted_is_sent() -> None:
    """Every command in the code, but for the local cluster's, is an allowed one."""
    package = ROOT / "loadprobe"
    found = {
        (path.relative_to(package).as_posix(), command)
        for path in package.rglob("*.py")
        if path.relative_to(package).parts[0] != "local"
        for command in sent(path)
    }
    verbs = {command.split()[0] for _, command in found}
    known = {"GET", "SET", "MGET", "MSET", "AUTH", "CLUSTER", "INFO", "SCAN", "UNLINK"}
    assert known <= verbs, "this test does not see what is sent"
    refused = {
        (where, command)
        for where, command in found
        if RESTRICTED & {command, command.split()[0]}
    }
    assert refused == ALLOWED
