"""The Prime Intellect simulator for the sandbox, over HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gpurent.api import (
    Evidence,
    ProviderSimulator,
    SimulatorContext,
    SimulatorRoute,
    parse_exact_json,
    render_exact_json,
)
from gpurent_plugin_prime import _
from gpurent_plugin_prime.simulator.audit import PrimeAudit
from gpurent_plugin_prime.simulator.routes import ApiRoute, Call, PrimeRefusal, PrimeRoutes, invalid
from gpurent_plugin_prime.simulator.state import MICROS, PrimeAccount, PrimeState

PAY_PATH = "/sandbox/pay/{account}/{amount}"
PAY_ROUTES = (("GET", PAY_PATH), ("POST", f"{PAY_PATH}/settle"))
MAX_PAYMENT = 10_000


class PrimeSimulator(PrimeAudit, ProviderSimulator):
    """Simulates Prime Intellect.

    Settings: api_key (random by default), free, setup_seconds, install_seconds, delete_seconds, missing, disk_bytes.
    """

    def __init__(self, context: SimulatorContext) -> None:
        self.state = PrimeState(context)
        self._routes = PrimeRoutes(self.state).list_routes()

    def list_routes(self) -> Sequence[SimulatorRoute]:
        return [
            *(
                SimulatorRoute(method=one.method, path=one.path, evidence=one.evidence, note=one.note)
                for one in self._routes
            ),
            *(
                SimulatorRoute(
                    method=method, path=path, evidence=Evidence.ASSUMED, note=_("the sandbox's own page")
                )
                for method, path in PAY_ROUTES
            ),
        ]

    def list_billed_machines(self) -> Sequence[str]:
        """Return the pods that are there: one that is set up will cost money without further ado."""
        return [pod.id for pod in self.state.iter_pods() if pod.is_there]

    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        return {"url": url, "billing_page": f"{url}/sandbox/pay/{{account}}/{{amount}}"}

    def get_app(self) -> Starlette:
        """Return the application; as at the service, a path without its last slash is redirected to the one with it."""
        return Starlette(
            routes=[
                *(Route(one.path, self._make_endpoint(one), methods=[one.method]) for one in self._routes),
                *(Route(path, self._serve_pay_page, methods=[method]) for method, path in PAY_ROUTES),
            ]
        )

    def _make_endpoint(self, route: ApiRoute) -> Any:
        async def serve(request: Request) -> Response:
            data = await request.body()
            async with self.state.lock:
                await self.state.catch_up()
                try:
                    call = Call(
                        account=self._authenticate(request),
                        path=request.path_params,
                        query={name: request.query_params.getlist(name) for name in request.query_params},
                        body=_parse_body(data),
                    )
                    status, answer = 200, await route.handle(call)
                except PrimeRefusal as why:
                    status, answer = why.status, why.body
                await self.state.catch_up()
            return Response(render_exact_json(answer), status, media_type="application/json")

        return serve

    def _authenticate(self, request: Request) -> PrimeAccount:
        kind, _space, given = request.headers.get("authorization", "").partition(" ")
        for account in self.state.accounts:
            if kind.lower() == "bearer" and secrets.compare_digest(account.api_key.encode(), given.encode()):
                return account
        raise PrimeRefusal(401, "Invalid API key")

    async def _serve_pay_page(self, request: Request) -> Response:
        """Show the page on which the sandbox's user pays in; a POST pays."""
        async with self.state.lock:
            await self.state.catch_up()
            account = self.state.find_account(str(request.path_params["account"]))
            micros = _parse_micros(str(request.path_params["amount"]))
            if account is None or not 0 < micros <= MAX_PAYMENT * MICROS:
                return HTMLResponse("<p>No such wallet, or invalid amount</p>", 400)
            if request.method == "POST":
                self.state.pay_in(account, micros)
        return HTMLResponse('<form method="post" action="settle"><button>Pay</button></form>')


def _parse_micros(text: str) -> int:
    try:
        return int(Decimal(text) * MICROS) if len(text) < 20 else 0
    except (InvalidOperation, ValueError, OverflowError):
        return 0


def _parse_body(data: bytes) -> Mapping[str, Any]:
    if not data.strip():
        return {}
    try:
        found = parse_exact_json(data)
    except ValueError:
        raise invalid("", "JSON decode error") from None
    if not isinstance(found, Mapping):
        raise invalid("", "Input should be an object")
    return found
