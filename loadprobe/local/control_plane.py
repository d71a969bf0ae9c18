"""The HTTP server that speaks the ElastiCache Query API on loopback.

Signatures are not checked: any credentials do. The service model is loaded once,
before the first request.
"""

import asyncio
import logging
import uuid
from types import TracebackType
from typing import Self

from aiohttp import web

from loadprobe.errors import PreflightError, UsageError
from loadprobe.local.api_codec import ApiCodec, load_codec
from loadprobe.local.cluster import LocalCluster
from loadprobe.local.faults import ApiFault
from loadprobe.local.groups import ReplicationGroup
from loadprobe.local.operations import OPERATIONS
from loadprobe.local.plane import Knobs, Plane

logger = logging.getLogger(__name__)

_HOST = "127.0.0.1"


class ControlPlane:
    """Serve the API on entering, end it on leaving.

    Args:
        port: where to listen on 127.0.0.1; 0 picks a free port.
        knobs: timing and quota.

    Raises:
        PreflightError: on entering: the port is taken.
    """

    def __init__(self, *, port: int = 0, knobs: Knobs | None = None) -> None:
        self._plane = Plane(knobs or Knobs())
        self._wanted_port = port
        self._codec: ApiCodec | None = None
        self._runner: web.AppRunner | None = None
        self._bound_port: int | None = None

    @property
    def endpoint_url(self) -> str:
        """What to give to an SDK or the AWS CLI as the endpoint."""
        if self._bound_port is None:
            raise UsageError("the control plane is not started: use `async with`")
        return f"http://{_HOST}:{self._bound_port}"

    def add_group(self, group_id: str, cluster: LocalCluster) -> ReplicationGroup:
        """Show a running cluster as a replication group; its life stays yours."""
        return self._plane.add_group(group_id, cluster)

    def add_event(self, source_type: str, source_identifier: str, text: str) -> None:
        """Log an event that happens now, beside those of the operations."""
        self._plane.add_event(source_type, source_identifier, text)

    async def __aenter__(self) -> Self:
        self._codec = await asyncio.to_thread(load_codec)
        application = web.Application()
        application.router.add_post("/", self._answer)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, _HOST, self._wanted_port)
        try:
            await site.start()
        except OSError as exc:
            await self._runner.cleanup()
            raise PreflightError(
                f"listening for the API on {_HOST}:{self._wanted_port}: {exc}; choose "
                "another port, or 0 for any free one"
            ) from exc
        self._bound_port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._plane.stop()
        finally:
            assert self._runner is not None
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        request_id = str(uuid.uuid4())
        try:
            body = await self._perform(await request.text(), request_id)
            status = 200
        except ApiFault as fault:
            assert self._codec is not None
            status, body = self._codec.render_fault(fault, request_id)
        return web.Response(
            status=status,
            text=body,
            content_type="text/xml",
            headers={"x-amzn-RequestId": request_id},
        )

    async def _perform(self, form: str, request_id: str) -> str:
        assert self._codec is not None
        action, params = self._codec.parse(form)
        operation = OPERATIONS.get(action)
        if operation is None:
            raise ApiFault(
                "InvalidAction",
                f"{action} is not performed by the local control plane, which has: "
                f"{', '.join(OPERATIONS)}.",
            )
        try:
            result = await operation(self._plane, params)
            return self._codec.render(action, result, request_id)
        except ApiFault:
            raise
        except Exception as exc:
            # The task edge: a bug or a dead server must reach the caller as XML; a
            # bare 500 ends in a parser error of the SDK.
            logger.exception("local operation failed", extra={"lp_action": action})
            raise ApiFault("InternalFailure", f"{action} failed: {exc}") from exc
