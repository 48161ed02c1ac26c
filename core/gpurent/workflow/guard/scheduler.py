"""The guard at work: one for each data folder. Which provider is asked when, and which lease is looked after when.

A provider or a lease that is slow or fails delays nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime, timedelta
from signal import SIGTERM

from attrs import define, field, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.errors import Busy, GpurentError
from gpurent.locale import _
from gpurent.ports.system import Locks, ProviderClock
from gpurent.workflow.guard.controller import GuardController, GuardLook
from gpurent.workflow.guard.decide import CEILING, FLOOR
from gpurent.workflow.guard.observe_provider import LeaseGroups, ObservedProvider, ProviderObserver
from gpurent.workflow.guard.warnings import GuardWarnings, backoff, trouble_text
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.settings import Sections, Settings
from gpurent.workflow.runtime.waiting import Poller, cancel_and_wait, wait_for_first

AGAIN = timedelta(seconds=15)
_MISSING = (0, 0)
SLICE = timedelta(seconds=15)
JUMP = timedelta(minutes=2)
NEW = timedelta(minutes=1)


@frozen
class GuardLock:
    """Whoever holds the lock is the guard; the system lets go of it when its holder dies."""

    locks: Locks
    poller: Poller
    events: EventEmitter

    @asynccontextmanager
    async def alone(self, *, wait: bool) -> AsyncIterator[bool]:
        """Whether this process is the guard; with ``wait`` it stands by until it is.

        Who holds the lock is reported once.
        """
        text = _("process {holder} is the guard here; nothing was done")
        if wait:
            text = _("process {holder} is the guard here; this one stands by")
        reported = False
        with ExitStack() as stack:

            async def enter() -> bool | None:
                nonlocal reported
                try:
                    stack.enter_context(self.locks.hold("guard"))
                except Busy as error:
                    if not reported:
                        reported = True
                        self.events.emit(
                            EventKind.WAITING, text.format(holder=error.holder), holder=error.holder
                        )
                    return None
                return True

            patience = None if wait else timedelta()
            mine = await self.poller.poll(enter, every=AGAIN, patience=patience, floor=0.25)
            yield mine is True


@define
class LiveSettings:
    """Has ``config.toml`` read again when it was changed. ``read``: its sections; a mistake is a `UsageError`."""

    settings: Settings
    warnings: GuardWarnings
    read: Callable[[], Sections]
    _stamp: tuple[int, int] = field(default=_MISSING, init=False)

    def load(self) -> None:
        self._stamp = self._file_stamp()
        self.settings.sections = self.read()

    def reload(self) -> None:
        """As `load`, if it was changed; with a mistake in it the old rules stand, and the user is told."""
        if self._file_stamp() == self._stamp:
            return
        try:
            self.load()
        except GpurentError as error:
            self.warnings.report(trouble_text(error))

    def _file_stamp(self) -> tuple[int, int]:
        try:
            found = (self.settings.home / "config.toml").stat()
        except OSError:
            return _MISSING
        return found.st_mtime_ns, found.st_ino


@define
class PollState:
    """One provider's rhythm: ``due`` is when it is asked next, in provider time; ``task`` asks it now."""

    due: datetime
    failures: int = 0
    task: asyncio.Task[None] | None = None


