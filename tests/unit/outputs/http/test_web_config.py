"""The web configuration: what is accepted, and that nothing is ignored in silence."""

from pathlib import Path

import pytest

from loadprobe.errors import ConfigError
from loadprobe.outputs.http.web_config import (
    NO_WEB_CONFIG,
    load_web_config,
    parse_web_config,
)

HASH = "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze"
WHOLE = f"""\
tls_server_config:
  cert_file: server.crt
  key_file: keys/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: /etc/ssl/ours.pem
  min_version: TLS13
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=31536000
basic_auth_users:
  alice: {HASH}
"""


def test_a_whole_file(tmp_path: Path) -> None:
    """Every key that is honoured is read; relative paths start at the file."""
    path = tmp_path / "web-config.yml"
    path.write_text(WHOLE)
    config = load_web_config(str(path))
    tls = config.tls_server_config
    assert tls is not None
    assert tls.cert_file == str(tmp_path / "server.crt")
    assert tls.key_file == str(tmp_path / "keys" / "server.key")
    assert tls.client_ca_file == "/etc/ssl/ours.pem"
    assert (tls.min_version, tls.max_version) == ("TLS13", "TLS13")
    assert config.basic_auth_users == {"alice": HASH}
    assert config.http_server_config.headers["X-Frame-Options"] == "deny"


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "tls_server_config:\nbasic_auth_users:\n"]
)
def test_a_file_that_protects_nothing(text: str) -> None:
    """An empty file is one without TLS and logins, and says so."""
    config = parse_web_config(text, where="web.yml")
    assert config == NO_WEB_CONFIG
    assert not config.protects


TLS = "tls_server_config: {cert_file: a, key_file: b, "
BAD = {
    "tls_config: {}": ": tls_config: unknown key; did you mean 'tls_server_config'?",
    TLS + "min_version: TLS11}": '.min_version: "TLS11" is not usable; expected '
    '"TLS12" or "TLS13"',
    TLS + "min_version: TLS13, max_version: TLS12}": "TLS13 is above max_version",
    TLS + "client_ca: x}": "client_ca: only files are read",
    TLS + "cipher_suites: [x]}": "OpenSSL's own choice holds",
    TLS + "client_allowed_sans: [x]}": "names in client certificates are not checked",
    TLS + "client_auth_type: RequireAnyClientCert}": "others verify nothing",
    TLS + "client_auth_type: RequireAndVerifyClientCert}": "give both",
    TLS + "client_ca_file: c}": "give both",
    "tls_server_config: {cert_file: a}": ".key_file: missing; expected text",
    "tls_server_config: 1": "tls_server_config: 1 is not usable; expected a table",
    "rate_limit: {burst: 1}": "requests are not limited by rate",
    "http_server_config: {http3: true}": "http_server_config.http3: unknown key",
    "http_server_config: {headers: {Server: x}}": "headers.Server: cannot be set",
    "http_server_config: {headers: {X-Frame-Options: x}}": "expected deny or sameorig",
    'http_server_config: {headers: {X-XSS-Protection: "a\\nb"}}': "control character",
    "basic_auth_users: [alice]": "expected a table of name: bcrypt hash",
    "basic_auth_users: {1: x}": "1 is no user name",
    "basic_auth_users: {'a:b': x}": "'a:b' is no user name",
    "basic_auth_users: {alice: hunter2}": "basic_auth_users.alice: not a bcrypt hash",
    "basic_auth_users: {alice: 1234567}": "basic_auth_users.alice: not a bcrypt hash",
    f"basic_auth_users: {{a: {HASH.replace('10', '20', 1)}}}": "bcrypt hash of cost 20",
    f"basic_auth_users:\n  a: {HASH}\n  a: {HASH}\n": "a key is given twice in line 3",
    "a: [hunter2": "not valid YAML",
    "a: !!python/object:os.system x": "not valid YAML",
    "- a": "not usable; expected tls_server_config",
    "1: 2": "not usable; expected tls_server_config",
    "a: \0": "not valid YAML",
    "[" * 400: "not valid YAML",
    "&a a: *b": "not valid YAML",
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_is_refused(text: str) -> None:
    """A wrong or unsupported key is refused with its path; no secret is shown."""
    with pytest.raises(ConfigError) as caught:
        parse_web_config(text, where="web.yml")
    message = str(caught.value)
    assert message.startswith("web.yml: ")
    assert BAD[text] in message
    for secret in ("hunter2", "1234567", HASH[29:]):
        assert secret not in message


def test_unreadable_files(tmp_path: Path) -> None:
    """A file that cannot be read is refused by name."""
    with pytest.raises(ConfigError, match="missing.yml: cannot read it: No such file"):
        load_web_config(str(tmp_path / "missing.yml"))
    binary = tmp_path / "binary.yml"
    binary.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_web_config(str(binary))
