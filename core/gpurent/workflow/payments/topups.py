"""Top-ups, withdrawals and invoices of an account. Nothing here pays or sends anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal

from attrs import frozen

from gpurent.domain.money import USD, Conversion, Money
from gpurent.errors import GpurentError, MoneyError, Spent, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.roles.account import (
    Balance,
    InvoiceInfo,
    MoneyInstructions,
    SupportsInvoices,
    SupportsWithdrawal,
    TopUpAdvice,
)
from gpurent.workflow.payments.quotes import find_balance
from gpurent.workflow.payments.rates import ExchangeRates
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.waiting import Poller

POLL_INTERVAL = timedelta(seconds=5)
TOPUP_TIMEOUT = timedelta(hours=1)


@frozen(kw_only=True)
class TopUpInstructions:
    """How to top up. ``balance_before``: the balance at the time of asking; ``advice``: set if it chose ``amount``."""

    amount: Money
    top_up: MoneyInstructions
    balance_before: Balance
    advice: TopUpAdvice | None = None


@frozen(kw_only=True)
class WithdrawalInstructions:
    """How to withdraw. ``worth``: the value of ``amount`` by ``conversion``; None if no rate is known."""

    amount: Money
    withdrawal: MoneyInstructions
    worth: Money | None = None
    conversion: Conversion | None = None


@frozen
class AccountMoney:
    plugins: Plugins
    rates: ExchangeRates
    poller: Poller

    async def get_balance(self, provider: str) -> Balance:
        return await self.plugins.billing(provider).get_balance()

    async def find_balance(self, provider: str) -> Balance | None:
        """As `get_balance`; None if the account is billed afterwards, and has none."""
        return await find_balance(self.plugins, provider)

    def require_currency(self, provider: str, code: str) -> None:
        """Raise `MoneyError` if ``code`` is not the account's currency; an empty code means the account's own."""
        currency = self.plugins.billing_entry(provider).currency
        if code and code != currency:
            raise MoneyError(
                _("{provider} only accepts {currency}").format(provider=provider, currency=currency)
            )

    # top-ups

    async def topup_instructions(
        self, provider: str, value: Decimal | None, code: str = ""
    ) -> TopUpInstructions:
        """Return how to top up by ``value``; None: as much as the account suggests."""
        self.require_currency(provider, code)
        billing = self.plugins.billing(provider)
        before = await billing.get_balance()
        if value is not None:
            amount = before.available.currency.money(value)
            return TopUpInstructions(
                amount=amount, top_up=await billing.create_top_up(amount), balance_before=before
            )
        advice = await billing.suggest_top_up()
        if advice is None:
            raise UsageError(
                _("specify an amount; the balance is {balance}").format(balance=before.available),
                hint=_("gpurent topup {provider} AMOUNT").format(provider=provider),
            )
        way = await billing.create_top_up(advice.money)
        return TopUpInstructions(amount=advice.money, top_up=way, balance_before=before, advice=advice)

    async def wait_for_topup(
        self, provider: str, expected: TopUpInstructions, show: Callable[[Balance], None]
    ) -> Balance:
        """Wait for a top-up and return the new balance; call ``show`` with each balance before.

        A running machine may drain the account meanwhile, and a payment service may deduct a fee, so nine tenths of the
        amount above the lowest balance seen count as arrived. Raises `UnavailableError` on timeout.
        """
        billing = self.plugins.billing(provider)
        lowest = expected.balance_before.available

        async def look() -> Balance | None:
            nonlocal lowest
            balance = await billing.get_balance()
            if (balance.available - lowest).amount * 10 >= expected.amount.amount * 9:
                return balance
            lowest = min(lowest, balance.available)
            show(balance)
            return None

        arrived = await self.poller.poll(look, interval=POLL_INTERVAL, timeout=TOPUP_TIMEOUT, min_seconds=0.5)
        if arrived is None:
            raise UnavailableError(
                _("the top-up of {amount} has not arrived yet").format(amount=expected.amount),
                hint=_("If you have paid, the money will still arrive."),
                retryable=True,
                spent=Spent.UNKNOWN,
            )
        return arrived

    # invoices

    async def get_invoice_info(self, provider: str) -> tuple[InvoiceInfo, tuple[tuple[str, str], ...]]:
        """Return the invoice's status, and the name and label of each field needed to request one."""
        billing = self._require_invoices(provider)
        return await billing.get_invoice_info(), tuple(billing.invoice_fields)

    async def request_invoice(self, provider: str, money: Money, answers: Mapping[str, str]) -> str:
        return await self._require_invoices(provider).request_invoice(money, answers)

    def _require_invoices(self, provider: str) -> SupportsInvoices:
        billing = self.plugins.billing(provider)
        if not isinstance(billing, SupportsInvoices):
            raise UsageError(_("{provider} does not issue invoices").format(provider=provider))
        return billing

    # withdrawals

    async def withdrawal_instructions(
        self, provider: str, value: Decimal | None, code: str
    ) -> WithdrawalInstructions:
        """Return how to withdraw ``value`` (None: everything), and what that is worth in the currency ``code``."""
        billing = self.plugins.billing(provider)
        if not isinstance(billing, SupportsWithdrawal):
            raise UsageError(_("{provider} does not support withdrawals").format(provider=provider))
        available = (await billing.get_balance()).available
        amount = available if value is None else available.currency.money(value)
        way = await billing.withdraw(amount)
        conversion = await self._find_conversion(amount, code)
        worth = conversion.convert(amount, round_up=False) if conversion is not None else None
        return WithdrawalInstructions(amount=amount, withdrawal=way, worth=worth, conversion=conversion)

    async def _find_conversion(self, amount: Money, code: str) -> Conversion | None:
        """Return the conversion to ``code``, else to US dollars; None if no rate is known."""
        lookup = self.rates.start_lookup()
        for target in dict.fromkeys((code, USD.code)):
            try:
                return await lookup.get_conversion(amount.currency, await lookup.get_currency(target))
            except UsageError:
                raise
            except GpurentError:
                continue
        return None
