"""The HTTP server that speaks the ElastiCache Query API on loopback.

Signatures are not checked: who has the access key may ask (see ``access_key``), and no
web page. The service model is loaded once, before the first request.
"""

import asyncio
import logging
import uuid
from contextlib import suppress
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web

from loadprobe.errors import PreflightError, UsageError
from loadprobe.local.api.access_key import has_key
from loadprobe.local.api.browsers import Handler, no_browsers
from loadprobe.local.api.codec import ApiCodec, load_codec
from loadprobe.local.api.endpoints import LocalEndpoints
from loadprobe.local.api.faults import ApiFault
from loadprobe.local.api.groups import ReplicationGroup
from loadprobe.local.api.injection import FaultPlan, Injection
from loadprobe.local.api.name_server import NameServer
from loadprobe.local.api.operations.registry import OPERATIONS
from loadprobe.local.api.plane import Knobs, Plane, now
from loadprobe.local.api.rendering import group_state
from loadprobe.local.api.service_updates import ServiceUpdate
from loadprobe.local.cluster.certificates import CertificateSet
from loadprobe.local.cluster.cluster import LocalCluster

logger = logging.getLogger(__name__)

_NO_KEY = ApiFault(
    "InvalidClientTokenId",
    "The access key is not that of this local control plane; `loadprobe local status` "
    "shows it to whoever started it.",
)
FAULTS_PATH = "/loadprobe/faults"
GROUPS_PATH = "/loadprobe/groups"
_HOST = "127.0.0.1"


class ControlPlane:
    """Serve the API on entering, end it on leaving.

    Groups that were created through the API end with it.

    Args:
        port: where to listen on 127.0.0.1; 0 picks a free port.
        knobs: timing and quota.
        certificates: those of all groups; None has every first group make its own.
        access_key: who does not send it is refused; None: any credentials do.

    Raises:
        PreflightError: on entering: the port is taken.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        knobs: Knobs | None = None,
        certificates: CertificateSet | None = None,
        access_key: str | None = None,
    ) -> None:
        knobs = knobs or Knobs()
        self._plane = Plane(knobs)
        self._names = NameServer(self._plane.addresses, ttl_s=knobs.endpoint_ttl_s)
        self._plane.own_certificates = certificates
        self._wanted_port = port
        self._access_key = access_key
        self._codec: ApiCodec | None = None
        self._runner: web.AppRunner | None = None
        self._bound_port: int | None = None
        self._ending = asyncio.Event()

    @property
    def endpoint_url(self) -> str:
        """What to give to an SDK or the AWS CLI as the endpoint."""
        if self._bound_port is None:
            raise UsageError("the control plane is not started: use `async with`")
        return f"http://{_HOST}:{self._bound_port}"

    @property
    def name_server(self) -> str:
        """Who knows the endpoints of groups without cluster mode, "host:port"."""
        return self._names.address

    @property
    def faults(self) -> FaultPlan:
        """What is made to go wrong with the next calls."""
        return self._plane.faults

    def add_group(self, group_id: str, cluster: LocalCluster) -> ReplicationGroup:
        """Show a running cluster as a replication group; its life stays yours.

        DeleteReplicationGroup ends its servers all the same.
        """
        return self._plane.add_group(group_id, cluster)

    def cluster(self, group_id: str) -> LocalCluster:
        """Return the servers of a group or cache, however it came to be.

        Raises:
            UsageError: there is no such group.
        """
        known = {group.group_id: group for group in self._plane.all_groups}
        if group_id not in known:
            names = ", ".join(known) or "none"
            raise UsageError(f"no replication group {group_id!r}; there are: {names}")
        return known[group_id].cluster

    def endpoints(self, group_id: str) -> LocalEndpoints | None:
        """Return the names of a group; None with cluster mode."""
        return self._plane.groups[group_id].endpoints

    def add_event(self, source_type: str, source_identifier: str, text: str) -> None:
        """Log an event that happens now, beside those of the operations."""
        self._plane.add_event(source_type, source_identifier, text)

    def add_service_update(self, name: str, *, severity: str = "important") -> None:
        """Release a service update that can be applied to every group."""
        self._plane.updates.add(ServiceUpdate(name, now(), severity))
        for group in self._plane.groups.values():
            for node in group.cluster.nodes:
                text = f"Service update is available for cache node {node.name}."
                self.add_event("cache-cluster", node.name, text)

    async def __aenter__(self) -> Self:
        self._codec = await asyncio.to_thread(load_codec)
        application = web.Application(middlewares=[no_browsers, self._admit])
        application.router.add_post("/", self._answer)
        application.router.add_get(GROUPS_PATH, self._show_groups)
        application.router.add_post(FAULTS_PATH, self._plan_fault)
        application.router.add_delete(FAULTS_PATH, self._clear_faults)
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
        await self._names.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending.set()
        try:
            await self._plane.stop()
        finally:
            assert self._runner is not None
            await self._names.__aexit__(exc_type, exc, traceback)
            await self._runner.cleanup()

    @web.middleware
    async def _admit(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Answer only who has the access key, if there is one."""
        if self._access_key is None or has_key(request, self._access_key):
            return await handler(request)
        assert self._codec is not None
        status, body = self._codec.render_fault(_NO_KEY, str(uuid.uuid4()))
        return web.Response(status=status, text=body, content_type="text/xml")

    async def _answer(self, request: web.Request) -> web.Response:
        assert self._codec is not None
        request_id = str(uuid.uuid4())
        injected: Injection | None = None
        try:
            action, params = self._codec.parse(await _form_of(request))
            injected = self.faults.take(action)
            if injected is not None and injected.kind == "lose_request":
                return _hang_up(request)
            if injected is not None and injected.kind == "fail":
                raise ApiFault(injected.code, injected.message)
            status, body = 200, await self._perform(action, params, request_id)
        except ApiFault as fault:
            status, body = self._codec.render_fault(fault, request_id)
        if injected is not None and injected.kind == "lose_reply":
            return _hang_up(request)
        if injected is not None and injected.kind == "delay":
            with suppress(TimeoutError):
                async with asyncio.timeout(injected.seconds):
                    await self._ending.wait()
        return web.Response(
            status=status,
            text=body,
            content_type="text/xml",
            headers={"x-amzn-RequestId": request_id},
        )

    async def _perform(
        self, action: str, params: dict[str, object], request_id: str
    ) -> str:
        assert self._codec is not None
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

    async def _show_groups(self, _request: web.Request) -> web.Response:
        """Show the groups as JSON: what ``loadprobe local status`` prints."""
        groups = [group_state(group) for group in self._plane.all_groups]
        return web.Response(
            body=msgspec.json.encode(groups), content_type="application/json"
        )

    async def _plan_fault(self, request: web.Request) -> web.Response:
        """Plan an injection given as JSON: what ``faults`` is for other processes."""
        try:
            injection = msgspec.json.decode(await request.read(), type=Injection)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            return web.Response(status=400, text=f"{exc}\n")
        self.faults.add(injection)
        return web.Response(text="planned\n")

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        self.faults.clear()
        return web.Response(text="cleared\n")


async def _form_of(request: web.Request) -> str:
    """Return the form in a request.

    Raises:
        ApiFault: it is no text, or of an encoding that nobody knows.
    """
    body = await request.read()
    try:
        return body.decode(request.charset or "utf-8")
    except (LookupError, ValueError) as exc:
        raise ApiFault(
            "InvalidQueryParameter", f"The request is no readable text: {exc}"
        ) from exc


def _hang_up(request: web.Request) -> web.Response:
    """Close the connection without a reply."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
