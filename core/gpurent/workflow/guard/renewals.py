"""More time on a prepaid lease: once for each period, within the budget, and at the price that was quoted."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from attrs import evolve

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.order import Order
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, MoneyError, OverBudget, Spent, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.roles.lease import SupportsRenewal
from gpurent.workflow.guard.action_log import STAMP, begin, failed, tries
from gpurent.workflow.guard.decide import Renew
from gpurent.workflow.guard.observe import SCOPE, spent
from gpurent.workflow.guard.policy import Amount
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.steps.check_funds import Funding
from gpurent.workflow.timing.timer_policy import Timers

if TYPE_CHECKING:
    from gpurent.infra.sqlite.journal import TripRow
    from gpurent.workflow.trips.operations import Service


class Short(MoneyError):
    """The account has too little for what the policy allows; nothing was ordered."""

    def __init__(self, needed: Funding, provider: str) -> None:
        super().__init__(
            _("a renewal needs {needed}, and {balance} are there").format(
                needed=needed.ceiling, balance=needed.balance
            ),
            hint=_("Nothing was spent. Top up: gpurent topup {provider}").format(provider=provider),
            retryable=True,
        )
        self.needed = needed


class Renewals:
    """Bound to a `Service`, through whose one door for orders they go."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.desk = service.desk
        self._paying = asyncio.Lock()

    async def begin(self, lease: Lease, action: Renew) -> TripRow:
        """The one trip for the period that ends at ``action.until``, however often and by whomever it is called."""
        name = f"{SCOPE}-renew-{lease.id}-{action.until:{STAMP}}"
        budget = self._budget(lease, action.budget)
        want = TripSpec(provider=lease.provider, term=action.term, budget=budget)
        if all(row.outcome.startswith("failed") for row in tries(self.desk, name)):
            # Nothing is begun that cannot be paid.
            order = self._extension(lease, action.term)
            self._affordable(await self._price(TripContext(self.desk, name), order), lease, budget)
        row = begin(self.desk, name, want, lease.id)
        if row.outcome.startswith("unclear"):
            raise MoneyError(
                _("nobody knows whether the renewal of {lease} was paid; it is not tried again").format(
                    lease=lease.id
                ),
                hint=_("Look at the shop's page, then: gpurent renew {lease}").format(lease=lease.id),
                spent=Spent.UNKNOWN,
            )
        return row

    def _budget(self, lease: Lease, written: Amount | None) -> Money | None:
        """The least of what the lease's trips and the policy allow it to cost in all, in its bills' currency."""
        used = spent(lease, None, self.desk.clock.now())
        if used is None:
            return None
        found = [used.currency.money(written.value)] if written and written.code == used.currency.code else []
        for row in self.desk.journal.trips(lease.id):
            funding = self.desk.journal.recall(row.id, "fund", Funding)
            if (
                funding is not None
                and funding.budget is not None
                and funding.budget.currency == used.currency
            ):
                found.append(funding.budget)
        return min(found, default=None)

    def _affordable(self, price: Funding, lease: Lease, budget: Money | None) -> None:
        """`Short`, or `OverBudget` when the budget would break; nothing is spent either way."""
        used = spent(lease, None, self.desk.clock.now())
        if budget is not None and used is not None and used + price.ceiling > budget:
            raise OverBudget(
                _("{lease} is not renewed: {price} more would break its budget of {budget}").format(
                    lease=lease.id, price=price.ceiling, budget=budget
                ),
                hint=_("Nothing was spent for it."),
            )
        if price.ceiling > price.balance:
            raise Short(price, lease.provider)

    async def carry_on(self, trail: TripContext, row: TripRow) -> None:
        """From where it was left; one at a time, so that two do not both count on the same balance."""
        async with self._paying:
            await self._carry_on(trail, row)

    async def _carry_on(self, trail: TripContext, row: TripRow) -> None:
        desk, journal = self.desk, self.desk.journal
        before = desk.lease(row.lease)
        try:
            order = await trail.once("order", Order, lambda: self._order(trail, row), quiet=True)
            price = await trail.once("quote", Funding, lambda: self._price(trail, order), quiet=True)
            if journal.recall(trail.trip, "leg0.reserve", str) is None:
                self._affordable(price, before, row.want.budget)
                await self._still(row)
            await self.service._carry_out(trail, row.lease, order)
        except GpurentError as error:
            if not error.retryable or isinstance(error, Short):
                journal.end_trip(trail.trip, failed(error))
            raise
        journal.end_trip(trail.trip, "done")
        after = desk.lease(row.lease)
        until = after.expires_at
        await Timers(desk).renewed(before, after)
        trail.tell(
            EventKind.RENEWED,
            _("{lease} was renewed; it runs until {until:%Y-%m-%d %H:%M} UTC").format(
                lease=row.lease, until=until
            ),
            lease=row.lease,
            until=until.isoformat() if until else "",
        )

    async def _order(self, trail: TripContext, row: TripRow) -> Order:
        order = self._extension(self.desk.lease(row.lease), row.want.term or timedelta())
        return evolve(order, key=f"{trail.trip}-renew")

    def _extension(self, lease: Lease, term: timedelta) -> Order:
        shop = self.desk.shop_of(lease)
        if not isinstance(shop, SupportsRenewal):
            raise UsageError(_("{provider} has no renewal").format(provider=lease.provider))
        return shop.extension(lease, term, "")

    async def _price(self, trail: TripContext, order: Order) -> Funding:
        return await self.service._price(trail, order)

    async def _still(self, row: TripRow) -> None:
        """The period is still the one to be extended, and nobody else has an order on the lease."""
        async with self.desk.turn(row.lease):
            lease = await self.desk.look(row.lease)
            if lease.pending is not None and not lease.pending.key.startswith(row.id):
                raise UnavailableError(
                    _("another order on {lease} is under way").format(lease=lease.id), retryable=True
                )
            if lease.expires_at is None or f"{lease.expires_at:{STAMP}}" not in row.id:
                raise MoneyError(_("{lease} was given more time meanwhile").format(lease=lease.id))
