"""Tokens for logging in at ElastiCache as an IAM user.

A token is the presigned URL of a request that nobody sends: ``GET`` of the action
``connect`` at the name of the cache, signed by Signature Version 4 for the service
``elasticache``, without its scheme (Amazon ElastiCache User Guide, "Authenticating with
IAM"). It lets in for 15 minutes; a connection that was let in holds for 12 hours.

botocore is imported by whoever makes the first token: most runs make none.
"""

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from loadprobe.config.keys import Target
from loadprobe.errors import PreflightError

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials

LIFETIME_S = 900
_SERVICE = "elasticache"
_SCHEME = "http://"


class TokenMaker:
    """Makes tokens with the credentials of AWS tools: environment, files, machine.

    Those that do not renew themselves, of a file for example, are found anew for each
    token: whoever changes the file does so for us, too.

    Its methods block: finding credentials takes 5 ms (botocore 1.40), or a request to
    the machine's own metadata service.

    Args:
        target: with ``iam_user``, ``iam_cache`` and ``iam_region``.
    """

    def __init__(self, target: Target) -> None:
        assert target.iam_user is not None
        assert target.iam_cache is not None
        assert target.iam_region is not None
        self._user = target.iam_user
        self._cache = target.iam_cache
        self._region = target.iam_region
        self._is_serverless = target.iam_serverless
        self._renewed: RefreshableCredentials | None = None

    def make(self) -> str:
        """Return a token that is valid from now on.

        Raises:
            PreflightError: there are no credentials, or they cannot be had.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            frozen = self._find()
        # STS may refuse, the files that name a role may be gone or in pieces, and what
        # comes instead of expired credentials may have expired, too (RuntimeError).
        except (BotoCoreError, ClientError, OSError, ValueError, RuntimeError) as exc:
            self._renewed = None  # the files may say otherwise by now
            raise PreflightError(f"target.iam_user: no AWS credentials: {exc}") from exc
        if not frozen:
            raise PreflightError(
                "target.iam_user: no AWS credentials are found; set them as for the "
                "AWS CLI: environment, profile, or a role of the machine"
            )
        return sign(
            frozen,
            user=self._user,
            cache=self._cache,
            region=self._region,
            is_serverless=self._is_serverless,
        )

    def _find(self) -> "ReadOnlyCredentials | None":
        """Return credentials that hold now, None if there are none."""
        import botocore.session
        from botocore.credentials import RefreshableCredentials

        found = self._renewed or botocore.session.get_session().get_credentials()
        if isinstance(found, RefreshableCredentials):
            self._renewed = found
        # Those of a role are renewed by this when they are about to end.
        return found.get_frozen_credentials() if found else None


def sign(
    credentials: "ReadOnlyCredentials",
    *,
    user: str,
    cache: str,
    region: str,
    is_serverless: bool = False,
) -> str:
    """Return a token.

    Args:
        credentials: who signs.
        user: whom to log in as.
        cache: name of the replication group or serverless cache.
        region: where it is.
        is_serverless: it is a serverless cache.
    """
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    query = {"Action": "connect", "User": user}
    if is_serverless:
        query["ResourceType"] = "ServerlessCache"
    request = AWSRequest("GET", f"{_SCHEME}{cache.lower()}/?{urlencode(query)}")
    SigV4QueryAuth(credentials, _SERVICE, region, expires=LIFETIME_S).add_auth(request)
    return str(request.url).removeprefix(_SCHEME)
