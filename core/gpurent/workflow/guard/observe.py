"""What is known of a lease now: from the journal, from its shop and account, and from the machine itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from gpurent.domain.lease import Lease
from gpurent.domain.money import Money, UnitPrice
from gpurent.domain.offer import Metered
from gpurent.domain.order import Purpose
from gpurent.domain.session import JobStatus
from gpurent.domain.time_left import TimeLeft
from gpurent.domain.transfer import TransferReport
from gpurent.errors import GpurentError, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.ports.connection import SshConnection
from gpurent.remote.guard_sample import Reading, load, read, script
from gpurent.roles.lease import SupportsRenewal
from gpurent.workflow.connection.jobs import jobs
from gpurent.workflow.guard.facts import REACH, Facts, Machine
from gpurent.workflow.guard.policy import Policy
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.steps.check_funds import Funding
from gpurent.workflow.steps.transfer_files import work_folder
from gpurent.workflow.timing import alarms as alarm, machine_timer as timer

if TYPE_CHECKING:
    from gpurent.infra.sqlite.journal import TripRow

SCOPE = "guard"
ANSWER = 45.0
SIDE_BY_SIDE = 4
_KINDS = ("run", "rent")


@define
class Memory:
    """What the guard remembers of one lease between two looks."""

    machine: Machine | None = None
    idle_since: datetime | None = None
    said: dict[str, datetime] = field(factory=dict)
    failures: int = 0
    told: str = ""


@frozen(kw_only=True)
class Trip:
    """The open trip that made the lease."""

    row: TripRow
    minded: bool
    launched: bool

    @property
    def results(self) -> Sequence[str]:
        """Its results' places on the machine, relative to the home."""
        return tuple(f"{work_folder(self.row.id)}/{name}" for name in self.row.want.results)


def held(desk: Desk, trip: str) -> bool:
    """Whether a living process works on ``trip``."""
    try:
        with desk.hold(trip):
            return False
    except UsageError:
        return True


def trip_of(desk: Desk, lease: Lease) -> Trip | None:
    for row in desk.journal.trips(lease.id):
        if row.kind in _KINDS and not row.outcome:
            steps = desk.journal.recorded(row.id, ".launch")
            return Trip(row=row, minded=held(desk, row.id), launched=bool(steps))
    return None


def recall(desk: Desk, lease: str) -> Memory:
    """What an earlier guard remembered, so that one that is started each few minutes notices idleness too."""
    noted = desk.journal.note(SCOPE, f"memory/{lease}")
    if not noted:
        return Memory()
    raw = json.loads(noted)
    machine = None
    if raw["at"]:
        machine = Machine(
            at=datetime.fromisoformat(raw["at"]),
            took=REACH,
            ticks=tuple(raw["ticks"]) if raw["ticks"] else None,
            wrote=raw["wrote"],
            output_at=_time(raw["output_at"]),
        )
    said = {key: datetime.fromisoformat(at) for key, at in raw["said"].items()}
    return Memory(machine=machine, idle_since=_time(raw["idle_since"]), said=said)


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _text(at: datetime | None) -> str:
    return at.isoformat() if at is not None else ""


def remember(desk: Desk, lease: str, memory: Memory) -> None:
    seen = memory.machine
    raw = {
        "at": _text(seen.at if seen else None),
        "ticks": seen.ticks if seen else None,
        "wrote": seen.wrote if seen else None,
        "output_at": _text(seen.output_at if seen else None),
        "idle_since": _text(memory.idle_since),
        "said": {key: _text(at) for key, at in memory.said.items()},
    }
    text = json.dumps(raw)
    if text != desk.journal.note(SCOPE, f"memory/{lease}"):
        desk.journal.put_note(SCOPE, f"memory/{lease}", text)


async def machine(desk: Desk, lease: Lease, trip: Trip | None, before: Machine | None) -> Machine:
    """One look over SSH. No answer in time is an `UnavailableError`."""
    if lease.endpoint is None:
        raise UnavailableError(_("{lease} has no address yet").format(lease=lease.id), retryable=True)
    begun = desk.clock.now()
    password = desk.vault.scoped(lease.provider).get(lease.password_ref)
    try:
        async with asyncio.timeout(ANSWER):
            link = await desk.ssh.open(lease.id, lease.endpoint, password)
            try:
                return await _read(desk, link, lease, trip, before, begun)
            finally:
                await link.aclose()
    except TimeoutError:
        raise UnavailableError(
            _("{lease} does not answer within {seconds:g} s").format(lease=lease.id, seconds=ANSWER),
            retryable=True,
        ) from None


async def _read(
    desk: Desk, link: SshConnection, lease: Lease, trip: Trip | None, before: Machine | None, begun: datetime
) -> Machine:
    runner = jobs(desk, link, lease, trip.row.want.session if trip else "")
    found = read((await link.run(script(trip.results if trip else ()))).out)
    job: JobStatus | None = None
    if trip is not None and trip.launched:
        job = await runner.status(trip.row.want.name or trip.row.id)
    attached = any(info.attached for info in await runner.listing())
    now = desk.clock.now()
    return Machine(
        at=now,
        # A line that was slow may be slow again: what it took before fades only slowly.
        took=max(now - begun, before.took * 3 / 4 if before else timedelta()),
        job=job,
        cpu=load(before.ticks if before else None, found.ticks),
        gpu=found.gpu,
        output_at=_output_at(desk, found, before, now),
        attached=attached,
        size=sum(found.there.values()),
        ticks=found.ticks,
        wrote=found.wrote,
    )


