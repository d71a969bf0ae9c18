"""The endpoint of a target that is named by its replication group only."""

from loadprobe.config import Config, with_endpoint
from loadprobe.control.api import ElastiCacheApi, open_api
from loadprobe.errors import PreflightError


async def ask_endpoint(config: Config) -> Config:
    """Return the configuration with the endpoint that the API describes.

    Raises:
        ControlError: the API refused, or did not answer.
        PreflightError: there is no endpoint.
    """
    assert config.control is not None, "a target without a host needs one"
    async with open_api(config.control) as api:
        return await described_endpoint(config, api)


async def described_endpoint(config: Config, api: ElastiCacheApi) -> Config:
    """Return the configuration with the endpoint that an open API describes.

    Raises:
        ControlError: the API refused, or did not answer.
        PreflightError: there is no endpoint.
    """
    group = await api.describe_group()
    if group.endpoint is None:
        raise PreflightError(
            f"{group.id} is {group.status!r} and has no endpoint yet; wait until it is "
            "available, or set target.host"
        )
    return with_endpoint(config, group.endpoint.host, group.endpoint.port, None)
