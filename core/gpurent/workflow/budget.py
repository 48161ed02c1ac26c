"""Hard limits: what a trip may cost, and what a provider, or all of them, may cost in a month."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from attrs import frozen

from gpurent.errors import GpurentError, OverBudget, UsageError
from gpurent.locale import _
from gpurent.model.lease import Lease
from gpurent.model.money import Currency, Money
from gpurent.model.order import Purpose
from gpurent.model.receipt import Total
from gpurent.model.typed import fine, money_of, parse_money
from gpurent.workflow.desk import Desk
from gpurent.workflow.rates import Rates

# The step of a trip that says that a bill may be paid; its value is the bill's key.
AGREED = ".agreed"


@frozen(kw_only=True)
class Limit:
    """``money`` at most, for ``leases`` and for what they cost since ``since`` (None: ever)."""

    name: str
    money: Money
    leases: tuple[Lease, ...]
    since: datetime | None = None


@frozen(kw_only=True)
class Standing:
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

    ``key`` names the bill that ``amount`` is for: it may stand on its lease already, and is not counted twice.
    ``sync`` false: by the books as they are, without asking the shops. A limit that cannot be converted for want of
    a rate is a `MoneyError`: nothing is let through unseen.
    """
    for standing in await standings(desk, provider, trip=trip, key=key, sync=sync):
        await within(desk, standing, amount)


async def within(desk: Desk, standing: Standing, amount: Money) -> None:
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


def trip_name() -> str:
    """What messages call a trip's own budget."""
    return _("budget")


async def mind(desk: Desk, lease: Lease, used: Money, *, trip: str = "") -> None:
    """`OverBudget` if a metered lease, having used ``used`` by the clock, breaks a budget. Asks no shop.

    What of it stands in the books already is not counted twice.
    """
    booked = [total for total in desk.books.spending(lease=lease.id) if total.currency == used.currency]
    unbooked = used - sum((total.spent for total in booked), used.currency.zero)
    await check(desk, lease.provider, max(unbooked, used.currency.zero), trip=trip, sync=False)


async def standings(
    desk: Desk, provider: str, *, trip: str = "", key: str = "", sync: bool = True
) -> Sequence[Standing]:
    """Every limit that holds for ``provider`` and the trip, and how it stands."""
    found = []
    for limit in limits(desk, provider, trip):
        silent = await _sync(desk, limit.leases) if sync else set()
        parts = [part for lease in limit.leases for part in _cost(desk, lease, limit.since, key, silent)]
        used = await _sum(desk, parts, limit.money.currency)
        found.append(Standing(limit=limit, used=used))
    return found


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
        )
        for row in rows
        if row.want.budget is not None and (row.id == trip or (lease and row.lease == lease))
    ]
    now = desk.clock.now()
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for section in ("budget", f"budget.{provider}"):
        money = _setting(desk, section)
        if money is not None:
            mine = tuple(item for item in leases if section == "budget" or item.provider == provider)
            name = _("monthly budget") if section == "budget" else _("monthly budget for {provider}")
            found.append(Limit(name=name.format(provider=provider), money=money, leases=mine, since=month))
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


async def _sync(desk: Desk, leases: Iterable[Lease]) -> set[str]:
    """Bring what is not in the books yet into them; the leases of which the shop says nothing now."""
    silent = set()
    for lease in leases:
        if lease.over and (not lease.bills or desk.books.spending(lease=lease.id)):
            continue
        try:
            await desk.books.sync(lease.id)
        except GpurentError:
            silent.add(lease.id)
    return silent


def _cost(desk: Desk, lease: Lease, since: datetime | None, key: str, silent: Collection[str]) -> list[Money]:
    """What the lease has cost, holds and will have to pay: by the books, and by bills that are not in them yet."""
    booked = {total.currency: total for total in desk.books.spending(lease=lease.id, since=since)}
    # Of what is over, the books know all, unless they could not be brought up to date.
    bills = _bills(desk, lease, since, key) if not lease.over or lease.id in silent else {}
    found = []
    for currency in {*booked, *bills}:
        total = booked.get(currency) or _nothing(currency)
        rent, deposit = bills.get(currency, (currency.zero, currency.zero))
        spent = max(total.spent, rent - total.refunded)
        # While the machine is one that stands on its deposit, the deposit lies there, booked or not.
        held = max(total.held, deposit) if lease.offer.deposit and not lease.over else total.held
        found.append(spent + held)
    return found


def _bills(desk: Desk, lease: Lease, since: datetime | None, key: str) -> dict[Currency, tuple[Money, Money]]:
    """Rent and deposits that were agreed to, whether paid yet or not; those of an earlier month are booked."""
    found: dict[Currency, tuple[Money, Money]] = {}
    if since is not None and lease.started_at is not None and lease.started_at < since:
        return found
    agreed = _agreed(desk, lease.id)
    for bill in lease.bills:
        if bill.key == key or bill.key not in agreed:
            continue
        zero = bill.amount.currency.zero
        rent, deposit = found.get(bill.amount.currency, (zero, zero))
        if bill.purpose is Purpose.DEPOSIT:
            deposit += bill.amount
        else:
            rent += bill.amount
        found[bill.amount.currency] = (rent, deposit)
    return found


def _agreed(desk: Desk, lease: str) -> set[str]:
    """The bills of a lease that `gpurent.workflow.pay` let pass."""
    journal = desk.journal
    names = [
        (row.id, step.name)
        for row in journal.trips()
        if row.lease == lease
        for step in journal.steps(row.id)
        if step.name.endswith(AGREED)
    ]
    return {key for trip, name in names if (key := journal.recall(trip, name, str)) is not None}


def _nothing(currency: Currency) -> Total:
    zero = currency.zero
    return Total(currency=currency, paid=zero, refunded=zero, spent=zero, held=zero)


async def _sum(desk: Desk, parts: Iterable[Money], currency: Currency) -> Money:
    rates = Rates(desk)
    found = currency.zero
    for money in parts:
        found += (await rates.conversion(money.currency, currency)).convert(money)
    return found
