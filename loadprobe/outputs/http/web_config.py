"""The web configuration: TLS, logins and headers, as Prometheus exporters have it.

It is the file that exporter-toolkit calls ``web-config.yml`` (its
docs/web-configuration.md). What this program cannot honour is refused, as a key that
looks like protection must protect. Only ``http2`` is taken and changes nothing: it
protects nothing, and HTTP/1.1 is spoken either way.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from loadprobe.config.bounded_file import read_bounded_text
from loadprobe.config.toml import Keys, convert
from loadprobe.errors import ConfigError

LARGEST_COST = 16
"""Above it one login keeps a CPU busy for seconds."""

_HASH = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53}")
_HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers exporter-toolkit lets one set, and the values it takes (all, if none)."""

_FILES_ONLY = "only files are read; put the PEM text into one and name it with "
_BY_OPENSSL = "it cannot be set; OpenSSL's own choice holds, remove it"
_REFUSED = {
    "cert": f"{_FILES_ONLY}cert_file",
    "key": f"{_FILES_ONLY}key_file",
    "client_ca": f"{_FILES_ONLY}client_ca_file",
    "client_allowed_sans": "names in client certificates are not checked; let an "
    "authority of your own sign the clients that may come in",
    "cipher_suites": _BY_OPENSSL,
    "curve_preferences": _BY_OPENSSL,
    "prefer_server_cipher_suites": _BY_OPENSSL,
    "rate_limit": "requests are not limited by rate; remove it, and use a proxy",
}

Text = Annotated[str, Meta(min_length=1)]
TlsVersion = Annotated[
    Literal["TLS12", "TLS13"], Meta(description='"TLS12" or "TLS13"')
]


class TlsServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How connections are encrypted, and which clients may connect.

    Args:
        cert_file: certificate chain (PEM); relative paths start at the web config.
        key_file: its private key (PEM), without a passphrase.
        client_auth_type: whether clients need a certificate.
        client_ca_file: authorities (PEM) that sign the clients' certificates.
        min_version: oldest version of TLS that is spoken.
        max_version: newest one.
    """

    cert_file: Text
    key_file: Text
    client_auth_type: Annotated[
        Literal[
            "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"
        ],
        Meta(
            description='"NoClientCert", "VerifyClientCertIfGiven" or '
            '"RequireAndVerifyClientCert"; others verify nothing'
        ),
    ] = "NoClientCert"
    client_ca_file: Text | None = None
    min_version: TlsVersion = "TLS12"
    max_version: TlsVersion = "TLS13"


class HttpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Headers of every reply; ``http2`` changes nothing."""

    http2: bool = True
    headers: Annotated[dict[str, str], Meta(description="a table of header: text")] = {}


class WebConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole web configuration.

    Args:
        tls_server_config: None serves plain HTTP.
        http_server_config: headers of every reply.
        basic_auth_users: name -> bcrypt hash; nobody needs to log in if it is empty.
    """

    tls_server_config: TlsServer | None = None
    http_server_config: HttpSettings = HttpSettings()
    basic_auth_users: dict[str, str] = {}

    @property
    def protects(self) -> bool:
        """Tell whether it encrypts or asks for a login."""
        return self.tls_server_config is not None or bool(self.basic_auth_users)


NO_WEB_CONFIG = WebConfig()

_KEYS = Keys(
    {
        "": WebConfig,
        "tls_server_config": TlsServer,
        "http_server_config": HttpSettings,
    },
    words={
        "tls_server_config": "a table of keys",
        "http_server_config": "a table of keys",
    },
    refused=_REFUSED,
    otherwise="a table of keys",
)


def load_web_config(path: str) -> WebConfig:
    """Read a web configuration; its files get paths that hold from anywhere.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong or not supported.
            The message shows no hash and no password.
    """
    try:
        text = read_bounded_text(path)
    except OSError as exc:
        raise ConfigError(
            path,
            f"cannot read it: {exc.strerror}; [http] web_config_file takes the path of "
            "a YAML file (docs/http.md)",
        ) from exc
    except ValueError as exc:
        raise ConfigError(path, "not UTF-8 text") from exc
    config = parse_web_config(text, where=path)
    tls = config.tls_server_config
    if tls is None:
        return config
    base = Path(path).parent
    ca_file = tls.client_ca_file
    tls = msgspec.structs.replace(
        tls,
        cert_file=str(base / tls.cert_file),
        key_file=str(base / tls.key_file),
        client_ca_file=str(base / ca_file) if ca_file is not None else None,
    )
    return msgspec.structs.replace(config, tls_server_config=tls)


def parse_web_config(text: str, *, where: str) -> WebConfig:
    """Parse and check a web configuration.

    Args:
        text: YAML; an empty text protects nothing.
        where: name of the file, for messages.

    Raises:
        ConfigError: see ``load_web_config``.
    """
    # Here, as most runs have no such file, and the library takes 1 MB.
    from loadprobe.outputs.http.strict_yaml import load_yaml

    raw = load_yaml(text, where=where)
    if raw is None:
        return NO_WEB_CONFIG
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise ConfigError(
            where, "not usable; expected tls_server_config, basic_auth_users and so on"
        )
    users = _check_users(raw.pop("basic_auth_users", None), where)
    present = {key: value for key, value in raw.items() if value is not None}
    config = convert(present, WebConfig, keys=_KEYS, where=where)
    _check_headers(config.http_server_config.headers, where)
    if config.tls_server_config is not None:
        _check_tls(config.tls_server_config, where)
    return msgspec.structs.replace(config, basic_auth_users=users)


def _check_users(users: object, where: str) -> dict[str, str]:
    """Return the users; messages name them, and show no value."""
    at = f"{where}: basic_auth_users"
    if users is None:
        return {}
    if not isinstance(users, dict):
        raise ConfigError(at, "not usable; expected a table of name: bcrypt hash")
    checked: dict[str, str] = {}
    for name, hashed in users.items():
        if not isinstance(name, str) or not name or ":" in name:
            raise ConfigError(at, f"{name!r} is no user name; it is a text without ':'")
        match = _HASH.fullmatch(hashed) if isinstance(hashed, str) else None
        if match is None:
            raise ConfigError(
                f"{at}.{name}",
                "not a bcrypt hash; make one with `htpasswd -nBC 10 NAME`, and keep "
                "what stands after the colon, in quotes",
            )
        if not 4 <= int(match["cost"]) <= LARGEST_COST:
            raise ConfigError(
                f"{at}.{name}",
                f"a bcrypt hash of cost {match['cost']}; it must be from 4 to "
                f"{LARGEST_COST}, or a login takes seconds of a CPU; 10 is usual",
            )
        checked[name] = hashed
    return checked


def _check_headers(headers: dict[str, str], where: str) -> None:
    for name, value in headers.items():
        at = f"{where}: http_server_config.headers.{name}"
        if name not in _HEADERS:
            raise ConfigError(at, f"cannot be set; known: {', '.join(_HEADERS)}")
        if _HEADERS[name] and value not in _HEADERS[name]:
            known = " or ".join(_HEADERS[name])
            raise ConfigError(at, f"{value!r} is not usable; expected {known}")
        if not value.isprintable():
            raise ConfigError(at, "has a line break or control character; remove it")


def _check_tls(tls: TlsServer, where: str) -> None:
    at = f"{where}: tls_server_config"
    if tls.min_version > tls.max_version:
        raise ConfigError(
            f"{at}.min_version", f"{tls.min_version} is above max_version; lower it"
        )
    if (tls.client_ca_file is None) != (tls.client_auth_type == "NoClientCert"):
        raise ConfigError(
            f"{at}.client_auth_type",
            "client_ca_file and a client_auth_type that verifies belong together: "
            "give both",
        )
