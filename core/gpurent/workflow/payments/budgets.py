"""Hard limits: what a trip may cost, and what a provider, or all of them, may cost in a month."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.ledger import LedgerLine
from gpurent.domain.money import Currency, Money
from gpurent.domain.money_text import fine, money_of, parse_money
from gpurent.domain.order import Bill
from gpurent.domain.receipt import Total, totals
from gpurent.errors import OverBudget, UsageError
from gpurent.locale import _
from gpurent.workflow.payments.rates import Rates
from gpurent.workflow.runtime.desk import Desk

_SCOPE = "agreed"


@frozen(kw_only=True)
class Limit:
    """At most ``money`` for what trips and leases cost, or a provider (empty: all of them) since ``since``."""

    name: str
    money: Money
    leases: tuple[Lease, ...] = ()
    trip: str = ""
    provider: str = ""
    since: datetime | None = None


@frozen(kw_only=True)
class BudgetStatus:
    """How a limit stands: ``used`` in its own currency, rounded up; deposits that are held count as used."""

    limit: Limit
    used: Money

    @property
    def left(self) -> Money:
        return self.limit.money - self.used


async def check(
    desk: Desk, provider: str, amount: Money, *, trip: str = "", key: str = "", sync: bool = True
) -> None:
    """`OverBudget` (nothing spent) if ``amount`` more would break the budget of the trip, or of the month.

    ``key`` names the bill that ``amount`` is for, which is not counted twice. ``sync`` false: by the books as they
    are, without asking the shops. A limit that cannot be converted for want of a rate is a `MoneyError`: nothing is
    let through unseen.
    """
    for standing in await standings(desk, provider, trip=trip, key=key, sync=sync):
        await within(desk, standing, amount)


async def within(desk: Desk, standing: BudgetStatus, amount: Money) -> None:
    """`OverBudget` if ``amount`` more would break this one limit."""
    limit = standing.limit
    conversion = await Rates(desk).conversion(amount.currency, limit.money.currency)
    if standing.used + conversion.convert(amount) > limit.money:
        raise OverBudget(
            _("{amount} more would break the {name} of {limit}: {used} are spent, held or ordered").format(
                amount=amount, name=limit.name, limit=limit.money, used=standing.used
            ),
            hint=_("Nothing was spent for it. A deposit counts as long as it is held."),
        )


async def mind(desk: Desk, lease: Lease, used: Money, *, trip: str = "") -> None:
    """`OverBudget` if a metered lease, having used ``used`` by the clock, breaks a budget. Asks no shop.

    What of it stands in the books already is not counted twice.
    """
    booked = [total for total in desk.books.spending(lease=lease.id) if total.currency == used.currency]
    unbooked = used - sum((total.spent for total in booked), used.currency.zero)
    await check(desk, lease.provider, max(unbooked, used.currency.zero), trip=trip, sync=False)


# limits


def trip_name() -> str:
    """What messages call a trip's own budget."""
    return _("budget")


def own(money: Money) -> BudgetStatus:
    """The budget of a trip that has not begun."""
    return BudgetStatus(
        limit=Limit(name=trip_name(), money=fine(money), leases=()), used=fine(money).currency.zero
    )


def limits(desk: Desk, provider: str, trip: str = "") -> Sequence[Limit]:
    """The trip's own, those of other trips with the same lease, the provider's month, everybody's month."""
    leases = desk.journal.leases()
    rows = desk.journal.trips()
    lease = next((row.lease for row in rows if row.id == trip), "")
    found = [
        Limit(
            name=trip_name(),
            money=fine(row.want.budget),
            leases=tuple(item for item in leases if item.id == row.lease),
            trip=row.id,
        )
        for row in rows
        if row.want.budget is not None and (row.id == trip or (lease and row.lease == lease))
    ]
    month = desk.clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for section, name, whose in (
        ("budget", _("monthly budget"), ""),
        (f"budget.{provider}", _("monthly budget for {provider}").format(provider=provider), provider),
    ):
        money = _setting(desk, section)
        if money is not None:
            mine = tuple(item for item in leases if whose in ("", item.provider))
            found.append(Limit(name=name, money=money, leases=mine, provider=whose, since=month))
    return found


def _setting(desk: Desk, section: str) -> Money | None:
    text = desk.setting(section, "month")
    if not text:
        return None
    try:
        value, code = parse_money(text)
    except ValueError:
        value, code = None, ""
    if value is None or not code:
        raise UsageError(
            _("[{section}] month = {text} is no amount of money with its currency").format(
                section=section, text=repr(text)
            ),
            hint=f'[{section}]\nmonth = "500CNY"',
        )
    return fine(money_of((value, code)))


# how they stand


async def standings(
    desk: Desk, provider: str, *, trip: str = "", key: str = "", sync: bool = True
) -> Sequence[BudgetStatus]:
    """Every limit that holds for ``provider`` and the trip, and how it stands."""
    found = []
    for limit in limits(desk, provider, trip):
        if sync:
            await _sync(desk, limit.leases)
        parts = [*_booked(desk, limit), *(part for x in limit.leases for part in _open(desk, x, key))]
        used = await _sum(desk, parts, limit.money.currency)
        found.append(BudgetStatus(limit=limit, used=used))
    return found


async def _sync(desk: Desk, leases: Iterable[Lease]) -> None:
    """Bring the books up to date for what still moves; where a shop says nothing, they count what was paid in full."""
    for lease in leases:
        held = any(total.held.amount for total in desk.books.spending(lease=lease.id))
        if not lease.over or held:
            await desk.books.sync(lease.id, quiet=True)


def _booked(desk: Desk, limit: Limit) -> list[Money]:
    """Spent in the limit's time, and held now, whenever that was paid in."""
    if limit.since is None:
        names = {lease.id for lease in limit.leases}
        found = [*desk.books.lines(trip=limit.trip)]
        found += [line for name in names for line in desk.books.lines(lease=name)]
        return [_used(total, total) for total in _totals(found)]
    held = {total.currency: total for total in desk.books.spending(provider=limit.provider)}
    month = {
        total.currency: total for total in desk.books.spending(provider=limit.provider, since=limit.since)
    }
    # What moved this month moved at some time: every currency of the month is in `held`.
    return [_used(month.get(currency), total) for currency, total in held.items()]


def _used(spent: Total | None, held: Total) -> Money:
    """Refunds of an earlier month's money do not make room for more in this one."""
    zero = held.currency.zero
    return max(spent.spent if spent else zero, zero) + max(held.held, zero)


def _totals(lines: Iterable[LedgerLine]) -> Sequence[Total]:
    once = {(line.last.provider, line.last.ref, line.last.kind): line for line in lines}
    return totals(line.charge for line in once.values() if line.money.amount)


def agree(desk: Desk, bill: Bill) -> None:
    """Note that ``bill`` may be paid: from here on it counts."""
    desk.journal.put_note(_SCOPE, bill.key, str(bill.amount))


def agreed(desk: Desk, bill: Bill) -> bool:
    return desk.journal.note(_SCOPE, bill.key) == str(bill.amount)


def _open(desk: Desk, lease: Lease, key: str) -> list[Money]:
    """Bills that may be paid, by another process for one, and are in no book yet."""
    paid = {item.payment.key for item in desk.books.paid(lease=lease.id)}
    return [bill.amount for bill in lease.bills if bill.key not in {*paid, key} and agreed(desk, bill)]


async def _sum(desk: Desk, parts: Iterable[Money], currency: Currency) -> Money:
    rates = Rates(desk)
    found = currency.zero
    for money in parts:
        found += (await rates.conversion(money.currency, currency)).convert(money)
    return found
