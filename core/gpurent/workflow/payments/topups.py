"""Money into an account, out of it, and invoices. Nothing here ever pays or sends anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from decimal import Decimal

from attrs import frozen

from gpurent.domain.money import USD, Money
from gpurent.domain.rates import Conversion
from gpurent.errors import MoneyError, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.roles.billing import Advice, Balance, Invoice, SupportsInvoices, SupportsWithdrawal, TopUp
from gpurent.workflow.payments.rates import Rates
from gpurent.workflow.runtime.desk import Desk

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
    worth: Money | None
    conversion: Conversion | None


def own_currency(desk: Desk, provider: str, code: str) -> None:
    """`MoneyError` if an amount was typed in another currency than the account's; an empty code is its own."""
    currency = desk.registry.get("billing", desk.provider(provider).billing).currency
    if code and code != currency:
        raise MoneyError(_("{provider} takes {currency}").format(provider=provider, currency=currency))


async def topup_instructions(
    desk: Desk, provider: str, value: Decimal | None, code: str = ""
) -> TopUpInstructions:
    """How ``value`` gets into the account; None: as much as the account itself advises."""
    wallet = desk.wallet(provider)
    own_currency(desk, provider, code)
    before = await wallet.balance()
    advice = None
    if value is None:
        advice = await wallet.advised()
        if advice is None:
            raise UsageError(
                _("how much? The balance is {balance}").format(balance=before.available),
                hint=_("gpurent topup {provider} AMOUNT").format(provider=provider),
            )
        amount = advice.money
    else:
        amount = before.available.currency.money(value)
    return TopUpInstructions(amount=amount, way=await wallet.top_up(amount), before=before, advice=advice)


async def wait_for_topup(
    desk: Desk, provider: str, way: TopUpInstructions
) -> AsyncIterator[tuple[Balance, bool]]:
    """Look at the balance until the money is there: each look, and whether it has arrived. Not in time: an error.

    A running machine may drain the account meanwhile, and a seller may keep a fee: nine tenths above the lowest
    balance that was seen are an arrival.
    """
    wallet = desk.wallet(provider)
    lowest, waited = way.before.available, timedelta()
    while True:
        balance = await wallet.balance()
        there = balance.available
        arrived = (there - lowest).amount * 10 >= way.amount.amount * 9
        lowest = min(lowest, there)
        yield balance, arrived
        if arrived:
            return
        if waited >= PATIENCE:
            raise UnavailableError(
                _("the {amount} have not arrived yet").format(amount=way.amount),
                hint=_("Paid money still arrives: gpurent balance {provider}").format(provider=provider),
                retryable=True,
            )
        await desk.pace(POLL, floor=0.5)
        waited += POLL


def _invoicing(desk: Desk, provider: str) -> SupportsInvoices:
    wallet = desk.wallet(provider)
    if not isinstance(wallet, SupportsInvoices):
        raise UsageError(_("{provider} gives no invoices").format(provider=provider))
    return wallet


async def invoice(desk: Desk, provider: str) -> tuple[Invoice, tuple[tuple[str, str], ...]]:
    """How the invoice stands, and what has to be told to ask for one."""
    role = _invoicing(desk, provider)
    return await role.invoice(), tuple(role.invoice_fields)


async def ask_invoice(desk: Desk, provider: str, money: Money, answers: Mapping[str, str]) -> str:
    """The number of the invoice that was asked for."""
    return await _invoicing(desk, provider).request_invoice(money, answers)


async def withdrawal_instructions(
    desk: Desk, provider: str, value: Decimal | None, code: str
) -> WithdrawalInstructions:
    """How ``value`` (None: all that is there) gets out, and what it is worth in the currency ``code``."""
    wallet = desk.wallet(provider)
    if not isinstance(wallet, SupportsWithdrawal):
        raise UsageError(_("nothing can be cashed out at {provider}").format(provider=provider))
    there = (await wallet.balance()).available
    amount = there if value is None else there.currency.money(value)
    way = await wallet.withdraw(amount)
    rates = Rates(desk)
    for target in dict.fromkeys((code, USD.code)):
        try:
            conversion = await rates.conversion(amount.currency, await rates.currency(target))
        except (MoneyError, UnavailableError):
            continue
        return WithdrawalInstructions(
            amount=amount, way=way, worth=conversion.convert(amount, up=False), conversion=conversion
        )
    return WithdrawalInstructions(amount=amount, way=way, worth=None, conversion=None)
