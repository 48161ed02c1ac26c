"""What the guard does, each as a journaled trip of kind ``guard``: a guard that was killed goes on where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve

from gpurent.errors import GpurentError, MoneyError, Spent, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.model.cargo import Pull, TransferReport
from gpurent.model.events import EventKind
from gpurent.model.lease import Lease
from gpurent.model.money import Money
from gpurent.model.order import Order
from gpurent.model.trip import Want
from gpurent.ports.lease import Extending
from gpurent.workflow.arming import Timers, keep_awake
from gpurent.workflow.fund import Funding
from gpurent.workflow.guard.decide import End, Reason, Renew, Save
from gpurent.workflow.guard.look import SCOPE, Trip, spent, trip_of
from gpurent.workflow.guard.machine_script import read, script
from gpurent.workflow.guard.policy import Amount
from gpurent.workflow.line import Line
from gpurent.workflow.sessions import jobs
from gpurent.workflow.settle import give_back, receipt_of
from gpurent.workflow.trail import Trail
from gpurent.workflow.transfer import carry_home

if TYPE_CHECKING:
    from gpurent.adapters.journal import TripRow
    from gpurent.workflow.service import Service

T = TypeVar("T")
STAMP = "%Y%m%dt%H%M%S"
NOTHING = "nothing"
# What a save may still take when its time is over: better late than never, but not for ever.
LATE = timedelta(minutes=30)


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


class Deeds:
    """Bound to a `Service`. Every deed can be repeated: what was done is recalled."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.desk = service.desk
        self._paying = asyncio.Lock()

    # the journal

    def _begin(self, name: str, want: Want, lease: str) -> TripRow:
        """The open trip ``name``; a first one that failed without spending is followed by a second, ``name-2``."""
        number = 1
        while True:
            trip = _numbered(name, number)
            row = self.desk.journal.trip(trip)
            if row is None:
                self.desk.journal.begin_trip(trip, SCOPE, want, lease)
                row = self.desk.journal.trip(trip)
                assert row is not None  # noqa: S101 - just written
            if not row.outcome.startswith("failed"):
                return row
            number += 1

    def unfinished(self, lease: str) -> list[TripRow]:
        """What an earlier guard began on ``lease`` and did not end."""
        return [row for row in self.desk.journal.trips(lease) if row.kind == SCOPE and not row.outcome]

    async def carry_on(self, row: TripRow) -> None:
        """Do what the trip was begun for; held by another process, it is left to that."""
        try:
            with self.desk.hold(row.id):
                await self._carry_on(Trail(self.desk, row.id), row)
        except UsageError as error:
            raise UnavailableError(error.message, retryable=True) from None

    async def _carry_on(self, trail: Trail, row: TripRow) -> None:
        what = row.id.split("-")[1]
        if what == "renew":
            async with self._paying:
                await self._renew(trail, row)
        elif what == "save":
            await self._save(trail, row)
        else:
            await self._end(trail, row, Reason(what))

    # more time

    async def renew(self, lease: Lease, action: Renew) -> None:
        """Once for the period that ends at ``action.until``, however often and by whomever it is called."""
        name = f"{SCOPE}-renew-{lease.id}-{action.until:{STAMP}}"
        budget = self._budget(lease, action.budget)
        want = Want(provider=lease.provider, term=action.term, budget=budget)
        if all(row.outcome.startswith("failed") for row in self._tries(name)):
            # Nothing is begun that cannot be paid.
            order = self._extension(lease, action.term)
            self._affordable(await self._price(order), lease, budget)
        row = self._begin(name, want, lease.id)
        if row.outcome.startswith("unclear"):
            raise MoneyError(
                _("nobody knows whether the renewal of {lease} was paid; it is not tried again").format(
                    lease=lease.id
                ),
                hint=_("Look at the shop's page, then: gpurent renew {lease}").format(lease=lease.id),
                spent=Spent.UNKNOWN,
            )
        if not row.outcome:
            await self.carry_on(row)

    def _tries(self, name: str) -> list[TripRow]:
        rows: list[TripRow] = []
        while (row := self.desk.journal.trip(_numbered(name, len(rows) + 1))) is not None:
            rows.append(row)
        return rows

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
        """`Short`, or a `MoneyError` when the budget would break; nothing is spent either way."""
        used = spent(lease, None, self.desk.clock.now())
        if budget is not None and used is not None and used + price.ceiling > budget:
            raise MoneyError(
                _("{lease} is not renewed: {price} more would break its budget of {budget}").format(
                    lease=lease.id, price=price.ceiling, budget=budget
                ),
                hint=_("Nothing was spent for it."),
            )
        if price.ceiling > price.balance:
            raise Short(price, lease.provider)

    async def _renew(self, trail: Trail, row: TripRow) -> None:
        desk, journal = self.desk, self.desk.journal
        before = desk.lease(row.lease)
        try:
            order = await trail.once("order", Order, lambda: self._order(trail, row), quiet=True)
            price = await trail.once("quote", Funding, lambda: self._price(order), quiet=True)
            if journal.recall(trail.trip, "leg0.reserve", str) is None:
                self._affordable(price, before, row.want.budget)
                await self._still(row)
            await self.service._carry_out(trail, row.lease, order)
        except GpurentError as error:
            if not error.retryable or isinstance(error, Short):
                journal.end_trip(trail.trip, _failed(error))
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

    async def _order(self, trail: Trail, row: TripRow) -> Order:
        order = self._extension(self.desk.lease(row.lease), row.want.term or timedelta())
        return evolve(order, key=f"{trail.trip}-renew")

    def _extension(self, lease: Lease, term: timedelta) -> Order:
        shop = self.desk.shop(lease.provider)
        if not isinstance(shop, Extending):
            raise UsageError(_("{provider} has no renewal").format(provider=lease.provider))
        return shop.extension(lease, term, "")

    async def _price(self, order: Order) -> Funding:
        return await self.service._price(order)

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

    # results

    async def save(self, lease: Lease, action: Save) -> None:
        """The results as they are now; the job goes on. One that is under way is left to go on."""
        if any(row.id.startswith(f"{SCOPE}-save-") for row in self.unfinished(lease.id)):
            return
        name = f"{SCOPE}-save-{lease.id}-{self.desk.clock.now():{STAMP}}"
        row = self._begin(name, Want(provider=lease.provider), lease.id)
        await within(self, action.by, self.carry_on(row))

    async def _save(self, trail: Trail, row: TripRow) -> None:
        trip = trip_of(self.desk, self.desk.lease(row.lease))
        try:
            if trip is not None:
                await trail.once("save", str, lambda: self._bring(trail, row.lease, trip))
        except GpurentError as error:
            if not error.retryable:
                self.desk.journal.end_trip(trail.trip, _failed(error))
            raise
        self.desk.journal.end_trip(trail.trip, "done")

    async def _bring(self, trail: Trail, lease: str, trip: Trip, *, stop: bool = False) -> str:
        """What there is of the results comes home; results that are not there yet are no failure."""
        desk, want = self.desk, trip.row.want
        begun = desk.clock.now()
        line = Line(desk, lease, trail.trip)
        try:
            if stop and trip.launched:
                name = want.name or trip.row.id
                await line.do(lambda link: jobs(desk, link, want.provider, want.session).stop(name))
            command = script(trip.results)
            there = read((await line.do(lambda link: link.run(command))).out).there
            sources = tuple(trip.results[number] for number in sorted(there) if number < len(trip.results))
            if not sources:
                return NOTHING
            cargo = Pull(sources=sources, target=Path(want.home or want.folder))
            report: TransferReport = await carry_home(desk, line, cargo, want.transfer)
        finally:
            await line.close()
        desk.journal.put_note(SCOPE, f"saved/{lease}", begun.isoformat())
        trail.tell(
            EventKind.SAVED,
            _("results saved: {files} files").format(files=report.files),
            lease=lease,
            files=report.files,
            size=report.total,
        )
        return f"{report.files} files"

    async def keep_awake(self, lease: Lease) -> None:
        """Idempotent by itself: a deadline that is later already stays."""
        trip = trip_of(self.desk, lease)
        if trip is None:
            return
        line = Line(self.desk, lease.id)
        try:
            await keep_awake(self.desk, line, trip.row.want)
        finally:
            await line.close()

    # the end

    async def end(self, lease: Lease, action: End) -> None:
        """Stop the job, bring the results home, give the machine back, end its trip."""
        want = Want(provider=lease.provider)
        row = self._begin(f"{SCOPE}-{action.reason.value}-{lease.id}", want, lease.id)
        by = action.by
        if by is not None:
            self.desk.journal.begin(row.id, "by")
            self.desk.journal.record(row.id, "by", by)
        if not row.outcome:
            await self.carry_on(row)

    def interrupted(self, row: TripRow) -> bool:
        """A return for idleness that had not begun to save: whether it is idle still must be looked at anew."""
        steps = {step.name for step in self.desk.journal.steps(row.id)}
        if not row.id.startswith(f"{SCOPE}-{Reason.IDLE.value}-") or steps & {"save", "release"}:
            return False
        self.desk.journal.end_trip(row.id, "failed: interrupted")
        return True

    async def _end(self, trail: Trail, row: TripRow, reason: Reason) -> None:
        desk = self.desk
        by = desk.journal.recall(trail.trip, "by", datetime)
        trip = trip_of(desk, desk.lease(row.lease))
        if trip is not None and trip.row.want.results and not desk.lease(row.lease).over:
            chosen = trip
            await self._unless_idle(trail, reason, lambda: self._last_save(trail, row.lease, chosen, by))
        await give_back(trail, row.lease)
        for other in desk.journal.trips(row.lease):
            if not other.outcome and other.id != row.id:
                desk.journal.end_trip(other.id, f"stopped: {reason.value}")
        await self._account(trail, row.lease)
        desk.journal.end_trip(trail.trip, "done")

    async def _unless_idle(self, trail: Trail, reason: Reason, save: Callable[[], Awaitable[str]]) -> None:
        """What is only idle is not given back unsaved; it is looked at anew."""
        try:
            await trail.once("save", str, save)
        except GpurentError as error:
            if reason is Reason.IDLE:
                self.desk.journal.end_trip(trail.trip, _failed(error))
            raise

    async def _last_save(self, trail: Trail, lease: str, trip: Trip, by: datetime | None) -> str:
        """Without a hard limit nothing is given back unsaved; with one, the limit wins."""
        if by is None:
            return await self._bring(trail, lease, trip, stop=True)
        try:
            return await within(self, by, self._bring(trail, lease, trip, stop=True))
        except GpurentError as error:
            trail.tell(
                EventKind.WARNING,
                _("the results could not be saved: {why}").format(why=error.message),
                lease=lease,
            )
            return f"failed: {error.code}"

    async def _account(self, trail: Trail, lease: str) -> None:
        """The books may come late; the machine is back either way."""
        try:
            await receipt_of(self.desk, self.desk.lease(lease), self.service.idle_of(lease))
        except GpurentError as error:
            trail.tell(EventKind.WARNING, error.message, lease=lease)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _failed(error: GpurentError) -> str:
    """Only what cost nothing may be tried again under another key."""
    return f"failed: {error.code}" if error.spent is Spent.NO else f"unclear: {error.code}"


async def within(deeds: Deeds, by: datetime, work: Awaitable[T]) -> T:
    """``work``, unless it is not done by ``by`` (provider time); what began late gets `LATE`."""
    clock = deeds.desk.clock
    rest = by - clock.now()
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(clock.sleep(rest if rest > timedelta() else LATE))
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)
    raise UnavailableError(_("there was not enough time"), retryable=True)
