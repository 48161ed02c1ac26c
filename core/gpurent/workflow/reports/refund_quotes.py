"""Asks providers what they give back for a lease (`SupportsRefundQuote`), and compares it with what came back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from attrs import evolve, frozen

from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.offer import Prepaid
from gpurent.domain.receipt import Charge, ChargeKind, Receipt
from gpurent.domain.refunds import RefundQuote, compare_refund
from gpurent.locale import _
from gpurent.roles.lease import SupportsRefundQuote
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.reports.receipts import POLL_INTERVAL, REFUND_TIMEOUT, Receipts
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.unforeseen import to_gpurent_error

ASK_SECONDS = 20.0
_REFUND_KINDS = (ChargeKind.REFUND, ChargeKind.DEPOSIT_REFUND)
# Times of charges may be cut to minutes.
_PRECISION = timedelta(minutes=1)


@frozen
class RefundQuotes:
    leases: LeaseTracker
    receipts: Receipts
    bookkeeping: Bookkeeping

    async def find_quote(self, lease: Lease) -> RefundQuote | Unknown | None:
        """Ask what would come back for the lease now; `Unknown` if that cannot be told, None if nobody can be asked."""
        if lease.is_over or not lease.ref or lease.needs_proof:
            return None
        try:
            provider = self.leases.plugins.provider_of(lease)
            if not isinstance(provider, SupportsRefundQuote):
                return None
            money = await asyncio.wait_for(provider.quote_refund(lease), ASK_SECONDS)
        except TimeoutError:
            return Unknown(_("it did not answer in time"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the machine can be released all the same
            return Unknown(to_gpurent_error(error).message)
        return RefundQuote(money=money, at=self.leases.get_time(lease))

    async def list_lines(self, lease: Lease) -> list[str]:
        """Return what a question about a release says of the money that comes back."""
        quote = await self.find_quote(lease)
        is_prepaid = isinstance(lease.offer.tariff, Prepaid)
        if isinstance(quote, Unknown):
            text = _("{provider} does not say now what it gives back: {why}")
            return [text.format(provider=lease.provider, why=quote.reason)] if is_prepaid else []
        if quote is not None and quote.money.amount:
            text = _("released now, {provider} gives back {money}")
            return [text.format(provider=lease.provider, money=quote.money)]
        if quote is not None and is_prepaid:
            text = _("released now, {provider} gives back nothing of what was paid in advance")
            return [text.format(provider=lease.provider)]
        return []

    async def get_receipt(self, lease: Lease, quote: RefundQuote | None) -> Receipt:
        """Return the receipt of a released lease; wait for what ``quote`` says, and compare it."""

        async def look(timeout: timedelta = timedelta()) -> Receipt:
            receipt = await self.receipts.get_lease_receipt(lease, timeout=timeout)
            return receipt if quote is None else await self._add_outcome(receipt, lease, quote)

        async def look_again() -> Receipt | None:
            receipt = await look()
            return receipt if receipt.refund is None or not receipt.refund.differs else None

        receipt = await look(REFUND_TIMEOUT)
        if receipt.refund is None or not receipt.refund.differs:
            return receipt
        poller = self.receipts.poller
        return await poller.poll(look_again, interval=POLL_INTERVAL, timeout=REFUND_TIMEOUT) or await look()

    async def _add_outcome(self, receipt: Receipt, lease: Lease, quote: RefundQuote) -> Receipt:
        returned = _sum_refunds(receipt.charges, quote)
        if returned < quote.money:
            returned = max(returned, min(await self._sum_account_refunds(lease, quote), quote.money))
        if not quote.money.amount and not returned.amount:
            return receipt
        return evolve(receipt, refund=compare_refund(lease, quote, returned))

    async def _sum_account_refunds(self, lease: Lease, quote: RefundQuote) -> Money:
        """Return what the account's statement has for no other lease: some state no machine with a refund."""
        stated = await self.bookkeeping.get_account_statement(lease.provider)
        if isinstance(stated, Unknown):
            return quote.money.currency.zero
        lines = await self.bookkeeping.list_lines(provider=lease.provider)
        others = {line.last.ref for line in lines if line.last.lease not in ("", lease.id)}
        return _sum_refunds([charge for charge in stated.items if charge.ref not in others], quote)


def _sum_refunds(charges: Sequence[Charge], quote: RefundQuote) -> Money:
    found = [
        charge.money
        for charge in charges
        if charge.kind in _REFUND_KINDS
        and charge.money.currency == quote.money.currency
        and charge.at >= quote.at - _PRECISION
    ]
    return sum(found, quote.money.currency.zero)
