"""The Lambda Cloud simulator for the sandbox, over HTTP."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gpurent.api import ProviderSimulator, SimulatorContext, SimulatorRoute
from gpurent_plugin_lambda.simulator.audit import LambdaAudit
from gpurent_plugin_lambda.simulator.routes import (
    ApiRoute,
    Call,
    LambdaRefusal,
    LambdaRoutes,
    invalid_parameters,
)
from gpurent_plugin_lambda.simulator.state import LambdaAccount, LambdaState

PACE = timedelta(seconds=1)


class LambdaSimulator(LambdaAudit, ProviderSimulator):
    """Simulates Lambda Cloud.

    Settings: api_key (random by default), free, boot_seconds, sshd_seconds, quota, account (the code of the error with
    which launches are refused), pacing (on: calls that come too early get a 429), missing, disk_bytes.

    The service's machines have an address each, and port 22; the sandbox's share one, so ``ip`` has the port behind it.
    """

    def __init__(self, context: SimulatorContext) -> None:
        self.state = LambdaState(context)
        settings = context.settings
        self.has_pace = settings.get("pacing", "off") == "on"
        self._free_at: dict[tuple[str, str], datetime] = {}
        quota = int(settings.get("quota", "100"))
        self._routes = LambdaRoutes(self.state, quota, settings.get("account", "")).list_routes()

    def list_routes(self) -> Sequence[SimulatorRoute]:
        return [
            SimulatorRoute(method=one.method, path=one.path, evidence=one.evidence, note=one.note)
            for one in self._routes
        ]

    def list_billed_machines(self) -> Sequence[str]:
        """Return the instances that are there: one that boots will cost money without further ado."""
        return [one.id for one in self.state.iter_instances() if one.is_there]

    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        return {"url": url, "billing_page": f"{url}/settings/billing"}

    def make_login_fields(self) -> Mapping[str, str]:
        return self.get_login_fields()

    async def tick(self) -> None:
        async with self.state.lock:
            await self.state.catch_up()

    def get_app(self) -> Starlette:
        return Starlette(
            routes=[Route(one.path, self._make_endpoint(one), methods=[one.method]) for one in self._routes]
        )

    def _make_endpoint(self, route: ApiRoute) -> Any:
        async def serve(request: Request) -> Response:
            data = await request.body()
            async with self.state.lock:
                await self.state.catch_up()
                try:
                    account = self._authenticate(request)
                    if self._is_too_early(route, account):
                        return PlainTextResponse("Too Many Requests", 429)
                    call = Call(
                        account=account,
                        path=request.path_params,
                        query=dict(request.query_params),
                        body=_parse_body(data),
                    )
                    answer = JSONResponse(await route.handle(call))
                except LambdaRefusal as why:
                    answer = JSONResponse(why.body, why.status)
                await self.state.catch_up()
            return answer

        return serve

    def _authenticate(self, request: Request) -> LambdaAccount:
        """Return the account of a bearer key, or of a basic one, with or without its colon."""
        kind, _space, given = request.headers.get("authorization", "").partition(" ")
        key = given.strip()
        if kind.lower() == "basic":
            with suppress(binascii.Error, ValueError):
                key = base64.b64decode(key, validate=True).decode().removesuffix(":")
        for account in self.state.accounts:
            if key and secrets.compare_digest(account.api_key.encode(), key.encode()):
                return account
        text, hint = (
            "API key was invalid, expired, or deleted.",
            "Check your API key or create a new one, then try again.",
        )
        raise LambdaRefusal(401, "global/invalid-api-key", text, hint)

    def _is_too_early(self, route: ApiRoute, account: LambdaAccount) -> bool:
        """Return whether the account's last call, or its last one to this route, was too short a time ago."""
        if not self.has_pace:
            return False
        now, paces = self.state.at, {"": PACE, route.path: timedelta(seconds=route.interval)}
        too_early = any(now < self._free_at.get((name, account.api_key), now) for name in paces)
        for name, interval in paces.items() if not too_early else ():
            self._free_at[name, account.api_key] = now + interval
        return too_early


def _parse_body(data: bytes) -> Mapping[str, Any]:
    if not data.strip():
        return {}
    try:
        found = json.loads(data)
    except ValueError:
        raise invalid_parameters("the body is not JSON") from None
    if not isinstance(found, dict):
        raise invalid_parameters("the body is not an object")
    return found
