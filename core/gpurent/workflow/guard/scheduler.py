"""The watch: which shop is asked when. One that is slow or fails delays nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import datetime, timedelta
from signal import SIGTERM
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.time_left import TimeKind, TimeLeft, by_itself
from gpurent.errors import GpurentError
from gpurent.infra.config.settings import read_config
from gpurent.locale import _
from gpurent.workflow.guard.controller import BACKOFF, Account, GuardController, Looked
from gpurent.workflow.guard.decide import CEILING, FLOOR
from gpurent.workflow.guard.observe import standing, trip_of
from gpurent.workflow.guard.policy import Policy, check, policy_of
from gpurent.workflow.timing import alarms as alarm
from gpurent.workflow.timing.time_left import time_left

if TYPE_CHECKING:
    from gpurent.workflow.trips.operations import Service


class Measured(Protocol):
    """A clock whose time can be told as the wall's."""

    def to_wall(self, at: datetime) -> datetime: ...


SLICE = timedelta(seconds=15)
JUMP = timedelta(minutes=2)
MACHINES = 8
NEW = timedelta(minutes=1)
# How much of the time reading the list of leases may take at most: with many, it is read more seldom.
READING = 20


@define
class PollState:
    """One shop's rhythm: ``due`` is when it is asked next, in provider time."""

    due: datetime
    failures: int = 0
    told: bool = False
    task: asyncio.Task[None] | None = None


