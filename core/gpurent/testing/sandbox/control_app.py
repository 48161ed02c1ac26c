"""The sandbox's control API over HTTP on loopback, protected by a token: status, time, cut connections, stop."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gpurent.errors import UsageError
from gpurent.testing.sandbox.simulated_cloud import SimulatedCloud

Handler = Callable[[Request], Awaitable[Response]]


def make_control_app(cloud: SimulatedCloud, token: str, stop: Callable[[], None]) -> Starlette:
    """Return the control app; it calls ``stop`` when a client stops the sandbox."""

    def guarded(
        handler: Callable[[Request], Awaitable[Response]],
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guard(request: Request) -> Response:
            authorization = request.headers.get("authorization", "")
            if not hmac.compare_digest(authorization, f"Bearer {token}"):
                return JSONResponse({"error": "not yours"}, 403)
            return await handler(request)

        return guard

    async def status(request: Request) -> Response:
        await cloud.tick()
        return JSONResponse(cloud.status())

    async def env(request: Request) -> Response:
        return JSONResponse(dict(cloud.environment(Path(request.query_params["home"]))))

    async def advance(request: Request) -> Response:
        await cloud.advance(timedelta(seconds=int(request.query_params["seconds"])))
        return JSONResponse({"now": cloud.clock.now().isoformat()})

    async def cut(request: Request) -> Response:
        return JSONResponse({"cut": await cloud.cut_connections()})

    async def down(request: Request) -> Response:
        stop()
        return JSONResponse({"down": True})

    return Starlette(
        routes=[
            Route("/status", guarded(status)),
            Route("/env", guarded(env)),
            Route("/advance", guarded(advance), methods=["POST"]),
            Route("/cut", guarded(cut), methods=["POST"]),
            *(
                Route(path, guarded(call), methods=["POST"])
                for path, call in _manual_rental_routes(cloud).items()
            ),
            Route("/down", guarded(down), methods=["POST"]),
        ]
    )


def _manual_rental_routes(cloud: SimulatedCloud) -> dict[str, Handler]:
    """Return the routes that do what a person does on a provider's pages."""

    async def rent(request: Request) -> Response:
        try:
            found = await cloud.get_manual_rental(request.query_params["simulator"]).rent_manually()
        except UsageError as error:
            return JSONResponse({"error": error.message})
        return JSONResponse({"ssh_command": found.ssh_command, "password": found.password, "ref": found.ref})

    async def end(request: Request) -> Response:
        try:
            await cloud.get_manual_rental(request.query_params["simulator"]).stop_manually(
                request.query_params["ref"]
            )
        except UsageError as error:
            return JSONResponse({"error": error.message})
        return JSONResponse({})

    return {"/manual/rent": rent, "/manual/end": end}
