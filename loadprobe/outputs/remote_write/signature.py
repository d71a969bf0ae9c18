"""Requests signed by Signature Version 4, for Amazon Managed Service for Prometheus."""

from collections.abc import Mapping
from typing import Any

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from loadprobe.config.remote_write import RemoteWrite
from loadprobe.errors import RunError

SERVICE = "aps"
"""How Amazon Managed Service for Prometheus is called in a signature."""


class Signer:
    """Signs with the credentials of AWS tools: environment, files, machine.

    Args:
        remote: with ``sigv4`` and ``region``.
    """

    def __init__(self, remote: RemoteWrite) -> None:
        self._remote = remote
        self._session: Any = None

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
            # Credentials that expire are renewed by whoever asks for them.
            found = self._open_session().get_credentials()
            if found is None:
                raise NoCredentialsError
            signer = SigV4Auth(
                found.get_frozen_credentials(), SERVICE, str(self._remote.region)
            )
            signer.add_auth(request)
        except (BotoCoreError, ClientError, OSError, ValueError) as exc:
            raise RunError(
                f"signing a request to {self._remote.url} for AWS failed: {exc}; "
                "check the credentials of this machine (environment, profile or role)"
            ) from exc
        return dict(request.headers.items())

    def _open_session(self) -> Any:
        """Return the session, which finds credentials where botocore looks for them.

        Where they come from STS, that is asked for no longer than a run may take to
        end.
        """
        if self._session is None:
            self._session = botocore.session.get_session()
            self._session.set_default_client_config(
                ClientConfig(
                    connect_timeout=3,
                    read_timeout=5,
                    retries={"mode": "standard", "total_max_attempts": 2},
                )
            )
        return self._session
