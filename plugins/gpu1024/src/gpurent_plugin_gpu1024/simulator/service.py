"""The 1024GPU simulator for the sandbox: the web API of 2020, POST with the parameters in the query string."""

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
    SimulatorContext,
    SimulatorLedgerEntry,
    SimulatorRoute,
    SupportsManualRental,
)
from gpurent_plugin_gpu1024 import _
from gpurent_plugin_gpu1024.simulator.audit import Gpu1024Audit
from gpurent_plugin_gpu1024.simulator.orders import OrderRoutes
from gpurent_plugin_gpu1024.simulator.payments import PaymentRoutes
from gpurent_plugin_gpu1024.simulator.records import ContainerOrder, compute_rent
from gpurent_plugin_gpu1024.simulator.state import PLATFORM_ADDRESS, SENDER, Gpu1024Refusal, Gpu1024State

DAY_MINUTES = 24 * 60
Act = Callable[[Mapping[str, str]], Awaitable[Any]]


class Gpu1024Simulator(Gpu1024Audit, ProviderSimulator, SupportsManualRental):
    """Simulates 1024GPU.

    Settings: taken, garbled (once), missing, disk_bytes, api (off: every request gets a 503), email.
    """

    def __init__(self, context: SimulatorContext) -> None:
        self.state = Gpu1024State(context)
        orders = OrderRoutes(self.state)
        paying = PaymentRoutes(self.state)
        rent, more, bind = "/rent", "/rent_continue", "/binding_email_rent"
        self._handlers: dict[str, Act] = {
            "/query_all_machines": orders.list_machines,
            "/query_machine_by_id": orders.get_machine,
            "/try_rent/place_order": orders.place_trial,
            f"{rent}/place_order": orders.place_order,
            f"{rent}/place_order_cpu": orders.place_order_cpu,
            f"{rent}/place_order_cpu_to_gpu": orders.place_order_cpu_to_gpu,
            f"{rent}/place_order_gpu_to_cpu": orders.place_order_gpu_to_cpu,
            f"{rent}/place_order_stop_to_cpu": orders.place_order_stop_to_cpu,
            f"{rent}/place_order_stop_to_gpu": orders.place_order_stop_to_gpu,
            f"{rent}/get_dbc_price": orders.get_dbc_price,
            f"{rent}/get_pay_dbc_count": orders.get_pay_dbc_count,
            f"{rent}/get_disk_deposit_list": orders.list_disk_sizes,
            f"{rent}/get_memory_deposit_list": orders.list_memory_sizes,
            f"{rent}/get_max_disk_can_use": orders.get_max_disk,
            f"{rent}/get_deposit_dbc_count": orders.get_deposit_dbc_count,
            f"{rent}/create_order": orders.create_order,
            f"{rent}/can_rent_this_machine": orders.can_rent_machine,
            f"{rent}/get_dbchain_address": orders.get_payment_address,
            f"{rent}/pay": paying.verify_payment,
            f"{rent}/pay_update": paying.verify_payment,
            f"{rent}/update_container_is_ok": orders.is_switched,
            f"{rent}/get_all_order": orders.list_gpu_orders,
            f"{rent}/get_all_order_cpu": orders.list_cpu_orders,
            f"{rent}/get_all_order_be_stopped": orders.list_stopped_orders,
            f"{rent}/get_stop_code": paying.send_stop_code,
            f"{rent}/stop": paying.stop_order,
            # "cancer" is the service's own spelling of cancel.
            f"{rent}/get_cancer_code": paying.send_cancel_code,
            f"{rent}/cancer_order": paying.cancel_unpaid,
            f"{rent}/get_return_dbc_code": paying.send_return_code,
            f"{rent}/request_return_dbc": paying.return_dbc,
            f"{more}/continue_pay_place_order": orders.place_renewal,
            f"{more}/continue_pay_get_dbc_price": orders.get_renewal_price,
            f"{more}/continue_pay_get_pay_dbc_count": orders.get_renewal_dbc_count,
            f"{more}/continue_pay_create_order": orders.create_renewal,
            f"{more}/get_continue_pay_order_list": orders.list_renewals,
            f"{more}/continue_pay_voc_pay": paying.verify_payment,
            f"{more}/continue_pay_cancer_order_code": paying.send_cancel_code,
            f"{more}/continue_pay_cancer_order": paying.cancel_unpaid,
            f"{more}/continue_pay_return_dbc_code": paying.send_return_code,
            f"{more}/continue_pay_return_dbc": paying.return_dbc,
            f"{bind}/request_code": paying.send_binding_code,
            f"{bind}/request_binding": paying.request_binding,
            f"{bind}/binding_is_ok": paying.is_email_bound,
            f"{bind}/request_code_modify": paying.send_change_code,
            f"{bind}/request_binding_modify": paying.request_mail_change,
            f"{bind}/binding_is_ok_modify": paying.is_mail_changed,
            f"{bind}/query_email": paying.get_bound_email,
        }
        self._resend_handler = paying.resend_access_mail

    def list_routes(self) -> Sequence[SimulatorRoute]:
        known = [
            SimulatorRoute(
                method="POST",
                path=path,
                evidence=Evidence.SOURCE,
                note=_describe_evidence(path),
            )
            for path in self._handlers
        ]
        return (
            *known,
            SimulatorRoute(method="GET", path="/rent/send_email_repeat", evidence=Evidence.SOURCE),
        )

    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        return self.state.ledger

    def list_billed_machines(self) -> Sequence[str]:
        return [order.id for order in self.state.orders.values() if order.rented and not order.over]

    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        return {
            "url": url,
            "mail_sender": SENDER,
            "binding_address": PLATFORM_ADDRESS,
            "mode": "manual" if self._is_api_off else "auto",
        }

    @property
    def _is_api_off(self) -> bool:
        return self.state.context.settings.get("api") == "off"

    async def rent_manually(self) -> ManualAccess:
        """Order the first free machine, paid for a day from the person's own wallet; the access e-mail is sent."""
        books = self.state
        async with books.lock:
            wallet = "manual"
            books.emails[wallet] = books.context.settings.get("email", "student@sandbox.example")
            machine = next(found for found in books.machines.values() if books.count_free_gpus(found) > 0)
            order = ContainerOrder(
                id=secrets.token_hex(12),
                kind="gpu",
                mode="payment",
                payment_mark=0,
                machine=machine,
                wallet=wallet,
                price=Decimal("0.0026"),
            )
            order.gpus, order.task_id = 1, f"dbc-{order.id}"
            order.terms = [(DAY_MINUTES, compute_rent(machine, 1, DAY_MINUTES, order.price))]
            order.created_at = order.container_requested_at = order.container_at = order.rented_at = books.now
            books.orders[order.id] = order
            books.add_ledger_entry(wallet, "rent", -order.amount_due, order.id)
            await books.boot_container(order)
            live = order.container
            if live is None:
                raise Gpu1024Refusal("没有开机")
            return ManualAccess(
                ssh_command=f"ssh -p {live.port} root@{live.host}", password=order.password, ref=order.id
            )

    async def stop_manually(self, ref: str) -> None:
        """Mail the code as the page does, and stop the order as if the person had entered it."""
        async with self.state.lock:
            order = self.state.orders.get(ref)
            if order is None or order.over:
                return
            await self.state.send_code_mail(order, "stop")
            order.over, order.ended_well, order.stopped_at = True, True, self.state.now
            await self.state.kill_container(order)

    async def tick(self) -> None:
        async with self.state.lock:
            with contextlib.suppress(httpx2.HTTPError):  # the ledger cannot be reached: the next tick retries
                await self.state.catch_up()

    def get_app(self) -> Starlette:
        routes = [
            WebRoute(path, self._make_endpoint(act), methods=["POST"]) for path, act in self._handlers.items()
        ]
        routes.append(
            WebRoute("/rent/send_email_repeat", self._make_endpoint(self._resend_handler), methods=["GET"])
        )
        return Starlette(routes=routes)

    def _make_endpoint(self, handler: Act) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            if self._is_api_off:
                return PlainTextResponse("closed", 503)
            given = dict(request.query_params)
            async with self.state.lock:
                try:
                    await self.state.catch_up()
                    status, msg, content = await _make_envelope(handler, given)
                except httpx2.HTTPError:
                    return PlainTextResponse("the chain cannot be reached", 503)
            return JSONResponse({"status": status, "msg": msg, "content": content})

        return serve


def _describe_evidence(path: str) -> str:
    """Return what of the route is known from the public client, and what is not."""
    assumed = {
        "/try_rent/place_order": _("path, fields, and who gets a trial; how it is refused is assumed"),
        "/rent/place_order_gpu_to_cpu": _(
            "path and fields; that the unused time of the GPU is refunded is assumed"
        ),
        "/binding_email_rent/request_code_modify": _(
            "path and fields; that the code goes to the new address is assumed"
        ),
    }
    return assumed.get(path) or _("path and fields; the answer only in part")


async def _make_envelope(handler: Act, given: Mapping[str, str]) -> tuple[int, str, Any]:
    if "user_name_platform" not in given or "language" not in given:
        return -1, "缺少参数", None
    try:
        found = await handler(given)
    except Gpu1024Refusal as why:
        return -1, str(why), None
    except (KeyError, ValueError):
        return -1, "参数错误", None
    return found if isinstance(found, tuple) else (1, "", found)
