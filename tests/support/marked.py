"""Secrets with marks, and where a mark must not be found."""

import base64
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

import zstandard


class Marks:
    """Secrets that are found again, each by its name.

    Args:
        names: of the secrets.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._values = {name: f"mark{secrets.token_hex(12)}" for name in names}
        self._forms: dict[str, bytes] = {}
        for name, value in self._values.items():
            self.add(name, value)

    def __getitem__(self, name: str) -> str:
        """Return a secret."""
        return self._values[name]

    def add(self, name: str, form: str) -> None:
        """Look for another form of a secret, too; it is found by that name."""
        self._forms[name] = form.encode()

    def add_login(self, user: str, name: str) -> None:
        """Look for a login of HTTP, too: its header has the password encoded."""
        login = base64.b64encode(f"{user}:{self[name]}".encode())
        self.add(f"login with {name}", login.decode())

    def seen_in(self, content: bytes | str) -> set[str]:
        """Return the names of the secrets that are in a text."""
        content = content.encode() if isinstance(content, str) else content
        return {name for name, form in self._forms.items() if form in content}

    def seen_in_texts(self, texts: Mapping[str, str]) -> dict[str, set[str]]:
        """Return where secrets were seen, and which."""
        found = {where: self.seen_in(text) for where, text in texts.items()}
        return {where: names for where, names in found.items() if names}

    def seen_in_files(self, folder: Path) -> dict[str, set[str]]:
        """Return which files of a folder have secrets in them, also if compressed."""
        found = {}
        for path in folder.rglob("*"):
            if not path.is_file():
                continue
            content = path.read_bytes()
            if path.suffix == ".zst":
                reader = zstandard.ZstdDecompressor().stream_reader(content)
                content = reader.readall()
            if names := self.seen_in(content):
                found[str(path)] = names
        return found

    def seen_in_process(self, pid: int) -> dict[str, set[str]]:
        """Return which secrets a process shows: in its arguments, its environment."""
        texts = {
            name: self.seen_in(Path(f"/proc/{pid}/{name}").read_bytes())
            for name in ("cmdline", "environ")
        }
        return {where: names for where, names in texts.items() if names}
