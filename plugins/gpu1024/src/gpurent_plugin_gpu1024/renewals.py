"""Renewals, and unfinished orders that the provider's list lacks."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from attrs import asdict, evolve, frozen

from gpurent.api import (
    CONFIRMATION_INTERVAL,
    Bill,
    Lease,
    LeaseError,
    Order,
    PaymentPurpose,
    PendingOrder,
    PluginContext,
    Spent,
)
from gpurent_plugin_gpu1024 import _, ngettext, wire
from gpurent_plugin_gpu1024.client import REFUND_RENEWAL, RENEWAL_PATH, Gpu1024Client
from gpurent_plugin_gpu1024.orders import PAYMENT_WINDOW
from gpurent_plugin_gpu1024.sizes import to_minutes

_MISSING_SINCE = "order_missing_since"


@frozen(kw_only=True)
class _RenewalDraft:
    """A requested renewal, saved before it is created; ``at`` is an ISO time."""

    ref: str
    minutes: int
    at: str


class Gpu1024Renewals:
    """Renewals: the calls under ``/rent_continue``."""

    def __init__(self, context: PluginContext, client: Gpu1024Client) -> None:
        self._context, self._client = context, client

    async def place_renewal(self, order: Order) -> tuple[str, Bill]:
        """Place the provider's renewal and return its number and bill; repeated calls return the same ones."""
        text = await self._context.state.get(f"renewal/{order.key}")
        noted = _RenewalDraft(**json.loads(text)) if text else None
        found = await self._resume_draft(order.onto, noted) if noted else None
        if noted is None or found is None:
            noted = await self._make_draft(order)
            await self._create_renewal(order.onto, noted)
            found = await self._find_renewal(order.onto, noted.ref)
        if found is None:
            raise LeaseError(
                _("1024GPU accepted the renewal but does not list it"),
                retryable=True,
            )
        payee = (await self._client.call_checked("/rent/get_dbchain_address", order_id=order.onto)).get_text()
        bill = Bill(
            key=order.key,
            payee=payee,
            payee_per_order=True,
            amount=found.bill,
            purpose=PaymentPurpose.RENEWAL,
            memo=noted.ref,
            due=datetime.fromisoformat(noted.at) + PAYMENT_WINDOW,
        )
        return noted.ref, bill

    async def _resume_draft(self, order_id: str, noted: _RenewalDraft) -> wire.ListedRenewal | None:
        """Return the saved renewal, created if it does not exist; None if it cannot be used any longer."""
        found = await self._find_renewal(order_id, noted.ref)
        if found is None:
            try:
                await self._create_renewal(order_id, noted)
            except LeaseError:
                return None
            found = await self._find_renewal(order_id, noted.ref)
        return None if found is None or found.cancelled else found

    async def _make_draft(self, order: Order) -> _RenewalDraft:
        found = await self._client.call_checked(
            "/rent_continue/continue_pay_place_order", order_id=order.onto
        )
        draft = found.get_record()
        ref = draft.get("continue_pay_order_id")
        if not isinstance(ref, str):
            raise found.make_unexpected_response(_("a renewal without a number"))
        minutes = to_minutes(order.term or timedelta(hours=1))
        longest = wire.parse_count(draft.get("time_max"), found)
        if longest and minutes > longest:
            raise LeaseError(
                ngettext(
                    "1024GPU renews for at most {longest} minute",
                    "1024GPU renews for at most {longest} minutes",
                    longest,
                ).format(longest=longest),
                hint=_("Choose a shorter time."),
            )
        await self._client.call_checked(
            "/rent_continue/continue_pay_get_dbc_price", continue_pay_order_id=ref
        )
        await self._client.call_checked(
            "/rent_continue/continue_pay_get_pay_dbc_count",
            continue_pay_order_id=ref,
            rent_time_length=str(minutes),
        )
        noted = _RenewalDraft(ref=ref, minutes=minutes, at=self._context.clock.now().isoformat())
        await self._context.state.put(f"renewal/{order.key}", json.dumps(asdict(noted)))
        return noted

    async def _create_renewal(self, order_id: str, noted: _RenewalDraft) -> None:
        await self._client.call_checked(
            "/rent_continue/continue_pay_create_order",
            order_id=order_id,
            continue_pay_order_id=noted.ref,
            rent_time_length=str(noted.minutes),
        )

    async def _find_renewal(self, order_id: str, ref: str) -> wire.ListedRenewal | None:
        found = await self._client.call_checked(
            "/rent_continue/get_continue_pay_order_list", order_id=order_id
        )
        return next((renewal for renewal in wire.parse_renewals(found) if renewal.id == ref), None)

    async def settle_pending(self, lease: Lease, pending: PendingOrder) -> Lease:
        """Settle a renewal that was begun before the release: verified if paid, reclaimed if paid too late.

        ``pending`` stays while the payment is being verified, and while the list lacks the renewal.
        """
        found = await self._client.call(RENEWAL_PATH, Spent.UNKNOWN, continue_pay_order_id=pending.ref)
        if found.status == wire.WORKING:
            return evolve(lease, note=_("a payment is being verified; the lease is released after that"))
        if found.status == wire.FAILED:
            listed = await self._find_renewal(lease.ref, pending.ref)
            if listed is None:
                return note_missing_order(lease, self._context.clock.now())
            if listed.pay_error and not listed.returned:
                await self._client.perform_action(
                    REFUND_RENEWAL, pending.ref, lease.id, lambda: self._is_returned(lease.ref, pending.ref)
                )
        return evolve(lease, pending=None)

    async def _is_returned(self, order_id: str, ref: str) -> bool:
        listed = await self._find_renewal(order_id, ref)
        return listed is not None and listed.returned


def note_missing_order(lease: Lease, now: datetime) -> Lease:
    """Return the lease without its unfinished order, once two answers far enough apart lack the order."""
    since = lease.provider_data.get(_MISSING_SINCE)
    if since is not None and now - datetime.fromisoformat(since) >= CONFIRMATION_INTERVAL:
        return evolve(lease, pending=None)
    facts = {_MISSING_SINCE: now.isoformat(), **lease.provider_data}
    note = _("the provider's list does not contain this order at the moment")
    return evolve(lease, provider_data=facts, note=note)
