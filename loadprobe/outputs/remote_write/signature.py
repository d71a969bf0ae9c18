"""Requests signed by Signature Version 4, for Amazon Managed Service for Prometheus."""

from collections.abc import Mapping

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import NoCredentialsError

from loadprobe.aws_credentials import CredentialsError, CredentialsFinder
from loadprobe.config.remote_write import RemoteWrite
from loadprobe.errors import RunError

SERVICE = "aps"
"""How Amazon Managed Service for Prometheus is called in a signature."""


class Signer:
    """Signs with the credentials of AWS tools; see ``CredentialsFinder``.

    Args:
        remote: with ``sigv4`` and ``region``.
    """

    def __init__(self, remote: RemoteWrite) -> None:
        self._remote = remote
        self._credentials = CredentialsFinder()

    def headers(self, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of a request, with its signature.

        Args:
            body: of the request.
            headers: without a signature.

        Raises:
            RunError: there are no credentials, or they cannot be had.
        """
        request = AWSRequest(
            method="POST", url=self._remote.url, data=body, headers=dict(headers)
        )
        try:
            found = self._credentials.find()
            if found is None:
                raise NoCredentialsError
        except (CredentialsError, NoCredentialsError) as exc:
            raise RunError(
                f"signing a request to {self._remote.url} for AWS failed: {exc}; "
                "check the credentials of this machine (environment, profile or role)"
            ) from exc
        SigV4Auth(found, SERVICE, str(self._remote.region)).add_auth(request)
        return dict(request.headers.items())