def _output_at(desk: Desk, found: Reading, before: Machine | None, now: datetime) -> datetime | None:
    """In provider time; once known it stays, whatever clock is set meanwhile, as long as nothing new was written."""
    if found.wrote is None or found.now is None:
        return None
    if before is not None and before.wrote == found.wrote and before.output_at is not None:
        return before.output_at
    age = timedelta(seconds=max(0, found.now - found.wrote))
    return min(now, desk.clock.from_wall(datetime.now(UTC) - age))


def idle_since(seen: Machine, before: datetime | None, limit: int) -> datetime | None:
    """Since when nobody has used the machine; None while somebody does."""
    busy = any(share is not None and share > limit for share in (seen.cpu, seen.gpu))
    if busy or seen.attached:
        return None
    start = before or seen.at
    return max(start, seen.output_at) if seen.output_at else start


def facts(
    desk: Desk, lease: Lease, time: TimeLeft, policy: Policy, trip: Trip | None, memory: Memory
) -> Facts:
    now = desk.clock.now()
    price = lease.offer.tariff.price if isinstance(lease.offer.tariff, Metered) else None
    saved = desk.journal.note(SCOPE, f"saved/{lease.id}")
    return Facts(
        lease=lease,
        now=now,
        time=time,
        extends=isinstance(desk.shop_of(lease), SupportsRenewal),
        price=price,
        spent=spent(lease, price, now),
        budget=_budget(desk, lease, policy, trip, price),
        trip=trip.row.id if trip else "",
        minded=bool(trip and trip.minded),
        launched=bool(trip and trip.launched),
        results=bool(trip and trip.launched and trip.row.want.results),
        machine=memory.machine,
        idle_since=memory.idle_since,
        rate=_rate(desk, trip),
        renewed=renewals(desk, lease.id),
        timer_until=timer.remembered(desk, lease),
        alarms=alarm.thresholds(desk, lease.provider),
        said=dict(memory.said),
        saved_at=datetime.fromisoformat(saved) if saved else None,
    )


def spent(lease: Lease, price: UnitPrice | None, now: datetime) -> Money | None:
    """By the clock on a meter, by the bills else; deposits are held, not spent."""
    if price is not None:
        return price.cost(now - lease.started_at) if lease.started_at else price.currency.zero
    amounts = [bill.amount for bill in lease.bills if bill.purpose is not Purpose.DEPOSIT]
    return sum(amounts[1:], amounts[0]) if amounts else None


def _budget(
    desk: Desk, lease: Lease, policy: Policy, trip: Trip | None, price: UnitPrice | None
) -> Money | None:
    """The lease's own limit in its price's currency: the trip's, the policy's, or the smaller of both."""
    if price is None:
        return None
    found: list[Money] = []
    if trip is not None:
        funding = desk.journal.recall(trip.row.id, "fund", Funding)
        if funding is not None and funding.budget is not None and funding.budget.currency == price.currency:
            found.append(funding.budget)
    if policy.budget is not None and policy.budget.code == price.currency.code:
        found.append(price.currency.money(policy.budget.value))
    return min(found, default=None)


def _rate(desk: Desk, trip: Trip | None) -> int:
    """Bytes a second of provider time, by what this trip carried; 0 when not known."""
    size, time = 0, timedelta()
    if trip is not None:
        for step in desk.journal.steps(trip.row.id):
            if step.name.endswith(".push") and step.done_at is not None:
                report = desk.journal.recall(trip.row.id, step.name, TransferReport)
                size += report.sent if report else 0
                time += step.done_at - step.begun_at
    # What is small says how long a greeting takes, not how fast the line is.
    return size // max(1, time // timedelta(seconds=1)) if size >= 1 << 20 else 0


def renewals(desk: Desk, lease: str) -> int:
    """How often the guard has bought more time for ``lease``, or is about to."""
    return sum(
        row.kind == SCOPE and row.id.startswith(f"{SCOPE}-renew-") and row.outcome in ("", "done")
        for row in desk.journal.trips(lease)
    )


async def standing(desk: Desk, provider: str, leases: Sequence[Lease], few: int = 2) -> Mapping[str, Lease]:
    """The leases of one shop as they stand now; by one listing where there are more than ``few``.

    Only what the listing shows unchanged is taken from it. What it does not show, or shows otherwise, is asked for
    singly: nothing is concluded from absence. One that cannot be looked at is left out.
    """
    listed: Mapping[str, Lease] = {}
    # What was taken over by hand is in no shop's list under a name that we know.
    if sum(lease.declared is None for lease in leases) > few:
        found = await desk.shop(provider).leases()
        listed = {lease.ref: lease for lease in getattr(found, "items", ()) if lease.ref}
    known: dict[str, Lease] = {}
    odd: list[Lease] = []
    for lease in leases:
        if lease.declared is None and same(lease, listed.get(lease.ref)):
            known[lease.id] = lease
        else:
            odd.append(lease)
    gate = asyncio.Semaphore(SIDE_BY_SIDE)
    looks = await asyncio.gather(*(_single(desk, gate, lease) for lease in odd))
    known.update({lease.id: lease for lease in looks if lease is not None})
    if odd and not any(looks):
        raise UnavailableError(_("{provider} does not answer").format(provider=provider), retryable=True)
    return known


def same(ours: Lease, theirs: Lease | None) -> bool:
    return (
        theirs is not None
        and ours.pending is None
        and ours.state is theirs.state
        and ours.expires_at == theirs.expires_at
    )


async def _single(desk: Desk, gate: asyncio.Semaphore, lease: Lease) -> Lease | None:
    try:
        async with gate:
            return await desk.look(lease.id)
    except GpurentError:
        return None
