"""Tokens for logging in at ElastiCache as an IAM user.

A token is the presigned URL of a request that nobody sends: ``GET`` of the action
``connect`` at the name of the cache, signed by Signature Version 4 for the service
``elasticache``, without its scheme (Amazon ElastiCache User Guide, "Authenticating with
IAM"). It lets in for 15 minutes; a connection that was let in holds for 12 hours.
"""

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from loadprobe.aws_credentials import CredentialsError, CredentialsFinder
from loadprobe.config.keys import Target
from loadprobe.errors import PreflightError

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

LIFETIME_S = 900
_SERVICE = "elasticache"
_SCHEME = "http://"


class TokenMaker:
    """Makes tokens with the credentials of AWS tools; see ``CredentialsFinder``.

    Its methods block, as finding them does.

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
        self._credentials = CredentialsFinder()

    def make(self) -> str:
        """Return a token that is valid from now on.

        Raises:
            PreflightError: there are no credentials, or they cannot be had.
        """
        try:
            frozen = self._credentials.find()
        except CredentialsError as exc:
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
