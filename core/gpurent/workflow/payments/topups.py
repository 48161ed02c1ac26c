"""Money into an account, out of it, and invoices. Nothing here ever pays or sends anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal

from attrs import frozen

from gpurent.domain.money import USD, Conversion, Money
from gpurent.errors import InputRequired, MoneyError, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.roles.account import Advice, Balance, Invoice, SupportsInvoices, SupportsWithdrawal, TopUp
from gpurent.workflow.payments.rates import ExchangeRates
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.waiting import Poller

POLL = timedelta(seconds=5)
PATIENCE = timedelta(hours=1)


@frozen(kw_only=True)
class TopUpInstructions:
    """``before`` is the balance when the way was asked for; ``advice`` is there when it decided ``amount``."""

    amount: Money
    way: TopUp
    before: Balance
    advice: Advice | None = None


@frozen(kw_only=True)
class WithdrawalInstructions:
    """``worth``: what ``amount`` would bring at the dated rates of ``conversion``; None where nobody knows one."""

    amount: Money
    way: TopUp
    worth: Money | None = None
    conversion: Conversion | None = None


@frozen
class AccountMoney:
    plugins: Plugins
    rates: ExchangeRates
    poller: Poller

    async def balance(self, provider: str) -> Balance:
        return await self.plugins.billing(provider).balance()

    def require_currency(self, provider: str, code: str) -> None:
        """`MoneyError` if an amount was typed in another currency than the account's; an empty code is its own."""
        currency = self.plugins.billing_entry(provider).currency
        if code and code != currency:
            raise MoneyError(_("{provider} takes {currency}").format(provider=provider, currency=currency))

    # in

    async def topup_instructions(
        self, provider: str, value: Decimal | None, code: str = ""
    ) -> TopUpInstructions:
        """How ``value`` gets into the account; None: as much as the account itself advises."""
        self.require_currency(provider, code)
        billing = self.plugins.billing(provider)
        before = await billing.balance()
        if value is not None:
            amount = before.available.currency.money(value)
            return TopUpInstructions(amount=amount, way=await billing.top_up(amount), before=before)
        advice = await billing.advised()
        if advice is None:
            raise UsageError(
                _("how much? The balance is {balance}").format(balance=before.available),
                hint=_("gpurent topup {provider} AMOUNT").format(provider=provider),
            )
        way = await billing.top_up(advice.money)
        return TopUpInstructions(amount=advice.money, way=way, before=before, advice=advice)

    async def wait_for_topup(
        self, provider: str, expected: TopUpInstructions, show: Callable[[Balance], None]
    ) -> Balance:
        """The balance with the money in it; ``show`` is called with each balance before. Not in time: an error.

        A running machine may drain the account meanwhile, and a seller may keep a fee: nine tenths above the lowest
        balance that was seen are an arrival.
        """
        billing = self.plugins.billing(provider)
        lowest = expected.before.available

        async def look() -> Balance | None:
            nonlocal lowest
            balance = await billing.balance()
            if (balance.available - lowest).amount * 10 >= expected.amount.amount * 9:
                return balance
            lowest = min(lowest, balance.available)
            show(balance)
            return None

        arrived = await self.poller.poll(look, every=POLL, patience=PATIENCE, floor=0.5)
        if arrived is None:
            raise UnavailableError(
                _("the {amount} have not arrived yet").format(amount=expected.amount),
                hint=_("Paid money still arrives: gpurent balance {provider}").format(provider=provider),
                retryable=True,
            )
        return arrived

    # invoices

    async def invoice(self, provider: str) -> tuple[Invoice, tuple[tuple[str, str], ...]]:
        """How the invoice stands, and the name and label of what has to be given to request one."""
        billing = self._invoicing(provider)
        return await billing.invoice(), tuple(billing.invoice_fields)

    async def request_invoice(self, provider: str, money: Money, answers: Mapping[str, str]) -> str:
        return await self._invoicing(provider).request_invoice(money, answers)

    def _invoicing(self, provider: str) -> SupportsInvoices:
        billing = self.plugins.billing(provider)
        if not isinstance(billing, SupportsInvoices):
            raise UsageError(_("{provider} gives no invoices").format(provider=provider))
        return billing

    # out

    async def withdrawal_instructions(
        self, provider: str, value: Decimal | None, code: str
    ) -> WithdrawalInstructions:
        """How ``value`` (None: all that is there) gets out, and what it is worth in the currency ``code``."""
        billing = self.plugins.billing(provider)
        if not isinstance(billing, SupportsWithdrawal):
            raise UsageError(_("nothing can be cashed out at {provider}").format(provider=provider))
        available = (await billing.balance()).available
        amount = available if value is None else available.currency.money(value)
        way = await billing.withdraw(amount)
        conversion = await self._conversion(amount, code)
        worth = conversion.convert(amount, up=False) if conversion is not None else None
        return WithdrawalInstructions(amount=amount, way=way, worth=worth, conversion=conversion)

    async def _conversion(self, amount: Money, code: str) -> Conversion | None:
        """To the currency ``code``, else to dollars; None where nobody knows a rate."""
        lookup = self.rates.begin_lookup()
        for target in dict.fromkeys((code, USD.code)):
            try:
                return await lookup.conversion(amount.currency, await lookup.currency(target))
            except (MoneyError, UnavailableError, InputRequired):
                continue
        return None
