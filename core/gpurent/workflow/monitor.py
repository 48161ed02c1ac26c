"""Step: watch the job, the money and the time until the job has ended."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from gpurent.errors import GpurentError, LeaseGone, OverBudget, Spent
from gpurent.locale import _
from gpurent.model.events import EventKind
from gpurent.model.lease import Lease
from gpurent.model.money import Money
from gpurent.model.offer import Metered
from gpurent.model.session import Job, JobState, JobStatus
from gpurent.model.trip import Want
from gpurent.ports.host import Link
from gpurent.workflow import budget
from gpurent.workflow.line import Line
from gpurent.workflow.sessions import jobs
from gpurent.workflow.trail import Trail

LOOK = timedelta(seconds=5)
SHOP = timedelta(seconds=60)
LOW = timedelta(minutes=30)
# So much time's cost at least is kept back from a budget, to bring the results home.
SAVE = timedelta(minutes=5)


@frozen(kw_only=True)
class Ended:
    """When the job ended (provider time; the machine's own word where it is later looked at), and how."""

    at: datetime
    status: JobStatus


async def monitor(trail: Trail, leg: str, line: Line, want: Want, job: Job, limit: Money | None) -> Ended:
    """The job's end. Its output goes to the user as it comes. ``limit``: the budget in the account's currency."""
    watch = _Watch(trail, line, want, job, limit)
    return await trail.once(f"{leg}.monitor", Ended, watch.until_end)


class _Watch:
    def __init__(self, trail: Trail, line: Line, want: Want, job: Job, limit: Money | None) -> None:
        self.trail, self.line, self.want, self.job, self.budget = trail, line, want, job, limit
        self.desk = trail.desk
        self.offset = 0
        self.warned = False
        self.looked_at = self.desk.clock.now()

    async def until_end(self) -> Ended:
        shop_at = self.desk.clock.now()
        while True:
            status = await self.line.do(self._look)
            if status.state is JobState.ENDED:
                self.trail.tell(
                    EventKind.JOB_ENDED,
                    _("exit code {code}").format(code=status.exit_code),
                    lease=self.line.lease.id,
                    exit_code=status.exit_code if status.exit_code is not None else -1,
                )
                return Ended(at=self._ended_at(status), status=status)
            if status.state is not JobState.RUNNING:
                raise LeaseGone(
                    _("the job {name} is no more and left no exit code").format(name=self.job.name),
                    hint=_("A machine that is shut takes its sessions with it; nothing restores them."),
                    spent=Spent.YES,
                )
            if self.desk.clock.now() - shop_at >= SHOP:
                shop_at = self.desk.clock.now()
                await self._mind_money(await self.line.look())
            await self.desk.pace(LOOK, floor=0.3)

    async def _look(self, link: Link) -> JobStatus:
        runner = jobs(self.desk, link, self.want.provider, self.want.session)
        status = await runner.status(self.job.name)
        while chunk := await runner.log(self.job.name, self.offset):
            self.offset += len(chunk)
            self.desk.ui.output(chunk)
        return status

    def _ended_at(self, status: JobStatus) -> datetime:
        now = self.desk.clock.now()
        if status.ended_at is None:
            return now
        begun = self.trail.done_at(f"{self.trail.step.partition('.')[0]}.launch") or now
        return min(now, max(begun, self.desk.clock.from_wall(status.ended_at)))

    async def _mind_money(self, lease: Lease) -> None:
        now = self.desk.clock.now()
        left = lease.expires_at - now if lease.expires_at else None
        if isinstance(lease.offer.tariff, Metered):
            left = await self._runway(lease, now)
        if left is not None and left < LOW and not self.warned:
            self.warned = True
            minutes = max(0, left // timedelta(minutes=1))
            self.trail.tell(
                EventKind.TIME_LOW,
                _("{minutes} minutes left; renew or top up, else the server is shut").format(minutes=minutes),
                lease=lease.id,
                minutes=minutes,
            )
        elif left is not None and left >= LOW:
            self.warned = False

    def _ahead(self, lease: Lease, now: datetime) -> timedelta:
        """Until the look after the next, and for the results: as long as the way up took, within reason."""
        gap, self.looked_at = now - self.looked_at, now
        leg = self.trail.step.partition(".")[0]
        steps = {row.name: row for row in self.desk.journal.steps(self.trail.trip)}
        begun, pushed = steps.get(f"{leg}.connect"), steps.get(f"{leg}.push")
        up = pushed.done_at - begun.begun_at if begun and pushed and pushed.done_at else SAVE
        stay = now - lease.started_at if lease.started_at else SAVE
        return max(SHOP, 2 * gap) + max(SAVE, min(up, stay / 4))

    async def _mind_budget(self, lease: Lease, used: Money, ahead: Money) -> None:
        """Stop while what comes until the next look still fits; without a rate, by the budget as it was converted."""
        try:
            await budget.mind(self.desk, lease, used + ahead, trip=self.trail.trip)
        except OverBudget as error:
            raise self._stop(error.message) from None
        except GpurentError as error:
            self.trail.tell(EventKind.WARNING, error.message, lease=lease.id)
            limit = self.budget
            if limit is not None and limit.currency == used.currency and used + ahead > limit:
                raise self._stop(_("the budget of {budget} is used up").format(budget=limit)) from None

    def _stop(self, why: str) -> OverBudget:
        return OverBudget(
            why, hint=_("The job was stopped; results that are there come home."), spent=Spent.YES
        )

    async def _runway(self, lease: Lease, now: datetime) -> timedelta | None:
        """Balance divided by burn rate; stops the trip when a budget is used up."""
        price = lease.offer.tariff.price
        used = price.cost(now - lease.started_at) if lease.started_at else price.currency.zero
        await self._mind_budget(lease, used, price.cost(self._ahead(lease, now)))
        balance = (await self.desk.wallet(lease.provider).balance()).available
        hour = price.cost(timedelta(hours=1))
        if balance.currency != hour.currency or hour.amount <= 0:
            return None
        return timedelta(hours=1) * balance.amount / hour.amount