@define
class Guard:
    """`once` or `forever`. By provider: ``polls``. By lease: when it is ``due``, its ``tasks``, what ``looked`` like.

    ``looks``: how often any lease was looked after.
    """

    controller: GuardController
    providers: ProviderObserver
    settings: LiveSettings
    groups: LeaseGroups
    clock: ProviderClock
    polls: dict[str, PollState] = field(factory=dict, init=False)
    due: dict[str, datetime] = field(factory=dict, init=False)
    tasks: dict[str, asyncio.Task[None]] = field(factory=dict, init=False)
    looked: dict[str, GuardLook] = field(factory=dict, init=False)
    looks: int = field(default=0, init=False)
    _wake: asyncio.Event = field(factory=asyncio.Event, init=False)
    _until: datetime | None = field(default=None, init=False)
    _tidied_at: datetime | None = field(default=None, init=False)

    async def once(self) -> Sequence[GuardLook]:
        """Each provider once, each lease once; ends when everything that was decided is done."""
        self.settings.load()
        await self._tidy()
        groups, now = self.groups.by_provider(), self.clock.now()
        self.polls = {provider: PollState(due=now) for provider in groups}
        await asyncio.gather(*(self._poll(name, leases, every=True) for name, leases in groups.items()))
        await asyncio.gather(*self.tasks.values())
        return list(self.looked.values())

    async def forever(self) -> None:
        """Until cancelled."""
        self.settings.load()
        try:
            while True:
                self.settings.reload()
                await self._tidy()
                self._until = self._start_due()
                await self._wait(self._until)
        finally:
            polling = [poll.task for poll in self.polls.values() if poll.task is not None]
            await cancel_and_wait(*self.tasks.values(), *polling)

    async def _tidy(self) -> None:
        now = self.clock.now()
        if self._tidied_at is None or not timedelta() <= now - self._tidied_at < CEILING:
            self._tidied_at = now
            await self.controller.tidy()

    # one provider

    async def _poll(self, provider: str, leases: Sequence[Lease], *, every: bool) -> None:
        """Ask provider and account once for all its leases, then look after those that are due."""
        poll, asked = self.polls[provider], self.clock.now()
        try:
            found = await self.providers.observe(provider, leases)
        except Exception as error:  # noqa: BLE001 - one broken plugin must not end the watch over the others
            if not poll.failures:
                why = error.message if isinstance(error, GpurentError) else f"{type(error).__name__}: {error}"
                self.controller.warnings.report(f"{provider}: {why}")
            poll.due = self.clock.now() + backoff(poll.failures, 3)
            poll.failures += 1
            return
        if poll.failures:
            self.controller.warnings.report(_("{provider} answers again").format(provider=provider))
        poll.failures = 0
        for lease in found.leases:
            due = every or self.due.get(lease.id, asked) <= asked
            if due and lease.id not in self.tasks:
                self.tasks[lease.id] = asyncio.create_task(self._look_after(lease, found))
        poll.due = asked + FLOOR

    # one lease

    async def _look_after(self, lease: Lease, found: ObservedProvider) -> None:
        wait = CEILING
        try:
            look = await self.controller.look_after(lease, found)
            self.looked[lease.id] = look
            self.looks += 1
            wait = look.next
        except Exception as error:  # noqa: BLE001 - one broken lease must not end the watch over the others
            text = f"{lease.id}: {type(error).__name__}: {error}"
            self.controller.warnings.report(text, lease.id)
        finally:
            due = self.clock.now() + wait
            self.due[lease.id] = due
            if self._until is not None and due < self._until:
                self._wake.set()
            del self.tasks[lease.id]

    # all of them

    def _start_due(self) -> datetime:
        """Start asking the providers that are due; when to look here again."""
        now = self.clock.now()
        groups = self.groups.by_provider()
        for gone in set(self.polls) - set(groups):
            self.providers.topups.drop(gone)
            del self.polls[gone]
        soonest = now + NEW
        for provider, leases in groups.items():
            poll = self.polls.setdefault(provider, PollState(due=now))
            if poll.task is not None and not poll.task.done():
                continue
            waiting = [self.due.get(lease.id, now) for lease in leases if lease.id not in self.tasks]
            due = max(poll.due, min(waiting, default=now + NEW))
            if due <= now:
                poll.task = asyncio.create_task(self._poll(provider, leases, every=False))
                poll.task.add_done_callback(lambda _task: self._wake.set())
            else:
                soonest = min(soonest, due)
        return soonest

    async def _wait(self, until: datetime) -> None:
        """Until then, or until something is done, or the clock has jumped: then everybody is asked at once."""
        loop = asyncio.get_running_loop()
        while (rest := until - self.clock.now()) > timedelta() and not self._wake.is_set():
            before, real = self.clock.now(), loop.time()
            await wait_for_first(self.clock.sleep(min(rest, SLICE)), self._wake.wait())
            if jumped(self.clock, before, self.clock.now(), loop.time() - real):
                self.due.clear()
                for poll in self.polls.values():
                    poll.due = self.clock.now()
                break
        self._wake.clear()


def jumped(clock: ProviderClock, before: datetime, after: datetime, real: float) -> bool:
    """Whether the clock moved otherwise than the time that really passed explains: back, or far ahead.

    ``real``: seconds on a clock of this computer that nobody can set, and that stands still while it is suspended.
    """
    shown = (clock.to_wall(after) - clock.to_wall(before)).total_seconds()
    slack = (clock.to_wall(after) - clock.to_wall(after - JUMP)).total_seconds()
    return abs(shown - real) > slack


async def until_terminated(work: Coroutine[object, object, None]) -> None:
    """``work`` until it ends or the system asks to stop (SIGTERM), which is a good end."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
