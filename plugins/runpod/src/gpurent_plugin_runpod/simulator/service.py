"""The RunPod simulator for the sandbox, over HTTP."""

from __future__ import annotations

import secrets
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
from gpurent_plugin_runpod import _
from gpurent_plugin_runpod.simulator import pay_page
from gpurent_plugin_runpod.simulator.audit import RunpodAudit
from gpurent_plugin_runpod.simulator.bills import list_ledger
from gpurent_plugin_runpod.simulator.calls import ApiRoute, Call, Created
from gpurent_plugin_runpod.simulator.graphql import GraphQlApi
from gpurent_plugin_runpod.simulator.problem import Problem
from gpurent_plugin_runpod.simulator.quota import Quota
from gpurent_plugin_runpod.simulator.rest import RestRoutes
from gpurent_plugin_runpod.simulator.state import RunpodAccount, RunpodState

GRAPHQL = "/graphql"
Endpoint = Callable[[Request], Awaitable[Response]]


class RunpodSimulator(RunpodAudit, ProviderSimulator):
    """Simulates RunPod.

    Settings: api_key (random by default), email, free, taken, pacing (on: calls above the quota get a 429), page_limit
    (the longest page of a list), graphql (gone: answered with 410), loading_seconds, mapping_seconds, sshd_seconds,
    grace_hours, missing, disk_bytes, api (off: every request gets a 503).
    """

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        settings = context.settings
        self.state = RunpodState(context)
        self.has_graphql = settings.get("graphql", "on") != "gone"
        self._quota = Quota(settings.get("pacing", "off"))
        self._graphql = GraphQlApi(self.state)
        self._routes = RestRoutes(self.state).list_routes()

    def list_routes(self) -> Sequence[SimulatorRoute]:
        pages = [
            SimulatorRoute(
                method=method, path=path, evidence=Evidence.ASSUMED, note=_("the sandbox's own page")
            )
            for path, methods in pay_page.METHODS.items()
            for method in methods
        ]
        graphql = SimulatorRoute(
            method="POST",
            path=GRAPHQL,
            evidence=Evidence.SOURCE,
            note=_("what the Python client asks; balance and spending from the documentation"),
        )
        shown = [
            SimulatorRoute(method=route.method, path=route.path, evidence=route.evidence, note=route.note)
            for route in self._routes
        ]
        return [*shown, graphql, *pages]

    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        return list_ledger(self.state.accounts)

    def list_billed_machines(self) -> Sequence[str]:
        """Return the pods that run, or whose disk is billed."""
        return [pod.id for pod in self.state.iter_pods() if pod.is_billed]

    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        return {"url": url, "billing_page": f"{url}{pay_page.PATH}"}

    def get_app(self) -> Starlette:
        pay = self._with_lock(self._serve_pay_page)
        return Starlette(
            routes=[
                *(
                    WebRoute(route.path, self._with_lock(self._make_endpoint(route)), methods=[route.method])
                    for route in self._routes
                ),
                WebRoute(GRAPHQL, self._with_lock(self._serve_graphql), methods=["POST"]),
                *(WebRoute(path, pay, methods=list(methods)) for path, methods in pay_page.METHODS.items()),
            ],
            exception_handlers={404: _refuse_path, 405: _refuse_path},
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

    def _find_account(self, request: Request, given: str = "") -> RunpodAccount | None:
        kind, _space, token = request.headers.get("authorization", "").partition(" ")
        key = token.strip() if kind.lower() == "bearer" else given
        for account in self.state.accounts:
            if secrets.compare_digest(account.api_key.encode(), key.encode()):
                return account
        return None

    def _make_endpoint(self, route: ApiRoute) -> Endpoint:
        async def serve(request: Request) -> Response:
            headers: Mapping[str, str] = {}
            try:
                account = self._find_account(request)
                if account is None:
                    given = "authorization" in request.headers
                    raise Problem(401, "invalid API key" if given else "missing bearer token")
                headers = self._quota.count_call(account.id, self.state.at)
                call = Call(
                    account=account,
                    path=request.path_params,
                    query=dict(request.query_params),
                    body=_parse_body(await request.body()),
                )
                found = await route.handle(call)
            except Problem as problem:
                return _make_problem(problem, headers)
            if found is None:
                return Response(status_code=204, headers=dict(headers))
            status, body = (201, found.body) if isinstance(found, Created) else (200, found)
            return _make_answer(status, body, headers)

        return serve

    async def _serve_graphql(self, request: Request) -> Response:
        if not self.has_graphql:
            return _make_problem(Problem(410, "The GraphQL API was retired. Use the REST API v2."), {})
        account = self._find_account(request, request.query_params.get("api_key", ""))
        if account is None:
            return _make_answer(401, {"errors": [{"message": "Unauthorized"}]}, {})
        try:
            headers = self._quota.count_call(account.id, self.state.at)
            body = _parse_body(await request.body())
        except Problem as problem:
            return _make_problem(problem, {})
        status, answer = await self._graphql.answer(account, body)
        return _make_answer(status, answer, headers)

    async def _serve_pay_page(self, request: Request) -> Response:
        return await pay_page.serve_pay_page(self.state, request)


def _parse_body(data: bytes) -> Any:
    if not data.strip():
        return None
    try:
        return parse_exact_json(data)
    except (ValueError, RecursionError):
        raise Problem(400, "the request body is not JSON") from None


def _make_answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    return Response(render_exact_json(body), status, dict(headers), "application/json")


def _make_problem(problem: Problem, headers: Mapping[str, str]) -> Response:
    shown = {**headers, **problem.headers}
    return Response(render_exact_json(problem.body), problem.status, shown, "application/problem+json")


async def _refuse_path(request: Request, error: Exception) -> Response:
    """Answer as the gateway in front of the service does (assumed): with no problem of the service's own."""
    return PlainTextResponse("no such path", getattr(error, "status_code", 404))
