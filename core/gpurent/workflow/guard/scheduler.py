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
from gpurent.errors import BusyError, GpurentError
from gpurent.locale import _
from gpurent.ports.system import Locks, ProviderClock
from gpurent.workflow.guard.controller import GuardController, GuardResult
from gpurent.workflow.guard.decide import MAX_INTERVAL, MIN_INTERVAL
from gpurent.workflow.guard.observe_provider import LeaseGroups, ObservedProvider, ProviderObserver
from gpurent.workflow.guard.warnings import GuardWarnings, backoff_delay, format_failure
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.settings import Sections, Settings
from gpurent.workflow.runtime.waiting import Poller, cancel_and_wait, wait_for_first

LOCK_RETRY_INTERVAL = timedelta(seconds=15)
_MISSING_STAMP = (0, 0)
SLEEP_SLICE = timedelta(seconds=15)
CLOCK_JUMP = timedelta(minutes=2)
NEW_LEASE_INTERVAL = timedelta(minutes=1)


@frozen
class GuardLock:
    """Whoever holds the lock is the guard; the system lets go of it when its holder dies."""

    locks: Locks
    poller: Poller
    events: EventEmitter

    @asynccontextmanager
    async def acquire(self, *, wait: bool) -> AsyncIterator[bool]:
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
                except BusyError as error:
                    if not reported:
                        reported = True
                        self.events.emit(
                            EventKind.WAITING, text.format(holder=error.holder), holder=error.holder
                        )
                    return None
                return True

            patience = None if wait else timedelta()
            mine = await self.poller.poll(
                enter, interval=LOCK_RETRY_INTERVAL, timeout=patience, min_seconds=0.25
            )
            yield mine is True


@define
class LiveSettings:
    """Has ``config.toml`` read again when it was changed.

    ``read_sections``: its sections; a mistake is a `UsageError`.
    """

    settings: Settings
    warnings: GuardWarnings
    read_sections: Callable[[], Sections]
    _stamp: tuple[int, int] = field(default=_MISSING_STAMP, init=False)

    def load_settings(self) -> None:
        self._stamp = self._file_stamp()
        self.settings.sections = self.read_sections()

    def reload_if_changed(self) -> None:
        """As `load`, if it was changed; with a mistake in it the old rules stand, and the user is told."""
        if self._file_stamp() == self._stamp:
            return
        try:
            self.load_settings()
        except GpurentError as error:
            self.warnings.emit_warning(format_failure(error))

    def _file_stamp(self) -> tuple[int, int]:
        try:
            found = (self.settings.home / "config.toml").stat()
        except OSError:
            return _MISSING_STAMP
        return found.st_mtime_ns, found.st_ino


@define
class PollState:
    """One provider's rhythm: ``due_at`` is when it is asked next, in provider time; ``task`` asks it now."""

    due_at: datetime
    failures: int = 0
    task: asyncio.Task[None] | None = None


