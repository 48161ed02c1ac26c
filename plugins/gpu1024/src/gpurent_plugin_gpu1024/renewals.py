"""More time on a running order."""

from __future__ import annotations

from datetime import timedelta

from gpurent.api import Bill, Host, LeaseError, Money, MoneyError, Order, PaidTooLate, Payment, Purpose, Spent
from gpurent_plugin_gpu1024 import wire
from gpurent_plugin_gpu1024.calls import Calls
from gpurent_plugin_gpu1024.wire import DONE, FAILED


class Renewals:
    """The calls under ``/rent_continue``."""

    def __init__(self, host: Host, calls: Calls) -> None:
        self._host, self._calls = host, calls

    async def place(self, order: Order) -> tuple[str, Bill]:
        """The shop's renewal and its bill; the same one when called again."""
        note = f"renewal/{order.key}"
        known = self._host.notes.get(note)
        listed = await self._listed(order.onto, known) if known else None
        if listed is None or known is None:
            known = await self._create(order, note)
            listed = await self._listed(order.onto, known)
        if listed is None:
            raise LeaseError(
                "1024GPU took the renewal, but does not list it", hint="Nothing was spent.", retryable=True
            )
        payee = (await self._calls.must("/rent/get_dbchain_address", order_id=order.onto)).text()
        return known, Bill(key=order.key, payee=payee, amount=listed, purpose=Purpose.RENEWAL, memo=known)

    async def _create(self, order: Order, note: str) -> str:
        found = await self._calls.must("/rent_continue/continue_pay_place_order", order_id=order.onto)
        draft = found.record()
        renewal = draft.get("continue_pay_order_id")
        if not isinstance(renewal, str):
            raise found.changed("a renewal without its number")
        minutes = -(-(order.term or timedelta(hours=1)) // timedelta(minutes=1))
        longest = int(wire.number(draft.get("time_max", 0), found))
        if longest and minutes > longest:
            raise LeaseError(
                f"1024GPU renews for at most {longest} minutes", hint="Nothing was spent. Ask for less."
            )
        await self._calls.must("/rent_continue/continue_pay_get_dbc_price", continue_pay_order_id=renewal)
        await self._calls.must(
            "/rent_continue/continue_pay_get_pay_dbc_count",
            continue_pay_order_id=renewal,
            rent_time_length=str(minutes),
        )
        self._host.notes.put(note, renewal)
        await self._calls.must(
            "/rent_continue/continue_pay_create_order",
            order_id=order.onto,
            continue_pay_order_id=renewal,
            rent_time_length=str(minutes),
        )
        return renewal

    async def _listed(self, order_id: str, renewal: str) -> Money | None:
        found = await self._calls.must("/rent_continue/get_continue_pay_order_list", order_id=order_id)
        for row in found.rows():
            if row.get("continue_pay_order_id") == renewal and not row.get("order_is_cancer"):
                code = wire.money(row.get("code", "0"), found)
                return wire.money(row.get("dbc_total_count"), found) + code
        return None

    async def paid(self, renewal: str, payment: Payment) -> bool:
        """Whether the shop has seen the payment."""
        found = await self._calls.call(
            "/rent_continue/continue_pay_voc_pay", continue_pay_order_id=renewal, dbc_hash=payment.proof
        )
        if found.status == FAILED:
            raise too_late(found.msg, payment)
        return found.status == DONE


def too_late(msg: str, payment: Payment) -> MoneyError:
    """The shop refuses what was paid."""
    return PaidTooLate(
        f"1024GPU does not accept the payment of {payment.amount}: {msg or 'no reason given'}",
        hint="It can be reclaimed with a mailed code: giving the lease back does that.",
        spent=Spent.YES,
    )
