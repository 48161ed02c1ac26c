"""A balance that runs low: the payment page is made once, the user is told once, and the money is watched for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpurent.domain.events import EventKind
from gpurent.domain.money import Money
from gpurent.domain.trip import TripSpec
from gpurent.errors import MoneyError
from gpurent.locale import _
from gpurent.roles.billing import TopUp
from gpurent.workflow.guard.action_log import STAMP
from gpurent.workflow.guard.observe import SCOPE
from gpurent.workflow.guard.policy import Amount
from gpurent.workflow.payments import budgets as budget
from gpurent.workflow.runtime.durable_steps import TripContext

if TYPE_CHECKING:
    from gpurent.infra.sqlite.journal import TripRow
    from gpurent.workflow.runtime.desk import Desk


class TopUps:
    """One open trip ``guard-topup-…`` for each account that is short. It ends when the money is there."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._seen: dict[str, Money] = {}

    def _account(self, provider: str) -> str:
        return self._desk.provider(provider).billing

    def under_way(self, provider: str) -> TripRow | None:
        head = f"{SCOPE}-topup-{self._account(provider)}-"
        return next((row for row in self._desk.journal.trips_under_way() if row.id.startswith(head)), None)

    async def ask(self, provider: str, wanted: Amount, least: Money | None = None) -> None:
        """``wanted``, or ``least`` if that is more. Silent while an earlier page is open."""
        if self.under_way(provider) is not None:
            return
        desk = self._desk
        available = (await desk.wallet(provider).balance()).available
        if available.currency.code != wanted.code:
            raise MoneyError(
                _("the account of {provider} holds {there}, the policy tops up in {code}").format(
                    provider=provider, there=available.currency.code, code=wanted.code
                ),
                hint=_("Change top_up in [guard.{provider}].").format(provider=provider),
            )
        money = available.currency.money(wanted.value)
        if least is not None and least > money:
            money = least
        # More than a month's budget could ever spend is not asked for.
        await budget.check(desk, provider, money, sync=False)
        trip = f"{SCOPE}-topup-{self._account(provider)}-{desk.clock.now():{STAMP}}"
        desk.journal.begin_trip(trip, SCOPE, TripSpec(provider=provider, budget=money))
        row = desk.journal.trip(trip)
        if row is not None:
            await self.carry_on(row)

    async def carry_on(self, row: TripRow) -> None:
        """The page, then the word to the user; nothing when both are done, or another process is at it."""
        desk, money = self._desk, row.want.budget
        if money is None or desk.journal.recall(row.id, "told", str) is not None:
            return
        with desk.hold(row.id):
            trail = TripContext(desk, row.id)
            wallet = desk.wallet(row.want.provider)

            async def balance() -> Money:
                return (await wallet.balance()).available

            async def tell() -> str:
                words = _("{provider} runs dry; top up {money}: {steps}").format(
                    provider=row.want.provider, money=money, steps=" ".join(page.steps)
                )
                trail.tell(
                    EventKind.TOP_UP,
                    f"{words} {page.url}".strip(),
                    provider=row.want.provider,
                    amount=f"{money.decimal:f}",
                    currency=money.currency.code,
                    url=page.url,
                    qr=page.qr,
                )
                return page.url

            await trail.once("before", Money, balance, quiet=True)
            page = await trail.once("page", TopUp, lambda: wallet.top_up(money), quiet=True)
            await trail.once("told", str, tell, quiet=True)

    async def watch(self, provider: str) -> bool:
        """Whether an account that was short is so still; ends the trip when the balance has risen."""
        row = self.under_way(provider)
        if row is None:
            return False
        await self.carry_on(row)
        desk = self._desk
        now = (await desk.wallet(provider).balance()).available
        before = self._seen.get(row.id) or desk.journal.recall(row.id, "before", Money) or now
        self._seen[row.id] = now
        if now <= before:
            return True
        desk.journal.end_trip(row.id, "arrived")
        desk.tell(
            EventKind.TOPPED_UP,
            _("{provider}: the money has arrived, {balance} are there").format(
                provider=provider, balance=now
            ),
            trip=row.id,
            provider=provider,
        )
        return False

    def drop(self, provider: str) -> None:
        """Nothing drains the account any more: the shortage is over, paid or not."""
        row = self.under_way(provider)
        if row is not None:
            self._desk.journal.end_trip(row.id, "over")
