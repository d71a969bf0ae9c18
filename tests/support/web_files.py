"""The web configuration of a run, and the files that it refers to."""

import os
import ssl
from pathlib import Path

import bcrypt
import trustme

PASSWORD = "correct horse battery staple"


def hash_of(password: str, cost: int = 4) -> str:
    """Return a bcrypt hash that is checked quickly."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


HASH = hash_of(PASSWORD)


class Files:
    """A web configuration in a folder, and what it refers to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "web-config.yml"
        self.authority = trustme.CA()
        self._changes = 0

    def write(self, text: str, name: str = "web-config.yml") -> str:
        """Replace a file as configuration management does; return its path."""
        self._changes += 1
        new = self.folder / "new"
        new.write_text(text)
        stamp = 1_700_000_000 + self._changes  # whatever the file system resolves
        os.utime(new, (stamp, stamp))
        new.replace(self.folder / name)
        return str(self.folder / name)

    def users(self, **users: str) -> str:
        """Write a configuration with these users."""
        lines = "".join(f"  {name}: {hashed}\n" for name, hashed in users.items())
        return self.write(f"basic_auth_users:\n{lines}")

    def certificate(self) -> None:
        """Write a new certificate for 127.0.0.1."""
        made = self.authority.issue_cert("127.0.0.1")
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        self.write(chain.decode(), "server.crt")
        self.write(made.private_key_pem.bytes().decode(), "server.key")

    def tls(self, more: str = "") -> str:
        """Write a configuration with TLS."""
        keys = "  cert_file: server.crt\n  key_file: server.key\n"
        return self.write(f"tls_server_config:\n{keys}{more}")

    def client(self, *, known: bool = False) -> ssl.SSLContext:
        """Return what a client trusts, and its own certificate if it is known."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if known:
            self.authority.issue_cert("client@example.org").configure_cert(context)
        return context
