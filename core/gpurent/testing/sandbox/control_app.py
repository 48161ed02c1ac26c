"""The sandbox's control API over HTTP on loopback, protected by a token: status, time, faults, machines, stop."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gpurent.errors import UsageError
from gpurent.locale import _, get_language, set_language
from gpurent.locale.foreign_text import quote_text
from gpurent.testing.sandbox.mail_server import MailCheck
from gpurent.testing.sandbox.service_faults import ServiceFault
from gpurent.testing.sandbox.simulated_cloud import SimulatedCloud

Handler = Callable[[dict[str, Any]], Awaitable[Any]]
"""Takes the request's JSON object and returns what is answered as JSON."""
MAX_WAIT_SECONDS = 600.0


def make_control_app(cloud: SimulatedCloud, token: str, stop: Callable[[], None]) -> Starlette:
    """Return the control app; it calls ``stop`` when a client stops the sandbox."""

    def guard(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            authorization = request.headers.get("authorization", "")
            if not hmac.compare_digest(authorization, f"Bearer {token}"):
                return JSONResponse({"error": "not yours"}, 403)
            language = request.headers.get("accept-language", "en")
            if language != get_language():
                set_language(language)  # of the whole process: only what its clients are told is translated
            try:
                return JSONResponse(await handler(await request.json()))
            except UsageError as error:
                return JSONResponse({"error": error.message, "hint": error.hint}, 400)

        return guarded

    async def down(given: dict[str, Any]) -> None:
        stop()

    handlers = {
        **_state_handlers(cloud),
        **_manual_rental_handlers(cloud),
        **_fault_handlers(cloud),
        **_machine_handlers(cloud),
        "/down": down,
    }
    return Starlette(
        routes=[Route(path, guard(handler), methods=["POST"]) for path, handler in handlers.items()]
    )


def _state_handlers(cloud: SimulatedCloud) -> dict[str, Handler]:
    async def status(given: dict[str, Any]) -> Any:
        await cloud.tick()
        return cloud.status()

    async def env(given: dict[str, Any]) -> Any:
        return dict(cloud.environment(Path(given["home"])))

    async def open_account(given: dict[str, Any]) -> Any:
        return dict(await cloud.simulators.open_account(given["provider"], given["label"]))

    async def advance(given: dict[str, Any]) -> None:
        await cloud.advance(timedelta(seconds=given["seconds"]))

    async def client_clock(given: dict[str, Any]) -> None:
        cloud.clock.set_client_error(timedelta(seconds=given["seconds"]))

    async def mail_check(given: dict[str, Any]) -> None:
        cloud.mail.check = MailCheck(given["check"])

    return {
        "/status": status,
        "/env": env,
        "/account": open_account,
        "/advance": advance,
        "/client-clock": client_clock,
        "/mail/check": mail_check,
    }


def _manual_rental_handlers(cloud: SimulatedCloud) -> dict[str, Handler]:
    """Return what a person does on a provider's pages."""

    async def rent(given: dict[str, Any]) -> Any:
        found = await cloud.get_manual_rental(given["simulator"]).rent_manually()
        return {"ssh_command": found.ssh_command, "password": found.password, "ref": found.ref}

    async def end(given: dict[str, Any]) -> None:
        simulator, ref = given["simulator"], given["ref"]
        rental = cloud.get_manual_rental(simulator)
        if f"{simulator}:{ref}" not in cloud.burning():
            text = _("no machine {ref} costs money at {simulator}").format(
                ref=quote_text(ref), simulator=simulator
            )
            raise UsageError(text, hint=_("See the machines: gpurent sandbox status"))
        await rental.stop_manually(ref)

    return {"/manual/rent": rent, "/manual/end": end}


def _fault_handlers(cloud: SimulatedCloud) -> dict[str, Handler]:
    async def add(given: dict[str, Any]) -> Any:
        return (await cloud.faults.add(ServiceFault.from_json(given["fault"]))).to_json()

    async def show(given: dict[str, Any]) -> Any:
        return [active.to_json() for active in cloud.faults.list()]

    async def clear(given: dict[str, Any]) -> Any:
        return [active.to_json() for active in await cloud.faults.clear(*given["ids"])]

    async def wait(given: dict[str, Any]) -> Any:
        active = cloud.faults.get(given["id"])
        try:
            async with asyncio.timeout(min(given["seconds"], MAX_WAIT_SECONDS)):
                await active.wait_until_applied()
        except TimeoutError:
            return None
        return active.to_json()

    async def calls(given: dict[str, Any]) -> Any:
        return {"count": cloud.faults.call_count, "calls": cloud.list_calls()}

    return {
        "/faults": show,
        "/faults/add": add,
        "/faults/clear": clear,
        "/faults/wait": wait,
        "/calls": calls,
    }


def _machine_handlers(cloud: SimulatedCloud) -> dict[str, Handler]:
    async def cut(given: dict[str, Any]) -> Any:
        return await cloud.cut_connections()

    async def show(given: dict[str, Any]) -> Any:
        return list(cloud.machine_levers.list_machines())

    async def pull(given: dict[str, Any]) -> None:
        await cloud.machine_levers.pull(given["lever"], given["ref"], given["program"], off=given["off"])

    return {"/cut": cut, "/machines": show, "/machines/pull": pull}
