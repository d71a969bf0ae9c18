"""Credentials of AWS tools (environment, files, machine), as they are at the moment.

botocore is imported by whoever looks for the first ones: most runs need none.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials

_CONNECT_S, _READ_S = 3, 5
"""Where they come from STS, that is asked for no longer than a run may take to end."""


class CredentialsError(Exception):
    """They cannot be had; the text says why."""


class CredentialsFinder:
    """Finds them where botocore looks for them.

    Those that do not renew themselves, of a file for example, are found anew each time:
    whoever changes the file does so for us, too.
    """

    def __init__(self) -> None:
        self._renewed: RefreshableCredentials | None = None

    def find(self) -> "ReadOnlyCredentials | None":
        """Return credentials that hold now, None if there are none.

        It blocks: it takes 5 ms (botocore 1.40), or a request to the machine's own
        metadata service, or to STS.

        Raises:
            CredentialsError: there are some, and they cannot be had.
        """
        from botocore.credentials import RefreshableCredentials
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = self._renewed or _session().get_credentials()
            if isinstance(found, RefreshableCredentials):
                self._renewed = found
            # Those of a role are renewed by this when they are about to end.
            return found.get_frozen_credentials() if found else None
        # STS may refuse, the files that name a role may be gone or in pieces, and what
        # comes instead of expired credentials may have expired, too (RuntimeError).
        except (BotoCoreError, ClientError, OSError, ValueError, RuntimeError) as exc:
            self._renewed = None  # the files may say otherwise by now
            raise CredentialsError(str(exc)) from exc


def _session() -> Any:
    import botocore.session
    from botocore.config import Config

    session = botocore.session.get_session()
    session.set_default_client_config(
        Config(
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            retries={"mode": "standard", "total_max_attempts": 2},
        )
    )
    return session
