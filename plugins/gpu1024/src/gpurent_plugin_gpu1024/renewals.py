"""More time on a running order."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from attrs import evolve, frozen

from gpurent.api import Bill, Lease, LeaseError, Order, Payment, Pending, PluginContext, Purpose, Spent
from gpurent_plugin_gpu1024 import wire
from gpurent_plugin_gpu1024.calls import Calls, too_late
from gpurent_plugin_gpu1024.codes import RECLAIM_RENEWAL, Codes
from gpurent_plugin_gpu1024.messages import _
from gpurent_plugin_gpu1024.orders import WINDOW, minutes_of
from gpurent_plugin_gpu1024.wire import DONE, FAILED, WORKING


@frozen(kw_only=True)
class _Noted:
    """The renewal that we asked for: noted before it is created."""

    ref: str
    minutes: int
    at: datetime


class Renewals:
    """The calls under ``/rent_continue``."""

    def __init__(self, host: PluginContext, calls: Calls) -> None:
        self._host, self._calls = host, calls

    async def place(self, order: Order) -> tuple[str, Bill]:
        """The shop's renewal and its bill; the same one when called again."""
        noted = self._noted(order.key)
        found = await self._resumed(order.onto, noted) if noted else None
        if noted is None or found is None:
            noted = await self._draft(order)
            await self._create(order.onto, noted)
            found = await self._listed(order.onto, noted.ref)
        if found is None:
            raise LeaseError(
                _("1024GPU took the renewal, but does not list it"),
                hint=_("Nothing was spent."),
                retryable=True,
            )
        payee = (await self._calls.must("/rent/get_dbchain_address", order_id=order.onto)).text()
        bill = Bill(
            key=order.key,
            payee=payee,
            amount=found.bill,
            purpose=Purpose.RENEWAL,
            memo=noted.ref,
            due=noted.at + WINDOW,
        )
        return noted.ref, bill

    def _noted(self, key: str) -> _Noted | None:
        text = self._host.notes.get(f"renewal/{key}")
        if not text:
            return None
        raw = json.loads(text)
        return _Noted(ref=raw["ref"], minutes=raw["minutes"], at=datetime.fromisoformat(raw["at"]))

    async def _resumed(self, order_id: str, noted: _Noted) -> wire.Renewal | None:
        """The noted renewal, created once more if it never was; None when it cannot be used any longer."""
        found = await self._listed(order_id, noted.ref)
        if found is None:
            try:
                await self._create(order_id, noted)
            except LeaseError:
                return None
            found = await self._listed(order_id, noted.ref)
        return None if found is None or found.cancelled else found

    async def _draft(self, order: Order) -> _Noted:
        found = await self._calls.must("/rent_continue/continue_pay_place_order", order_id=order.onto)
        draft = found.record()
        ref = draft.get("continue_pay_order_id")
        if not isinstance(ref, str):
            raise found.changed(_("a renewal without its number"))
        minutes = minutes_of(order.term or timedelta(hours=1))
        longest = int(wire.number(draft.get("time_max", 0), found))
        if longest and minutes > longest:
            raise LeaseError(
                _("1024GPU renews for at most {longest} minutes").format(longest=longest),
                hint=_("Nothing was spent. Ask for less."),
            )
        await self._calls.must("/rent_continue/continue_pay_get_dbc_price", continue_pay_order_id=ref)
        await self._calls.must(
            "/rent_continue/continue_pay_get_pay_dbc_count",
            continue_pay_order_id=ref,
            rent_time_length=str(minutes),
        )
        noted = _Noted(ref=ref, minutes=minutes, at=self._host.clock.now())
        record = {"ref": ref, "minutes": minutes, "at": noted.at.isoformat()}
        self._host.notes.put(f"renewal/{order.key}", json.dumps(record))
        return noted

    async def _create(self, order_id: str, noted: _Noted) -> None:
        await self._calls.must(
            "/rent_continue/continue_pay_create_order",
            order_id=order_id,
            continue_pay_order_id=noted.ref,
            rent_time_length=str(noted.minutes),
        )

    async def _listed(self, order_id: str, ref: str) -> wire.Renewal | None:
        found = await self._calls.must("/rent_continue/get_continue_pay_order_list", order_id=order_id)
        return next((renewal for renewal in wire.renewals(found) if renewal.id == ref), None)

    async def paid(self, ref: str, payment: Payment) -> bool:
        """Whether the shop has seen the payment."""
        params = {"continue_pay_order_id": ref, "dbc_hash": payment.proof}
        found = await self._calls.act("/rent_continue/continue_pay_voc_pay", params, Spent.YES)
        if found.status == FAILED:
            raise too_late(found.msg, payment)
        return found.status == DONE

    async def settle(self, lease: Lease, pending: Pending, codes: Codes) -> Lease:
        """A renewal that was begun before giving back: verified if it was paid, reclaimed if paid too late."""
        params = {"continue_pay_order_id": pending.ref}
        found = await self._calls.act("/rent_continue/continue_pay_voc_pay", params, Spent.UNKNOWN)
        if found.status == WORKING:
            return evolve(lease, note=_("a payment is being verified; it is given back after that"))
        if found.status == FAILED:
            listed = await self._listed(lease.ref, pending.ref)
            if listed is not None and listed.pay_error and not listed.returned:
                await codes.do(
                    RECLAIM_RENEWAL, pending.ref, lease.id, lambda: self._returned(lease.ref, pending.ref)
                )
        return evolve(lease, pending=None)

    async def _returned(self, order_id: str, ref: str) -> bool:
        listed = await self._listed(order_id, ref)
        return listed is None or listed.returned
