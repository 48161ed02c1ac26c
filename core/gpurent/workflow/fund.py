"""Step: is there enough, and how much may leave at most."""

from __future__ import annotations

from attrs import frozen

from gpurent.errors import MoneyError
from gpurent.locale import _
from gpurent.model.money import Money
from gpurent.model.trip import Plan, Want
from gpurent.workflow.trail import Trail


@frozen(kw_only=True)
class Funding:
    """``ceiling``: the most that one bill of rent may be without asking again; ``deposit`` likewise for deposits."""

    ceiling: Money
    deposit: Money | None
    budget: Money | None
    balance: Money


async def fund(trail: Trail, want: Want, plan: Plan) -> Funding:
    """Refuse before any money moves when the budget or the balance is too small."""

    async def look() -> Funding:
        balance = (await trail.desk.wallet(want.provider).balance()).available
        quote = plan.quote
        needed = quote.high if quote.deposit is None else quote.high + quote.deposit
        budget = await _budget(trail, want, needed)
        if budget is not None and needed > budget:
            raise MoneyError(
                _("this trip may need {needed}, more than the budget of {budget}").format(
                    needed=needed, budget=budget
                ),
                hint=_("Nothing was spent. Of this, {held} would only be held as a deposit.").format(
                    held=quote.deposit or needed.currency.zero
                ),
            )
        if needed > balance or balance.amount <= 0:
            short = needed - balance
            raise MoneyError(
                _("the balance of {balance} does not cover {needed}").format(balance=balance, needed=needed),
                hint=_("Nothing was spent. Top up first: gpurent topup {provider} {short}").format(
                    provider=want.provider, short=_bare(short)
                ),
            )
        return Funding(ceiling=quote.high, deposit=quote.deposit, budget=budget, balance=balance)

    return await trail.once("fund", Funding, look)


def _bare(money: Money) -> str:
    """As the command line takes it: no separators, the code behind."""
    return f"{money.decimal:f}{money.currency.code}"


async def _budget(trail: Trail, want: Want, needed: Money) -> Money | None:
    if want.budget is None or want.budget.currency == needed.currency:
        return want.budget
    if want.budget.currency.code == needed.currency.code:
        return needed.currency.money(want.budget.decimal)
    rate = await trail.desk.wallet(want.provider).rate(want.budget.currency)
    return rate.convert(want.budget, up=False)
