"""Who may come in: the web configuration and the token for marks, as they are now.

Both are read again when their files have changed. If the new ones are wrong, the last
good ones stay in force, and ``problem`` says why.
"""

import base64
import binascii
import hmac
import logging
import os
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple

from loadprobe.config.bounded_file import check_bounded, read_bounded
from loadprobe.config.keys import Http
from loadprobe.errors import ConfigError
from loadprobe.outputs.http.passwords import Passwords
from loadprobe.outputs.http.web_config import (
    NO_WEB_CONFIG,
    TlsServer,
    load_web_config,
)

_SHORTEST_TOKEN = 16
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENTS = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}

logger = logging.getLogger(__name__)

Stamps = tuple[tuple[int, int, int] | None, ...]


class User(NamedTuple):
    """Somebody who is known; ``is_token`` opens nothing but the marks."""

    name: str
    is_token: bool = False


class Access:
    """What guards the HTTP server.

    Args:
        http: names the files; without any, everybody may read and nobody may write.

    Attributes:
        config: the web configuration in force.
        tls: for the listening socket, None for plain HTTP. New connections use what
            the files hold then.
        problem: why the latest files are not in force, or None.

    Raises:
        ConfigError: a file cannot be used.
    """

    def __init__(self, http: Http) -> None:
        self._path = http.web_config_file
        self._token_file = http.marks_token_file
        self._passwords = Passwords()
        self.config = NO_WEB_CONFIG
        self.problem: str | None = None
        self.tls: ReloadingContext | None = None
        if self._path is not None:
            self.config = load_web_config(self._path)
            tls = self.config.tls_server_config
            if tls is not None:
                self.tls = ReloadingContext(ssl.PROTOCOL_TLS_SERVER)
                self.tls.current = _make_context(tls, self._path)
                self.tls.before_use = self.refresh
        self._stamps = self._look()
        self._token = b""
        if self._token_file is not None:
            self._token = _read_token(self._token_file)

    @property
    def needs_login(self) -> bool:
        """Tell whether every request needs a name and a password."""
        return bool(self.config.basic_auth_users)

    @property
    def lets_write(self) -> bool:
        """Tell whether there is any way to be known."""
        return self.needs_login or self._token_file is not None

    async def user_of(self, authorization: str | None, *, address: str) -> User | None:
        """Return who sends an Authorization header, None if it is nobody known.

        Args:
            authorization: the header.
            address: from where.

        Raises:
            TooManyLoginsError: too many logins are being checked.
        """
        scheme, _, credentials = (authorization or "").partition(" ")
        if scheme.lower() == "bearer" and self._token_file is not None:
            given = credentials.strip().encode("utf-8", "surrogateescape")
            is_right = hmac.compare_digest(given, self._token)
            return User("token", is_token=True) if is_right else None
        if scheme.lower() != "basic" or not self.needs_login:
            return None
        try:
            plain = base64.b64decode(credentials.strip(), validate=True)
            name, colon, password = plain.partition(b":")
            user = name.decode()
        except (binascii.Error, ValueError):
            return None
        users = self.config.basic_auth_users
        if not colon or not await self._passwords.is_right(
            users, user, password, address=address
        ):
            return None
        return User(user)

    def refresh(self) -> None:
        """Take what the files hold now, if they have changed and are usable."""
        stamps = self._look()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self._reload()
        except ConfigError as exc:
            self.problem = f"{exc}; what was read before stays in force"
            logger.error("web_config_refused", extra={"lp_problem": self.problem})  # noqa: TRY400
        else:
            self.problem = None
            # The certificate's files may be other ones than before.
            self._stamps = self._look()
            logger.info("web_config_read")

    def _reload(self) -> None:
        """Read all files before any of them counts."""
        config, token, context = self.config, self._token, None
        if self._path is not None:
            config = load_web_config(self._path)
            tls = config.tls_server_config
            if (tls is None) != (self.tls is None):
                raise ConfigError(
                    f"{self._path}: tls_server_config",
                    "it cannot come or go while a run lasts; start the run again",
                )
            if self.needs_login and not config.basic_auth_users:
                raise ConfigError(
                    f"{self._path}: basic_auth_users",
                    "logins cannot be given up while a run lasts; start the run again",
                )
            if tls is not None:
                context = _make_context(tls, self._path)
        if self._token_file is not None:
            token = _read_token(self._token_file)
        self.config, self._token = config, token
        if self.tls is not None and context is not None:
            self.tls.current = context

    def close(self) -> None:
        """End the thread that checks passwords."""
        self._passwords.close()

    def _look(self) -> Stamps:
        """Return what tells whether a file has changed: its id, time and size."""
        tls = self.config.tls_server_config
        paths = [self._path, self._token_file]
        if tls is not None:
            paths += [tls.cert_file, tls.key_file, tls.client_ca_file]
        return tuple(_stamp(path) for path in paths if path is not None)


class ReloadingContext(ssl.SSLContext):
    """A context for a listening socket; every connection gets the current one."""

    current: ssl.SSLContext | None = None
    before_use: Callable[[], None] | None = None

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection with what is in force now."""
        assert self.current is not None
        if self.before_use is not None:
            self.before_use()
        return self.current.wrap_bio(*args, **options)


def _make_context(tls: TlsServer, where: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    context.set_alpn_protocols(["http/1.1"])
    try:
        # First, as OpenSSL would wait for a pipe, and read a device to its end.
        for path in (tls.cert_file, tls.key_file):
            check_bounded(path)
        # A passphrase would be asked for on the terminal, and wait there for ever.
        context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: b"")
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"{where}: tls_server_config",
            f"cannot use cert_file {tls.cert_file!r} with key_file {tls.key_file!r}: "
            f"{_reason(exc)}; give a PEM certificate and its key, which must have no "
            "passphrase",
        ) from None
    if tls.client_ca_file is not None:
        try:
            check_bounded(tls.client_ca_file)
            context.load_verify_locations(tls.client_ca_file)
        except (OSError, ValueError) as exc:
            raise ConfigError(
                f"{where}: tls_server_config.client_ca_file",
                f"cannot use {tls.client_ca_file!r}: {_reason(exc)}; give a PEM file "
                "of certificates",
            ) from None
    context.verify_mode = _CLIENTS[tls.client_auth_type]
    return context


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "it is no PEM file"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _read_token(path: str) -> bytes:
    """Return the token in the first line of a file.

    Raises:
        ConfigError: there is none, or one that can be guessed.
    """
    at = "http.marks_token_file"
    try:
        lines = read_bounded(path).splitlines()
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "no path"
        raise ConfigError(
            at, f"cannot read {path!r}: {why}; it holds the token in line 1"
        ) from None
    token = lines[0].strip() if lines else b""
    if len(token) < _SHORTEST_TOKEN or not all(33 <= byte <= 126 for byte in token):
        raise ConfigError(
            at,
            f"{path!r} has no usable token in line 1; it takes {_SHORTEST_TOKEN} or "
            "more printable ASCII characters without spaces, for example those of "
            "`openssl rand -hex 32`",
        )
    return token


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - once a request, without a Path
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
