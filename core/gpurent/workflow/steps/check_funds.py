"""Step: is there enough, and how much may leave at most."""

from __future__ import annotations

from attrs import frozen

from gpurent.domain.money import Money, Rate
from gpurent.domain.offer import Quote
from gpurent.domain.trip import Plan, TripSpec
from gpurent.errors import MoneyError
from gpurent.locale import _
from gpurent.workflow.payments import budgets as budget
from gpurent.workflow.payments.rates import Rates
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.runtime.durable_steps import TripContext


@frozen(kw_only=True)
class Funding:
    """``ceiling``: the most that one bill of rent may be without asking again; ``deposit`` likewise for deposits.

    ``rate`` is the one that was quoted with; ``budget`` the trip's, in the wallet's currency.
    """

    ceiling: Money
    deposit: Money | None
    budget: Money | None
    balance: Money
    rate: Rate | None = None


def needed(quote: Quote) -> Money:
    """The most that has to be there at once: everything that is spent, and what is held on top."""
    return quote.high if quote.deposit is None else quote.high + quote.deposit


async def look_up_funds(desk: Desk, want: TripSpec, quote: Quote) -> Funding:
    """What is there and what may leave; refuses nothing."""
    balance = (await desk.wallet(want.provider).balance()).available
    limit = want.budget
    if limit is not None:
        conversion = await Rates(desk).conversion(limit.currency, quote.high.currency)
        limit = conversion.convert(limit, up=False)
    return Funding(ceiling=quote.high, deposit=quote.deposit, budget=limit, balance=balance, rate=quote.rate)


def require_funds(want: TripSpec, quote: Quote, funding: Funding) -> None:
    """`MoneyError` when the balance does not cover ``quote``."""
    balance, most = funding.balance, needed(quote)
    if most > balance or balance.amount <= 0:
        raise MoneyError(
            _("the balance of {balance} does not cover {needed}").format(balance=balance, needed=most),
            hint=_("Nothing was spent. Top up first: gpurent topup {provider} {short}").format(
                provider=want.provider, short=_bare(most - balance)
            ),
        )


async def fund(trail: TripContext, want: TripSpec, plan: Plan) -> Funding:
    """Refuse before any money moves when a budget or the balance is too small."""

    async def check() -> Funding:
        await budget.check(trail.desk, want.provider, needed(plan.quote), trip=trail.trip)
        funding = await look_up_funds(trail.desk, want, plan.quote)
        require_funds(want, plan.quote, funding)
        return funding

    return await trail.once("fund", Funding, check)


def _bare(money: Money) -> str:
    """As the command line takes it: no separators, the code behind."""
    return f"{money.decimal:f}{money.currency.code}"
