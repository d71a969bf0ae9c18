"""The two ends of a copy: where data comes from, and where it goes."""

from dataclasses import dataclass, replace
from urllib.parse import quote

from loadprobe.control.provider.secret import Secret
from loadprobe.core.topology.topology import join_address
from loadprobe.errors import ControlError


@dataclass(frozen=True, slots=True)
class DataEnd:
    """A server or cluster that data is copied from or to.

    Args:
        host: of its endpoint.
        port: of its endpoint.
        tls: it is talked to by TLS.
        is_cluster: with cluster mode.
        username: None is the user "default".
        password: None does not log in.
        ca_file: certificate authorities to trust, None: the system's.
    """

    host: str
    port: int
    tls: bool = False
    is_cluster: bool = False
    username: str | None = None
    password: Secret | None = None
    ca_file: str | None = None

    @property
    def address(self) -> str:
        """Return host and port."""
        return join_address(self.host, self.port)

    @property
    def plain_address(self) -> str:
        """Return host and port as redis-cli writes them: without brackets.

        Raises:
            ControlError: it would be taken for an option.
        """
        if self.host.startswith("-"):
            raise ControlError(f"{self.host!r} is no host that redis-cli can be told")
        return f"{self.host}:{self.port}"

    def at(self, host: str, port: int) -> "DataEnd":
        """Return one node of it."""
        return replace(self, host=host, port=port, is_cluster=False)

    @property
    def url(self) -> str:
        """Return its URL, with the password in it."""
        scheme = "rediss" if self.tls else "redis"
        login = ""
        if self.password is not None:
            name = quote(self.username or "", safe="")
            login = f"{name}:{quote(self.password.reveal(), safe='')}@"
        return f"{scheme}://{login}{self.address}"
