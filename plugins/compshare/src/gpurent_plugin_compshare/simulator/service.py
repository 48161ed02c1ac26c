"""The CompShare simulator for the sandbox, over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gpurent.api import (
    Evidence,
    Money,
    ProviderSimulator,
    SimulatorContext,
    SimulatorLedgerEntry,
    SimulatorRoute,
    render_exact_json,
)
from gpurent_plugin_compshare import _
from gpurent_plugin_compshare.simulator import pay_page
from gpurent_plugin_compshare.simulator.amounts import CNY
from gpurent_plugin_compshare.simulator.audit import CompShareAudit
from gpurent_plugin_compshare.simulator.calls import (
    UNKNOWN_ACTION,
    ApiAction,
    CompShareRefusal,
    authenticate,
    parse_fields,
)
from gpurent_plugin_compshare.simulator.catalog_actions import CatalogActions
from gpurent_plugin_compshare.simulator.instance_actions import InstanceActions
from gpurent_plugin_compshare.simulator.money_actions import MoneyActions
from gpurent_plugin_compshare.simulator.state import CompShareState

Endpoint = Callable[[Request], Awaitable[Response]]
IMAGE = "compshareImage-pytorch26"


class CompShareSimulator(CompShareAudit, ProviderSimulator):
    """Simulates CompShare.

    Settings: public_key and private_key (random by default), free, level, real_name (no: not verified), boot_seconds,
    lock_minutes, bill_delay_hours, discount (1: night, 2: holiday), cardless and image (of the plugin), price_field,
    missing, disk_bytes, api (off: every request gets a 503).
    """

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        self.state = CompShareState(context)
        price_field = context.settings.get("price_field", "PriceDetails")
        self._actions: dict[str, ApiAction] = {
            action.name: action
            for action in (
                *CatalogActions(self.state, price_field).list_actions(),
                *InstanceActions(self.state).list_actions(),
                *MoneyActions(self.state).list_actions(),
            )
        }

    def list_routes(self) -> Sequence[SimulatorRoute]:
        """Return each action as a route of its own: all of them are forms that are sent to one address."""
        signed = _(
            "a signed form; that errors have status 200, and the codes of a bad signature, are assumed"
        )
        return [
            SimulatorRoute(method="POST", path="/", evidence=Evidence.DOCUMENTED, note=signed),
            *(
                SimulatorRoute(
                    method="POST", path=f"/?Action={action.name}", evidence=action.evidence, note=action.note
                )
                for action in self._actions.values()
            ),
            *(
                SimulatorRoute(
                    method=method, path=path, evidence=Evidence.ASSUMED, note=_("the sandbox's own page")
                )
                for path, method in pay_page.METHODS.items()
            ),
        ]

    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        """Return the ledger: money that was paid in, and each bill as far as no coupon paid it."""
        found = []
        for account in self.state.accounts:
            rows = [(paid.at, "top-up", paid.amount, f"top-up-{paid.id}") for paid in account.top_ups]
            rows += [
                (bill.at, bill.order_type, -bill.cash, bill.resource) for bill in account.bills if bill.cash
            ]
            found += [
                SimulatorLedgerEntry(
                    at=at, account=account.project, kind=kind, amount=Money(units, CNY), ref=ref
                )
                for at, kind, units, ref in rows
            ]
        return sorted(found, key=lambda entry: entry.at)

    def list_billed_machines(self) -> Sequence[str]:
        """Return the machines that cost money: one that is stopped, only for what its disks have beyond 100 GB."""
        return [
            instance.id
            for _account, instance in self.state.iter_instances()
            if instance.state != "Stopped" or instance.is_prepaid or instance.stopped_rate
        ]

    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        settings = self._context.settings
        return {
            "url": url,
            "billing_page": f"{url}{pay_page.PATH}",
            "image": settings.get("image", IMAGE),
            "cardless": settings.get("cardless", "no"),
        }

    def get_app(self) -> Starlette:
        page = self._with_lock(self._serve_pay_page)
        return Starlette(
            routes=[
                Route("/", self._with_lock(self._serve_action), methods=["POST"]),
                *(Route(path, page, methods=[method]) for path, method in pay_page.METHODS.items()),
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

    async def _serve_pay_page(self, request: Request) -> Response:
        return await pay_page.serve_pay_page(self.state, request)

    async def _serve_action(self, request: Request) -> Response:
        fields = parse_fields(request.url.query, await request.body())
        name = fields.get("Action", "")
        try:
            call = authenticate(self.state.accounts, fields)
            action = self._actions.get(name)
            if action is None:
                raise CompShareRefusal(UNKNOWN_ACTION, f"Action [{name}] not exist")
            return _make_response({"RetCode": 0, "Action": f"{name}Response", **await action.handle(call)})
        except CompShareRefusal as why:
            return _make_response({"RetCode": why.code, "Action": f"{name}Response", "Message": why.message})


def _make_response(answer: Mapping[str, Any]) -> Response:
    return Response(render_exact_json(answer), media_type="application/json")
