"""What `gpurent run` would do, by the very code that it does it with, but nothing is ordered, paid or written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from attrs import frozen

from gpurent.errors import GpurentError
from gpurent.model.money import Money
from gpurent.model.offer import Metered
from gpurent.model.trip import Plan, Want
from gpurent.ports.lease import MailBinding
from gpurent.workflow.desk import Desk
from gpurent.workflow.fund import cover, look, needed
from gpurent.workflow.money import budget
from gpurent.workflow.money.budget import Standing
from gpurent.workflow.money.rates import Rates
from gpurent.workflow.plan import draw
from gpurent.workflow.select import pick


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
    budgets: Sequence[Standing]
    refused: tuple[str, ...]
    binds_mail: bool
    lasts: timedelta | None


async def preview(desk: Desk, want: Want) -> Preview:
    """login, select, plan, fund; each without its journal."""
    login = await desk.accounts.login(desk.provider(want.provider).auth)
    shop = desk.shop(want.provider)
    binds = isinstance(shop, MailBinding) and not await shop.bound()
    offer = await pick(desk, want)
    planned = await draw(desk, want, offer, "")
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
    funding = await look(desk, want, planned.quote)
    try:
        cover(want, planned.quote, funding)
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
    desk: Desk, planned: Plan, balance: Money, standings: Sequence[Standing]
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