@define
class Guard:
    """Bound to a `Service`; `once` or `forever`."""

    service: Service
    minder: GuardController
    beats: dict[str, PollState] = field(factory=dict)
    due: dict[str, datetime] = field(factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(factory=dict)
    looked: dict[str, Looked] = field(factory=dict)
    wake: asyncio.Event = field(factory=asyncio.Event)
    until: datetime | None = None
    groups: dict[str, list[Lease]] = field(factory=dict)
    read_again: float = 0.0
    looks: int = 0
    over_at: datetime | None = None
    stamp: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, service: Service, machines: int = MACHINES) -> Guard:
        return cls(service, GuardController.of(service, machines))

    # policy

    def read_policy(self, *, strict: bool) -> None:
        """The file as it is now. A mistake in it is an error at the start; later the old rules stand and it is told."""
        desk = self.service.desk
        path = desk.home / "config.toml"
        try:
            found = path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
        except OSError:
            stamp = (0, 0)
        if stamp == self.stamp and not strict:
            return
        self.stamp = stamp
        try:
            config = read_config(path)
            check(config, self._names())
            desk.config = config
        except GpurentError as error:
            if strict:
                raise
            desk.tell(EventKind.WARNING, f"{error.message} {error.hint}".strip())

    def _names(self) -> Sequence[str]:
        journal = self.service.desk.journal
        return (
            *self.service.desk.registry.lease,
            *(lease.id for lease in journal.leases()),
            *(row.id for row in journal.trips()),
        )

    def policy(self, lease: Lease) -> Policy:
        trip = trip_of(self.service.desk, lease)
        names = (lease.provider, lease.id, trip.row.id if trip else "")
        return policy_of(self.service.desk.config, names, trip.row.want.rules if trip else None)

    # one round of a shop

    async def _ask(self, provider: str, leases: Sequence[Lease], every: bool) -> None:
        """Ask the shop and the account once for all its leases, then set off what is due."""
        desk, beat = self.service.desk, self.beats[provider]
        asked = desk.clock.now()
        try:
            known = await standing(desk, provider, leases)
            times = await time_left(desk, list(known.values()))
            account = await self.minder.account(provider)
        except Exception as error:  # noqa: BLE001 - one broken plugin must not end the watch over the others
            self._failed(provider, beat, error)
            return
        if beat.told:
            desk.tell(EventKind.WARNING, _("{provider} answers again").format(provider=provider))
        beat.failures, beat.told = 0, False
        for lease in known.values():
            due = every or self.due.get(lease.id, asked) <= asked
            if due and lease.id not in self.tasks:
                work = self._mind(lease, times[lease.id], account)
                self.tasks[lease.id] = asyncio.create_task(work)
        beat.due = asked + FLOOR

    def _failed(self, provider: str, beat: PollState, error: Exception) -> None:
        desk = self.service.desk
        beat.failures += 1
        beat.due = desk.clock.now() + min(BACKOFF * 2 ** min(beat.failures - 1, 3), CEILING)
        if not beat.told:
            beat.told = True
            why = error.message if isinstance(error, GpurentError) else f"{type(error).__name__}: {error}"
            desk.tell(EventKind.WARNING, f"{provider}: {why}")

    async def _mind(self, lease: Lease, time: TimeLeft, account: Account) -> None:
        try:
            looked = await self.minder.mind(lease, time, self.policy(lease), account)
            self.looked[lease.id] = looked
            self.looks += 1
            self._plan(lease, looked.next)
        except Exception as error:  # noqa: BLE001 - one broken lease must not end the watch over the others
            self._plan(lease, CEILING)
            self.service.desk.tell(
                EventKind.WARNING, f"{lease.id}: {type(error).__name__}: {error}", lease=lease.id
            )
        finally:
            del self.tasks[lease.id]

    def _plan(self, lease: Lease, wait: timedelta) -> None:
        due = self.service.desk.clock.now() + wait
        self.due[lease.id] = due
        if self.until is not None and due < self.until:
            self.wake.set()

    def _groups(self) -> dict[str, list[Lease]]:
        """The leases that are not over, by provider."""
        begun = monotonic()
        if begun < self.read_again:
            return self.groups
        found: dict[str, list[Lease]] = {}
        for lease in self.service.desk.journal.standing():
            if lease.provider in self.service.desk.registry.lease:
                found.setdefault(lease.provider, []).append(lease)
        self.groups = found
        self.read_again = monotonic() + READING * (monotonic() - begun)
        return found

    async def _mind_what_is_over(self) -> None:
        """Machines that are shut cost nothing, but their files go one day; and deeds on them may lack their end."""
        desk = self.service.desk
        now = desk.clock.now()
        if self.over_at is not None and timedelta() <= now - self.over_at < CEILING:
            return
        self.over_at = now
        await self.minder.tidy()
        for lease in desk.journal.leases():
            figure = by_itself(lease, now) if lease.state is LeaseState.KEPT else None
            if figure is not None and figure.kind is TimeKind.KEPT:
                alarm.mind(desk, lease, figure)

    # once

    async def once(self) -> Sequence[Looked]:
        """Each shop once, each lease once; ends when everything that was decided is done."""
        self.read_policy(strict=True)
        await self._mind_what_is_over()
        groups = self._groups()
        now = self.service.desk.clock.now()
        self.beats = {provider: PollState(due=now) for provider in groups}
        await asyncio.gather(*(self._ask(name, leases, every=True) for name, leases in groups.items()))
        await asyncio.gather(*self.tasks.values())
        return list(self.looked.values())

    # for ever

    async def forever(self) -> None:
        """Until cancelled."""
        self.read_policy(strict=True)
        try:
            while True:
                self.read_policy(strict=False)
                await self._mind_what_is_over()
                self.until = self._set_off()
                await self._wait(self.until)
        finally:
            running = [*self.tasks.values(), *(beat.task for beat in self.beats.values() if beat.task)]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _set_off(self) -> datetime:
        """Start the rounds that are due; gives when to look here again."""
        now = self.service.desk.clock.now()
        groups = self._groups()
        for gone in set(self.beats) - set(groups):
            self.minder.topups.drop(gone)
            del self.beats[gone]
        soonest = now + NEW
        for provider, leases in groups.items():
            beat = self.beats.setdefault(provider, PollState(due=now))
            if beat.task is not None and beat.task.done():
                beat.task = None
            if beat.task is not None:
                continue
            waiting = [self.due.get(lease.id, now) for lease in leases if lease.id not in self.tasks]
            due = max(beat.due, min(waiting, default=now + NEW))
            if due <= now:
                beat.task = asyncio.create_task(self._round(provider, leases))
            else:
                soonest = min(soonest, due)
        return soonest

    async def _round(self, provider: str, leases: Sequence[Lease]) -> None:
        try:
            await self._ask(provider, leases, every=False)
        finally:
            self.wake.set()

    async def _wait(self, until: datetime) -> None:
        """Until then, or until something is done, or the clock has jumped: then everybody is asked at once."""
        clock = self.service.desk.clock
        while (rest := until - clock.now()) > timedelta() and not self.wake.is_set():
            nap = min(rest, SLICE)
            before, real = clock.now(), monotonic()
            sleeping = asyncio.create_task(clock.sleep(nap))
            waking = asyncio.create_task(self.wake.wait())
            await asyncio.wait((sleeping, waking), return_when=asyncio.FIRST_COMPLETED)
            for task in (sleeping, waking):
                task.cancel()
            await asyncio.gather(sleeping, waking, return_exceptions=True)
            if jumped(clock, before, clock.now(), monotonic() - real):
                self._all_due()
                break
        self.wake.clear()

    def _all_due(self) -> None:
        now = self.service.desk.clock.now()
        self.due.clear()
        for beat in self.beats.values():
            beat.due = now


def jumped(clock: Measured, before: datetime, after: datetime, real: float) -> bool:
    """Whether the clock moved otherwise than the time that really passed explains: back, or far ahead.

    ``real``: seconds on a clock of this computer that nobody can set, and that stands still while it is suspended.
    """
    shown = (clock.to_wall(after) - clock.to_wall(before)).total_seconds()
    slack = (clock.to_wall(after) - clock.to_wall(after - JUMP)).total_seconds()
    return abs(shown - real) > slack


async def until_told(work: Coroutine[object, object, None]) -> None:
    """``work`` until it ends or the system asks to stop (SIGTERM), which is a good end."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
