"""Who we are to a receiver of remote write: TLS, a password, a token or a signature.

Secrets are read anew for every request, so that they may be changed meanwhile. Reading
them can take long (AWS credentials come from files, processes or a metadata service):
``RemoteLogin.headers`` is called by a thread.
"""

import base64
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

from loadprobe.config.bounded_file import check_bounded
from loadprobe.config.remote_write import SECTION, RemoteWrite
from loadprobe.errors import PreflightError

if TYPE_CHECKING:
    from loadprobe.outputs.remote_write.signature import Signer


class RemoteLogin:
    """Makes the headers that let a request in.

    Args:
        remote: says how to log in.
    """

    def __init__(self, remote: RemoteWrite) -> None:
        self._remote = remote
        self._signer: Signer | None = None

    def headers(self, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of a request, with those that log in.

        Args:
            body: of the request.
            headers: without a login.

        Raises:
            ConfigError: a secret cannot be read.
            RunError: there are no AWS credentials, or they cannot be had.
        """
        remote = self._remote
        if remote.sigv4:
            return self._signed(body, headers)
        if remote.username is not None:
            pair = f"{remote.username}:{remote.read_password()}".encode()
            login = f"Basic {base64.b64encode(pair).decode()}"
        elif remote.bearer_token_file is not None:
            login = f"Bearer {remote.read_bearer_token()}"
        else:
            return dict(headers)
        return {**headers, "Authorization": login}

    def _signed(self, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        if self._signer is None:
            # Here, in a thread: botocore is large, and few receivers ask for it.
            from loadprobe.outputs.remote_write.signature import Signer

            self._signer = Signer(self._remote)
        return self._signer.headers(body, headers)


def make_tls(remote: RemoteWrite) -> ssl.SSLContext | None:
    """Return the context of connections; certificates are always verified.

    Returns:
        None for plain HTTP.

    Raises:
        PreflightError: a certificate or key file cannot be used.
    """
    if not remote.url.startswith("https:"):
        return None
    try:
        if remote.ca_file is not None:
            # First, as OpenSSL would wait for a pipe, and read a device to its end.
            check_bounded(remote.ca_file)
        context = ssl.create_default_context(cafile=remote.ca_file)
    except (OSError, ValueError) as exc:
        raise PreflightError(
            f"{SECTION}.ca_file {remote.ca_file!r} cannot be used: {exc}; it must be a "
            "PEM file of certificate authorities"
        ) from exc
    if remote.cert_file is not None:
        try:
            for path in filter(None, (remote.cert_file, remote.key_file)):
                check_bounded(path)
            # A passphrase would be asked for on the terminal, and wait there for ever.
            context.load_cert_chain(remote.cert_file, remote.key_file, lambda: "")
        except (OSError, ValueError) as exc:
            raise PreflightError(
                f"{SECTION}.cert_file {remote.cert_file!r} with {SECTION}.key_file "
                f"{remote.key_file!r} cannot be used: {exc}; they must be a PEM "
                "certificate and its private key, without a passphrase"
            ) from exc
    return context


def check_login(remote: RemoteWrite) -> None:
    """Read all that is on this machine once, but for AWS credentials.

    Raises:
        UsageError: a secret, certificate or key cannot be used.
    """
    make_tls(remote)
    remote.read_password()
    remote.read_bearer_token()
