"""What `gpurent run` would do, by the very code that it does it with, but nothing is ordered, paid or written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from attrs import frozen

from gpurent.domain.money import Money
from gpurent.domain.offer import Metered
from gpurent.domain.trip import Plan, TripSpec
from gpurent.errors import GpurentError
from gpurent.roles.lease import SupportsMailBinding
from gpurent.workflow.payments import budgets as budget
from gpurent.workflow.payments.budgets import BudgetStatus
from gpurent.workflow.payments.rates import Rates
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.steps.check_funds import look_up_funds, needed, require_funds
from gpurent.workflow.steps.make_plan import make_plan
from gpurent.workflow.steps.select_offer import select_offer_now


@frozen(kw_only=True)
class Preview:
    """``needed`` has to be there at once, deposits and all. ``refused``: why `gpurent run` would not even begin.

    ``binds_mail``: an address has to be bound first; what the shop asks for that stands in its mail only.
    ``lasts``: how long the balance, or the tightest budget, lets a metered machine run.
    """

    account: str
    plan: Plan
    needed: Money
    balance: Money
    budgets: Sequence[BudgetStatus]
    refused: tuple[str, ...]
    binds_mail: bool
    lasts: timedelta | None


async def preview(desk: Desk, want: TripSpec) -> Preview:
    """login, select, plan, fund; each without its journal."""
    login = await desk.accounts.login(desk.provider(want.provider).auth)
    shop = desk.shop(want.provider)
    binds = isinstance(shop, SupportsMailBinding) and not await shop.bound()
    offer = await select_offer_now(desk, want)
    planned = await make_plan(desk, want, offer, "")
    most = needed(planned.quote)
    standings = list(await budget.standings(desk, want.provider))
    if want.budget is not None:
        standings.insert(0, budget.own(want.budget))
    refused = []
    for standing in standings:
        try:
            await budget.within(desk, standing, most)
        except GpurentError as error:
            refused.append(error.message)
    funding = await look_up_funds(desk, want, planned.quote)
    try:
        require_funds(want, planned.quote, funding)
    except GpurentError as error:
        refused.append(error.message)
    return Preview(
        account=login.account,
        plan=planned,
        needed=most,
        balance=funding.balance,
        budgets=standings,
        refused=tuple(refused),
        binds_mail=binds,
        lasts=await _lasts(desk, planned, funding.balance, standings),
    )


async def _lasts(
    desk: Desk, planned: Plan, balance: Money, standings: Sequence[BudgetStatus]
) -> timedelta | None:
    tariff = planned.offer.tariff
    hour = tariff.price.cost(timedelta(hours=1))
    if not isinstance(tariff, Metered) or hour.currency != balance.currency or hour.amount <= 0:
        return None
    rooms = [balance]
    for standing in standings:
        try:
            way = await Rates(desk).conversion(standing.left.currency, balance.currency)
        except GpurentError:
            continue
        rooms.append(way.convert(standing.left, up=False))
    least = max(0, min(room.amount for room in rooms))
    return timedelta(hours=1) * least / hour.amount
