"""The two clients of the ElastiCache API: one for reads, one for mutations.

Rule: reads are retried, a mutation is sent once and only once. Both clients exist
before load starts, because creating the first one of a process blocks its event loop
for about 300 ms (aiobotocore 2.25).
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aioboto3  # type: ignore[import-untyped]
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session

from loadprobe.config import keys as config
from loadprobe.config.addresses import is_loopback
from loadprobe.config.local_key import local_key
from loadprobe.control.provider.explaining import CallErrors, explain
from loadprobe.control.provider.node_metrics import NodeMetrics

_METADATA_TIMEOUT_S = 5
_METADATA_ATTEMPTS = 3
_CREDENTIAL_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


@asynccontextmanager
async def open_clients(control: config.Control) -> AsyncIterator[tuple[Any, Any]]:
    """Open the client for reads and the one for mutations.

    A local control plane that we started gets its access key. On any other loopback
    endpoint without credentials in the environment, placeholder keys are used. No
    metadata service is asked for either.

    Raises:
        ControlError: the region, the profile or the endpoint cannot be used.
    """
    arguments = _arguments(control)
    is_local = is_loopback(control.endpoint_url)
    async with AsyncExitStack() as stack:
        try:
            session = aioboto3.Session(botocore_session=_patient_session())
            reads, mutations = [
                await stack.enter_async_context(
                    session.client("elasticache", config=settings, **arguments)
                )
                for settings in (_read_settings(is_local), _mutation_settings(is_local))
            ]
        except (*CallErrors, ValueError) as exc:
            where = control.endpoint_url or control.region
            raise explain(
                exc, operation="create the client", arguments={}, where=where
            ) from exc
        yield reads, mutations


@asynccontextmanager
async def open_metrics(control: config.Control) -> AsyncIterator[NodeMetrics | None]:
    """Open the client of CloudWatch; an endpoint that is not AWS has none.

    Raises:
        ControlError: the region or the profile cannot be used.
    """
    if control.endpoint_url is not None:
        yield None
        return
    session = aioboto3.Session(botocore_session=_patient_session())
    opening = session.client(
        "cloudwatch", config=_read_settings(is_local=False), **_arguments(control)
    )
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(opening)
        except (*CallErrors, ValueError) as exc:
            raise explain(
                exc, operation="create the client", arguments={}, where=control.region
            ) from exc
        yield NodeMetrics(client, control.region)


def _arguments(control: config.Control) -> dict[str, Any]:
    """Return where a client goes, and as whom if that is not found elsewhere."""
    is_local = is_loopback(control.endpoint_url)
    arguments: dict[str, Any] = {
        "region_name": control.region,
        "endpoint_url": control.endpoint_url,
    }
    key = local_key(control.endpoint_url or "") if is_local else None
    if key is not None:
        arguments |= {"aws_access_key_id": key, "aws_secret_access_key": key}
    elif is_local and not any(map(os.environ.get, _CREDENTIAL_VARIABLES)):
        arguments |= {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return arguments


def _read_settings(is_local: bool) -> AioConfig:
    return AioConfig(
        retries={"mode": "standard", "max_attempts": 8},
        connect_timeout=3,
        read_timeout=10,
        tcp_keepalive=True,
        proxies={} if is_local else None,
    )


def _mutation_settings(is_local: bool) -> AioConfig:
    """One attempt (max_attempts would count the retries), on a fresh connection.

    A kept-alive connection that the provider has just closed would turn a request
    that never arrived into one that may have been applied.
    """
    return AioConfig(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=3,
        read_timeout=10,
        proxies={} if is_local else None,
        connector_args={"force_close": True, "keepalive_timeout": None},
    )


def _patient_session() -> AioSession:
    """Return a session that asks the instance metadata service more than once.

    The defaults are one attempt of one second (botocore 1.40); a value from the
    environment wins where it is larger.
    """
    session = get_session()
    for name, least in (
        ("metadata_service_timeout", _METADATA_TIMEOUT_S),
        ("metadata_service_num_attempts", _METADATA_ATTEMPTS),
    ):
        current = int(session.get_config_variable(name))
        session.set_config_variable(name, max(current, least))
    return session
