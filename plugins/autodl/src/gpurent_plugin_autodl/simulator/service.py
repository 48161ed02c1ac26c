"""The AutoDL simulator for the sandbox, over HTTP."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route as WebRoute

from gpurent.api import (
    Evidence,
    Money,
    ProviderSimulator,
    SimulatorContext,
    SimulatorLedgerEntry,
    SimulatorRoute,
)
from gpurent_plugin_autodl import _
from gpurent_plugin_autodl.simulator import pay_page
from gpurent_plugin_autodl.simulator.audit import MILLI_YUAN, AutodlAudit
from gpurent_plugin_autodl.simulator.instances import PRICES
from gpurent_plugin_autodl.simulator.refusal import AutodlRefusal, wrong_parameter
from gpurent_plugin_autodl.simulator.routes import ApiRoute, AutodlRoutes, Call
from gpurent_plugin_autodl.simulator.state import AutodlAccount, AutodlState

Endpoint = Callable[[Request], Awaitable[Response]]


class AutodlSimulator(AutodlAudit, ProviderSimulator):
    """Simulates AutoDL's developer API.

    Settings: token (random by default), stock (instances of each specification), page_size, moves (off: a start keeps
    port and password), real_name (off: creates are refused), prices (off: none is declared), missing, api (off: every
    request gets a 503).
    """

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        self.state = AutodlState(context)
        self._routes = AutodlRoutes(self.state).list_routes()

    def list_routes(self) -> Sequence[SimulatorRoute]:
        own = _("the sandbox's own page")
        return [
            *(
                SimulatorRoute(method=one.method, path=one.path, evidence=one.evidence, note=one.note)
                for one in self._routes
            ),
            *(
                SimulatorRoute(method=method, path=path, evidence=Evidence.ASSUMED, note=own)
                for path, method in pay_page.METHODS.items()
            ),
        ]

    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        """Return the ledger; the line of a run grows until it is stopped."""
        found = []
        for account in self.state.accounts:
            lines = [(paid.at, "top-up", paid.amount, str(paid.number)) for paid in account.payments]
            lines += [
                (run.stopped_at or self.state.at, "usage", -run.compute_cost(self.state.at), instance.id)
                for instance in account.instances
                for run in instance.runs
            ]
            found += [
                SimulatorLedgerEntry(
                    at=at, account=str(account.uid), kind=kind, amount=Money(amount, MILLI_YUAN), ref=ref
                )
                for at, kind, amount, ref in lines
            ]
        return sorted(found, key=lambda entry: entry.at)

    def list_billed_machines(self) -> Sequence[str]:
        return [instance.id for instance in self.state.iter_instances() if instance.has_gpus]

    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        """Its user has declared what each specification costs here."""
        prices = [f"{spec} {known.price // 1000}.{known.price % 1000:03}" for spec, known in PRICES.items()]
        declared = {} if self._context.settings.get("prices") == "off" else {"prices": ", ".join(prices)}
        return {"url": url, "billing_page": f"{url}{pay_page.PATH}/{{account}}/{{amount}}", **declared}

    def get_app(self) -> Starlette:
        pay = self._with_lock(self._serve_pay_page)
        return Starlette(
            routes=[
                *(
                    WebRoute(one.path, self._with_lock(self._make_endpoint(one)), methods=[one.method])
                    for one in self._routes
                ),
                *(WebRoute(path, pay, methods=[method]) for path, method in pay_page.METHODS.items()),
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
                return await endpoint(request)

        return serve

    async def _serve_pay_page(self, request: Request) -> Response:
        return await pay_page.serve_pay_page(self.state, request)

    def _make_endpoint(self, route: ApiRoute) -> Endpoint:
        async def serve(request: Request) -> Response:
            try:
                account = self._authenticate(request)
                call = Call(
                    account=account,
                    query=dict(request.query_params),
                    body=_parse_body(await request.body()),
                )
                return _make_response("Success", "", await route.handle(call))
            except AutodlRefusal as why:
                return _make_response(why.code, why.msg, None, why.status)

        return serve

    def _authenticate(self, request: Request) -> AutodlAccount:
        """Return the caller's account: the header is the token alone. Assumed: how another one is answered."""
        given = request.headers.get("authorization", "")
        for account in self.state.accounts:
            if secrets.compare_digest(account.token.encode(), given.encode()):
                return account
        raise AutodlRefusal("Unauthorized", "token无效", 401)


def _parse_body(data: bytes) -> Mapping[str, Any]:
    if not data.strip():
        return {}
    try:
        found = json.loads(data)
    except ValueError:
        raise wrong_parameter() from None
    if not isinstance(found, Mapping):
        raise wrong_parameter()
    return found


def _make_response(code: str, msg: str, data: Any, status: int = 200) -> Response:
    answer = {"code": code, "data": data, "msg": msg, "request_id": secrets.token_hex(16)}
    return JSONResponse(answer, status)
