"""The simulator's routes for payments and mailed codes: orders, renewals, binding an e-mail address."""

from __future__ import annotations

import secrets
from typing import Any

from gpurent_plugin_gpu1024.simulator.orders import WORKING, Params
from gpurent_plugin_gpu1024.simulator.records import UNIT, ContainerOrder, OrderRenewal, to_json_number
from gpurent_plugin_gpu1024.simulator.state import (
    PAYMENT_WINDOW,
    Gpu1024Refusal,
    Gpu1024State,
)


class PaymentRoutes:
    """For orders and renewals: verify the payment, cancel, or reclaim a late payment. Also stops an order."""

    def __init__(self, state: Gpu1024State) -> None:
        self._state = state

    def _get_payable(self, given: Params) -> ContainerOrder | OrderRenewal:
        if "continue_pay_order_id" in given:
            return self._state.get_renewal(given["continue_pay_order_id"])
        return self._state.get_order(given["order_id"])

    async def verify_payment(self, given: Params) -> Any:
        """Look for the payment on the ledger, also for a switch."""
        thing, books = self._get_payable(given), self._state
        order = thing.order
        if thing.rented:
            return True
        if thing.created_at is None or thing.returned:
            raise Gpu1024Refusal("订单不能支付")
        if thing.pay_error:
            raise Gpu1024Refusal("支付超时")
        seen = await books.find_payment(
            given.get("dbc_hash", ""), order.wallet, order.address, thing.amount_due
        )
        if seen is None:
            return WORKING
        digest, at = seen
        books.counted_transfers.add(digest)
        is_late = at > thing.created_at + PAYMENT_WINDOW
        if thing.cancelled or is_late or not self._has_container(thing):
            thing.pay_error = True
            books.add_ledger_entry(order.wallet, "late", -thing.amount_due, thing.id)
            raise Gpu1024Refusal("支付超时")
        if isinstance(thing, ContainerOrder):
            await books.start_rental(thing)
        else:
            thing.done = True
            order.payment_marks_total += thing.payment_mark
            order.terms.append((thing.minutes, thing.total))
            books.add_ledger_entry(order.wallet, "renewal", -thing.amount_due, order.id)
        return True

    def _has_container(self, thing: ContainerOrder | OrderRenewal) -> bool:
        """Return whether the container is still there that the payment is for."""
        if not isinstance(thing, ContainerOrder):
            return not thing.order.over
        if not thing.switched_from:
            return not thing.over
        before = self._state.orders[thing.switched_from]
        return before.kept_until is not None if thing.starts_stopped else not before.over

    def _get_unpaid(self, given: Params) -> ContainerOrder | OrderRenewal:
        thing = self._get_payable(given)
        if thing.rented or thing.cancelled or thing.pay_error or thing.created_at is None:
            raise Gpu1024Refusal("订单不能取消")
        return thing

    async def send_cancel_code(self, given: Params) -> Any:
        await self._state.send_code_mail(self._get_unpaid(given), "cancel")
        return True

    async def cancel_unpaid(self, given: Params) -> Any:
        thing = self._get_unpaid(given)
        self._state.redeem_code(thing, "cancel", given["cancer_code"])
        thing.cancelled = True
        return True

    def _get_paid_late(self, given: Params) -> ContainerOrder | OrderRenewal:
        thing = self._get_payable(given)
        if not thing.pay_error or thing.returned:
            raise Gpu1024Refusal("没有可以退回的支付")
        return thing

    async def send_return_code(self, given: Params) -> Any:
        await self._state.send_code_mail(self._get_paid_late(given), "refund")
        return True

    async def return_dbc(self, given: Params) -> Any:
        thing = self._get_paid_late(given)
        self._state.redeem_code(thing, "refund", given["return_code"])
        deposit = isinstance(thing, ContainerOrder) and thing.mode == "deposit"
        memo = "deposit-refund" if deposit else "refund"
        await self._state.send_refund(thing.order, thing.amount_due, memo, f"{thing.id}-late")
        thing.returned = True
        return True

    def _get_running_order(self, given: Params) -> ContainerOrder:
        order = self._state.get_order(given["order_id"])
        if not order.rented or order.over:
            raise Gpu1024Refusal("订单已结束")
        return order

    async def send_stop_code(self, given: Params) -> Any:
        await self._state.send_code_mail(self._get_running_order(given), "stop")
        return True

    async def stop_order(self, given: Params) -> Any:
        order = self._get_running_order(given)
        self._state.redeem_code(order, "stop", given["stop_code"])
        await self._state.end_order(order, well=True)
        return True

    async def resend_access_mail(self, given: Params) -> Any:
        await self._state.send_access_mail(self._get_running_order(given))
        return True

    # binding an e-mail address costs a small mailed amount

    async def send_binding_code(self, given: Params) -> Any:
        return await self._send_fee_code(self._state.bindings, given)

    async def send_change_code(self, given: Params) -> Any:
        """Mail a code to the new address (assumed: to that one); the bound one stays until the payment is seen."""
        if given["wallet_address"] not in self._state.emails:
            raise Gpu1024Refusal("没有绑定邮箱")
        return await self._send_fee_code(self._state.mail_changes, given)

    async def _send_fee_code(self, asked_by_wallet: dict[str, tuple[str, int, bool]], given: Params) -> Any:
        wallet = given["wallet_address"]
        email, code, asked = asked_by_wallet.get(wallet, ("", 0, False))
        if email != given["email"] or not code:
            # A repeated request for the same address mails the same code, so that a payment already made with it
            # counts.
            code, asked = (secrets.randbelow(8999) + 1000) * UNIT // 10**4, False
        asked_by_wallet[wallet] = (given["email"], code, asked)
        await self._state.send_mail_to(
            given["email"], "绑定邮箱", f"请转账以下数量的 DBC 完成绑定。\n验证码：{to_json_number(code)}\n"
        )
        return True

    async def request_binding(self, given: Params) -> Any:
        return _take_fee_code(self._state.bindings, given)

    async def request_mail_change(self, given: Params) -> Any:
        return _take_fee_code(self._state.mail_changes, given)

    async def is_mail_changed(self, given: Params) -> Any:
        return True if await self._state.settle_mail_change(given["wallet_address"]) else WORKING

    async def is_email_bound(self, given: Params) -> Any:
        wallet, books = given["wallet_address"], self._state
        if wallet in books.emails:
            return True
        return True if await books.settle_binding(wallet) else WORKING

    async def get_bound_email(self, given: Params) -> Any:
        email = self._state.emails.get(given["wallet_address"])
        if email is None:
            raise Gpu1024Refusal("没有绑定邮箱")
        return email


def _take_fee_code(asked_by_wallet: dict[str, tuple[str, int, bool]], given: Params) -> Any:
    wallet = given["wallet_address"]
    email, code, _asked = asked_by_wallet.get(wallet, ("", 0, False))
    if not email or given["code"] != str(to_json_number(code)):
        raise Gpu1024Refusal("验证码错误")
    asked_by_wallet[wallet] = (email, code, True)
    return WORKING