@define
class Guard:
    """`once` or `forever`. By provider: ``polls``. By lease: when it is ``due``, its ``tasks``, what ``results`` like.

    ``check_count``: how often any lease was looked after.
    """

    controller: GuardController
    provider_observer: ProviderObserver
    settings: LiveSettings
    lease_groups: LeaseGroups
    clock: ProviderClock
    polls: dict[str, PollState] = field(factory=dict, init=False)
    due_at: dict[str, datetime] = field(factory=dict, init=False)
    tasks: dict[str, asyncio.Task[None]] = field(factory=dict, init=False)
    results: dict[str, GuardResult] = field(factory=dict, init=False)
    check_count: int = field(default=0, init=False)
    _wake: asyncio.Event = field(factory=asyncio.Event, init=False)
    _waiting_until: datetime | None = field(default=None, init=False)
    _cleaned_up_at: datetime | None = field(default=None, init=False)

    async def run_once(self) -> Sequence[GuardResult]:
        """Each provider once, each lease once; ends when everything that was decided is done."""
        self.settings.load_settings()
        await self._clean_up()
        groups, now = self.lease_groups.group_by_provider(), self.clock.now()
        self.polls = {provider: PollState(due_at=now) for provider in groups}
        await asyncio.gather(
            *(self._poll_provider(name, leases, every=True) for name, leases in groups.items())
        )
        await asyncio.gather(*self.tasks.values())
        return list(self.results.values())

    async def run_forever(self) -> None:
        """Until cancelled."""
        self.settings.load_settings()
        try:
            while True:
                self.settings.reload_if_changed()
                await self._clean_up()
                self._waiting_until = self._start_due_polls()
                await self._wait_until(self._waiting_until)
        finally:
            polling = [poll.task for poll in self.polls.values() if poll.task is not None]
            await cancel_and_wait(*self.tasks.values(), *polling)

    async def _clean_up(self) -> None:
        now = self.clock.now()
        if self._cleaned_up_at is None or not timedelta() <= now - self._cleaned_up_at < MAX_INTERVAL:
            self._cleaned_up_at = now
            await self.controller.clean_up()

    # one provider

    async def _poll_provider(self, provider: str, leases: Sequence[Lease], *, every: bool) -> None:
        """Ask provider and account once for all its leases, then look after those that are due."""
        poll, asked = self.polls[provider], self.clock.now()
        try:
            found = await self.provider_observer.observe_provider(provider, leases)
        except Exception as error:  # noqa: BLE001 - one broken plugin must not end the watch over the others
            if not poll.failures:
                why = error.message if isinstance(error, GpurentError) else f"{type(error).__name__}: {error}"
                self.controller.warnings.emit_warning(f"{provider}: {why}")
            poll.due_at = self.clock.now() + backoff_delay(poll.failures, 3)
            poll.failures += 1
            return
        if poll.failures:
            self.controller.warnings.emit_warning(_("{provider} answers again").format(provider=provider))
        poll.failures = 0
        for lease in found.leases:
            due = every or self.due_at.get(lease.id, asked) <= asked
            if due and lease.id not in self.tasks:
                self.tasks[lease.id] = asyncio.create_task(self._guard_lease(lease, found))
        poll.due_at = asked + MIN_INTERVAL

    # one lease

    async def _guard_lease(self, lease: Lease, found: ObservedProvider) -> None:
        wait = MAX_INTERVAL
        try:
            look = await self.controller.guard_lease(lease, found)
            self.results[lease.id] = look
            self.check_count += 1
            wait = look.next_delay
        except Exception as error:  # noqa: BLE001 - one broken lease must not end the watch over the others
            text = f"{lease.id}: {type(error).__name__}: {error}"
            self.controller.warnings.emit_warning(text, lease.id)
        finally:
            due = self.clock.now() + wait
            self.due_at[lease.id] = due
            if self._waiting_until is not None and due < self._waiting_until:
                self._wake.set()
            del self.tasks[lease.id]

    # all of them

    def _start_due_polls(self) -> datetime:
        """Start asking the providers that are due; when to look here again."""
        now = self.clock.now()
        groups = self.lease_groups.group_by_provider()
        for gone in set(self.polls) - set(groups):
            self.provider_observer.topups.end_request(gone)
            del self.polls[gone]
        soonest = now + NEW_LEASE_INTERVAL
        for provider, leases in groups.items():
            poll = self.polls.setdefault(provider, PollState(due_at=now))
            if poll.task is not None and not poll.task.done():
                continue
            waiting = [self.due_at.get(lease.id, now) for lease in leases if lease.id not in self.tasks]
            due = max(poll.due_at, min(waiting, default=now + NEW_LEASE_INTERVAL))
            if due <= now:
                poll.task = asyncio.create_task(self._poll_provider(provider, leases, every=False))
                poll.task.add_done_callback(lambda _task: self._wake.set())
            else:
                soonest = min(soonest, due)
        return soonest

    async def _wait_until(self, until: datetime) -> None:
        """Until then, or until something is done, or the clock has jumped: then everybody is asked at once."""
        loop = asyncio.get_running_loop()
        while (rest := until - self.clock.now()) > timedelta() and not self._wake.is_set():
            before, real = self.clock.now(), loop.time()
            await wait_for_first(self.clock.sleep(min(rest, SLEEP_SLICE)), self._wake.wait())
            if has_clock_jumped(self.clock, before, self.clock.now(), loop.time() - real):
                self.due_at.clear()
                for poll in self.polls.values():
                    poll.due_at = self.clock.now()
                break
        self._wake.clear()


def has_clock_jumped(clock: ProviderClock, before: datetime, after: datetime, real: float) -> bool:
    """Whether the clock moved otherwise than the time that really passed explains: back, or far ahead.

    ``real``: seconds on a clock of this computer that nobody can set, and that stands still while it is suspended.
    """
    shown = (clock.to_wall_time(after) - clock.to_wall_time(before)).total_seconds()
    slack = (clock.to_wall_time(after) - clock.to_wall_time(after - CLOCK_JUMP)).total_seconds()
    return abs(shown - real) > slack


async def run_until_terminated(work: Coroutine[object, object, None]) -> None:
    """``work`` until it ends or the system asks to stop (SIGTERM), which is a good end."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
