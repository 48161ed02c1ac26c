"""The vast.ai simulator for the sandbox, over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route as WebRoute

from gpurent.api import (
    Evidence,
    ProviderSimulator,
    SimulatorContext,
    SimulatorLedgerEntry,
    SimulatorRoute,
    parse_exact_json,
    render_exact_json,
)
from gpurent_plugin_vast import _
from gpurent_plugin_vast.simulator import pay_page
from gpurent_plugin_vast.simulator.access import Pace, authenticate
from gpurent_plugin_vast.simulator.audit import VastAudit
from gpurent_plugin_vast.simulator.bills import list_ledger
from gpurent_plugin_vast.simulator.calls import ApiRoute, Call
from gpurent_plugin_vast.simulator.instance_routes import InstanceRoutes
from gpurent_plugin_vast.simulator.key_routes import KeyRoutes
from gpurent_plugin_vast.simulator.market_routes import MarketRoutes
from gpurent_plugin_vast.simulator.money_routes import MoneyRoutes
from gpurent_plugin_vast.simulator.refusal import VastRefusal, invalid_args
from gpurent_plugin_vast.simulator.schedule_routes import ScheduleRoutes
from gpurent_plugin_vast.simulator.state import VastState

GPU_NAMES = "/api/v0/gpu_names/unique/"
Endpoint = Callable[[Request], Awaitable[Response]]


class VastSimulator(VastAudit, ProviderSimulator):
    """Simulates vast.ai.

    Settings: api_key (random by default), email, free, taken, pacing (on: calls that come too early get a 429),
    loading_seconds, sshd_seconds, grace_hours, missing, disk_bytes, api (off: every request gets a 503).
    """

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        self.state = VastState(context)
        self._pace = Pace(context.settings.get("pacing", "off"))
        self._market = MarketRoutes(self.state)
        self._routes: list[ApiRoute] = [
            *self._market.list_routes(),
            *InstanceRoutes(self.state).list_routes(),
            *KeyRoutes(self.state).list_routes(),
            *MoneyRoutes(self.state).list_routes(),
            *ScheduleRoutes(self.state).list_routes(),
        ]

    def list_routes(self) -> Sequence[SimulatorRoute]:
        shown = [
            SimulatorRoute(
                method=route.method,
                path=route.path,
                evidence=route.evidence,
                note=route.note,
            )
            for route in self._routes
        ]
        return [
            SimulatorRoute(method="GET", path=GPU_NAMES, evidence=Evidence.SOURCE, note=_("needs no login")),
            *shown,
            *(
                SimulatorRoute(
                    method=method, path=path, evidence=Evidence.ASSUMED, note=_("the sandbox's own page")
                )
                for path, methods in pay_page.METHODS.items()
                for method in methods
            ),
        ]

    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        """Return the ledger; its last lines of usage grow until their day ends."""
        return list_ledger(self.state.accounts, self.state.at)

    def list_billed_machines(self) -> Sequence[str]:
        """Return the instances that run, or whose storage is billed."""
        return [str(instance.id) for instance in self.state.iter_instances() if instance.is_billed]

    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        return {"url": url, "billing_page": f"{url}{pay_page.PATH}/{{account}}/{{amount}}"}

    def get_app(self) -> Starlette:
        pay = self._with_lock(self._serve_pay_page)
        return Starlette(
            routes=[
                WebRoute(GPU_NAMES, self._with_lock(self._list_gpu_names), methods=["GET"]),
                *(
                    WebRoute(route.path, self._with_lock(self._make_endpoint(route)), methods=[route.method])
                    for route in self._routes
                ),
                *(WebRoute(path, pay, methods=list(methods)) for path, methods in pay_page.METHODS.items()),
            ]
        )

    def _with_lock(self, endpoint: Endpoint) -> Endpoint:
        """Wrap ``endpoint`` so that it runs alone and with an up-to-date state."""

        async def serve(request: Request) -> Response:
            if self._context.settings.get("api") == "off":
                return PlainTextResponse("closed", 503)
            # Read before taking the lock, so that a slow client does not block the others.
            await request.body()
            async with self.state.lock:
                await self.state.catch_up()
                answer = await endpoint(request)
                await self.state.catch_up()
            return answer

        return serve

    async def _list_gpu_names(self, request: Request) -> Response:
        return _make_response(200, self._market.list_gpu_names())

    async def _serve_pay_page(self, request: Request) -> Response:
        return await pay_page.serve_pay_page(self.state, request)

    def _make_endpoint(self, route: ApiRoute) -> Endpoint:
        async def serve(request: Request) -> Response:
            try:
                account = authenticate(self.state, request, wrong_key_status=route.wrong_key_status)
                if too_early := self._pace.check(route.pace, account, self.state.at):
                    return PlainTextResponse(too_early, 429)
                call = Call(
                    account=account,
                    path=request.path_params,
                    query=dict(request.query_params),
                    body=_parse_body(await request.body()),
                )
                return _make_response(200, await route.handle(call))
            except VastRefusal as why:
                return _make_response(why.status, why.body)

        return serve


def _parse_body(data: bytes) -> Mapping[str, Any]:
    if not data.strip():
        return {}
    try:
        found = parse_exact_json(data)
    except ValueError:
        raise invalid_args("the body is not JSON") from None
    if not isinstance(found, Mapping):
        raise invalid_args("the body is not an object")
    return found


def _make_response(status: int, answer: Any) -> Response:
    return Response(render_exact_json(answer), status, media_type="application/json")
