"""The fake 1024GPU for the sandbox: the web API of 2020, POST with the parameters in the query."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route as WebRoute

from gpurent.api import (
    Evidence,
    ManualAccess,
    ProviderSimulator,
    Route,
    SimulatorContext,
    SimulatorLedgerEntry,
    SupportsManualRental,
)
from gpurent_plugin_gpu1024.simulator.books import SENDER, Gpu1024Books, ServiceRefusal
from gpurent_plugin_gpu1024.simulator.orders import OrderRoutes
from gpurent_plugin_gpu1024.simulator.payments import PLATFORM, PaymentRoutes
from gpurent_plugin_gpu1024.simulator.records import ContainerOrder, rent

DAY = 24 * 60
Act = Callable[[Mapping[str, str]], Awaitable[Any]]


class Gpu1024Simulator(ProviderSimulator, SupportsManualRental):
    """Settings: taken, garbled (once), missing, disk_bytes, api (off: no program is answered), email."""

    def __init__(self, site: SimulatorContext) -> None:
        self.books = Gpu1024Books(site)
        orders = OrderRoutes(self.books)
        paying = PaymentRoutes(self.books)
        rent, more, bind = "/rent", "/rent_continue", "/binding_email_rent"
        self._acts: dict[str, Act] = {
            "/query_all_machines": orders.machines,
            "/query_machine_by_id": orders.machine,
            f"{rent}/place_order": orders.place_order,
            f"{rent}/place_order_cpu": orders.place_order_cpu,
            f"{rent}/place_order_cpu_to_gpu": orders.place_order_cpu_to_gpu,
            f"{rent}/get_dbc_price": orders.dbc_price,
            f"{rent}/get_pay_dbc_count": orders.pay_dbc_count,
            f"{rent}/get_disk_deposit_list": orders.disk_list,
            f"{rent}/get_memory_deposit_list": orders.memory_list,
            f"{rent}/get_deposit_dbc_count": orders.deposit_count,
            f"{rent}/create_order": orders.create_order,
            f"{rent}/can_rent_this_machine": orders.can_rent,
            f"{rent}/get_dbchain_address": orders.address,
            f"{rent}/pay": paying.pay,
            f"{rent}/pay_update": paying.pay,
            f"{rent}/update_container_is_ok": orders.switched,
            f"{rent}/get_all_order": orders.all_gpu,
            f"{rent}/get_all_order_cpu": orders.all_cpu,
            f"{rent}/get_all_order_be_stopped": orders.all_stopped,
            f"{rent}/get_stop_code": paying.stop_code,
            f"{rent}/stop": paying.stop,
            f"{rent}/get_cancer_code": paying.cancel_code,
            f"{rent}/cancer_order": paying.cancel,
            f"{rent}/get_return_dbc_code": paying.return_code,
            f"{rent}/request_return_dbc": paying.return_dbc,
            f"{more}/continue_pay_place_order": orders.renewal_place,
            f"{more}/continue_pay_get_dbc_price": orders.renewal_price,
            f"{more}/continue_pay_get_pay_dbc_count": orders.renewal_count,
            f"{more}/continue_pay_create_order": orders.renewal_create,
            f"{more}/get_continue_pay_order_list": orders.renewals,
            f"{more}/continue_pay_voc_pay": paying.pay,
            f"{more}/continue_pay_cancer_order_code": paying.cancel_code,
            f"{more}/continue_pay_cancer_order": paying.cancel,
            f"{more}/continue_pay_return_dbc_code": paying.return_code,
            f"{more}/continue_pay_return_dbc": paying.return_dbc,
            f"{bind}/request_code": paying.bind_code,
            f"{bind}/request_binding": paying.bind,
            f"{bind}/binding_is_ok": paying.bound,
            f"{bind}/query_email": paying.bound_email,
        }
        self._repeat = paying.repeat_mail

    def routes(self) -> Sequence[Route]:
        known = [
            Route(
                method="POST",
                path=path,
                evidence=Evidence.SOURCE,
                note="path and fields; what it answers in part",
            )
            for path in self._acts
        ]
        return (*known, Route(method="GET", path="/rent/send_email_repeat", evidence=Evidence.SOURCE))

    def ledger(self) -> Sequence[SimulatorLedgerEntry]:
        return self.books.ledger

    def burning(self) -> Sequence[str]:
        return [order.id for order in self.books.orders.values() if order.rented and not order.over]

    def environment(self, url: str) -> Mapping[str, str]:
        return {
            "url": url,
            "mail_sender": SENDER,
            "platform": PLATFORM,
            "mode": "hands" if self._off else "auto",
        }

    @property
    def _off(self) -> bool:
        return self.books.site.settings.get("api") == "off"

    async def rent_by_hand(self) -> ManualAccess:
        """An order for the first free machine, paid for a day in the person's own wallet; its mail goes out."""
        books = self.books
        async with books.lock:
            wallet = "by-hand"
            books.emails[wallet] = books.site.settings.get("email", "student@sandbox.example")
            machine = next(found for found in books.machines.values() if books.free(found) > 0)
            order = ContainerOrder(
                id=secrets.token_hex(12),
                kind="gpu",
                mode="payment",
                code=0,
                machine=machine,
                wallet=wallet,
                price=Decimal("0.0026"),
            )
            order.gpus, order.data = 1, f"dbc-{order.id}"
            order.terms = [(DAY, rent(machine, 1, DAY, order.price))]
            order.created_at = order.asked_at = order.container_at = order.rented_at = books.now
            books.orders[order.id] = order
            books.entry(wallet, "rent", -order.due, order.id)
            await books.open(order)
            live = order.live
            if live is None:
                raise ServiceRefusal("没有开机")
            return ManualAccess(
                line=f"ssh -p {live.port} root@{live.host}", password=order.password, ref=order.id
            )

    async def stop_by_hand(self, ref: str) -> None:
        """The code goes out by mail as on the page; the person is trusted to have typed it."""
        async with self.books.lock:
            order = self.books.orders.get(ref)
            if order is None or order.over:
                return
            await self.books.mail_code(order, "stop")
            order.over, order.ended_well, order.stopped_at = True, True, self.books.now
            await self.books.close(order)

    async def tick(self) -> None:
        async with self.books.lock:
            with contextlib.suppress(httpx2.HTTPError):  # the ledger is away: the next tick does it
                await self.books.catch_up()

    def app(self) -> Starlette:
        routes = [WebRoute(path, self._serve(act), methods=["POST"]) for path, act in self._acts.items()]
        routes.append(WebRoute("/rent/send_email_repeat", self._serve(self._repeat), methods=["GET"]))
        return Starlette(routes=routes)

    def _serve(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            if self._off:
                return PlainTextResponse("closed", 503)
            given = dict(request.query_params)
            async with self.books.lock:
                try:
                    await self.books.catch_up()
                    status, msg, content = await _envelope(act, given)
                except httpx2.HTTPError:
                    return PlainTextResponse("the chain cannot be reached", 503)
            return JSONResponse({"status": status, "msg": msg, "content": content})

        return serve


async def _envelope(act: Act, given: Mapping[str, str]) -> tuple[int, str, Any]:
    if "user_name_platform" not in given or "language" not in given:
        return -1, "缺少参数", None
    try:
        found = await act(given)
    except ServiceRefusal as why:
        return -1, str(why), None
    except (KeyError, ValueError):
        return -1, "参数错误", None
    return found if isinstance(found, tuple) else (1, "", found)
