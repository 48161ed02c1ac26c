"""The guard's scheduler: which provider is polled when, and which lease is checked when. One guard per data folder.

A slow or failing provider or lease does not delay the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from signal import SIGTERM

from attrs import define, field, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.locks import GUARD_LOCK
from gpurent.errors import BusyError, GpurentError
from gpurent.locale import _
from gpurent.ports.lock_store import LockStore
from gpurent.ports.system import ProviderClock
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
    """The lock that makes a process the guard; the system frees it when the process dies."""

    store: LockStore
    poller: Poller
    events: EventEmitter

    @asynccontextmanager
    async def acquire(self, *, wait: bool) -> AsyncIterator[bool]:
        """Yield whether this process is the guard; with ``wait``, wait until it is.

        The current holder of the lock is reported once.
        """
        text = _("the guard is running already: {owner}; nothing was done")
        if wait:
            text = _("the guard is running already: {owner}; this one is on standby")
        reported = False
        async with AsyncExitStack() as stack:

            async def enter() -> bool | None:
                nonlocal reported
                try:
                    await stack.enter_async_context(self.store.hold_lock(GUARD_LOCK))
                except BusyError as error:
                    if not reported:
                        reported = True
                        self.events.emit(EventKind.WAITING, text.format(owner=error.owner), owner=error.owner)
                    return None
                return True

            patience = None if wait else timedelta()
            mine = await self.poller.poll(
                enter, interval=LOCK_RETRY_INTERVAL, timeout=patience, min_seconds=0.25
            )
            yield mine is True


@define
class LiveSettings:
    """Reloads ``config.toml`` when it has changed.

    ``read_sections`` returns its sections and raises `UsageError` for a mistake in it.
    """

    settings: Settings
    warnings: GuardWarnings
    read_sections: Callable[[], Sections]
    _stamp: tuple[int, int] = field(default=_MISSING_STAMP, init=False)

    def load_settings(self) -> None:
        self._stamp = self._file_stamp()
        self.settings.sections = self.read_sections()

    def reload_if_changed(self) -> None:
        """Reload the settings if the file changed; if it has a mistake, keep the old settings and warn."""
        if self._file_stamp() == self._stamp:
            return
        try:
            self.load_settings()
        except GpurentError as error:
            self.warnings.emit_message(format_failure(error))

    def _file_stamp(self) -> tuple[int, int]:
        try:
            found = (self.settings.data_folder / "config.toml").stat()
        except OSError:
            return _MISSING_STAMP
        return found.st_mtime_ns, found.st_ino


@define
class PollState:
    """The polling state of one provider: ``due_at`` is the next poll (provider time), ``task`` the current one.

    ``problem``: what the last poll could not read, or empty.
    """

    due_at: datetime
    failures: int = 0
    problem: str = ""
    task: asyncio.Task[None] | None = None


@frozen(kw_only=True)
class GuardReport:
    """What one run of the guard found: ``results`` by lease, and why a provider could not be asked, by provider.

    ``unguarded``: why a lease is not guarded at all, by lease. ``unfinished``: what could not be checked or finished
    of a lease without a result, by lease.
    """

    results: Sequence[GuardResult] = ()
    failures: Mapping[str, str] = field(factory=dict)
    unguarded: Mapping[str, GpurentError] = field(factory=dict)
    unfinished: Mapping[str, str] = field(factory=dict)

    @property
    def has_failures(self) -> bool:
        """Whether anything could not be read or done."""
        return bool(self.failures or self.unfinished or any(result.failure for result in self.results))


@define
class Guard:
    """The guard's main loop. ``polls`` is by provider; ``due_at``, ``tasks``, ``results`` and ``unfinished`` are by
    lease.

    ``check_count`` counts the checks of all leases.
    """

    controller: GuardController
    provider_observer: ProviderObserver
    settings: LiveSettings
    lease_groups: LeaseGroups
    locks: LockStore
    clock: ProviderClock
    polls: dict[str, PollState] = field(factory=dict, init=False)
    due_at: dict[str, datetime] = field(factory=dict, init=False)
    tasks: dict[str, asyncio.Task[None]] = field(factory=dict, init=False)
    results: dict[str, GuardResult] = field(factory=dict, init=False)
    unfinished: dict[str, str] = field(factory=dict, init=False)
    check_count: int = field(default=0, init=False)
    _wake: asyncio.Event = field(factory=asyncio.Event, init=False)
    _waiting_until: datetime | None = field(default=None, init=False)
    _cleaned_up_at: datetime | None = field(default=None, init=False)

    async def run_once(self) -> GuardReport:
        """Poll each provider once and check each lease once; return when all actions are done."""
        self.settings.load_settings()
        await self._clean_up()
        groups, now = await self.lease_groups.group_by_provider(), self.clock.now()
        self.polls = {provider: PollState(due_at=now) for provider in groups}
        await asyncio.gather(
            *(self._poll_provider(name, leases, every=True) for name, leases in groups.items())
        )
        await asyncio.gather(*self.tasks.values())
        return GuardReport(
            results=list(self.results.values()),
            failures={name: poll.problem for name, poll in self.polls.items() if poll.problem},
            unguarded=self._report_unguarded(),
            unfinished=dict(self.unfinished),
        )

    async def run_forever(self) -> None:
        """Run until cancelled; raises `LockLost` if another process becomes the guard."""
        self.settings.load_settings()
        try:
            while True:
                self._waiting_until = await self._run_round()
                await self._wait_until(self._waiting_until)
        finally:
            polling = [poll.task for poll in self.polls.values() if poll.task is not None]
            await cancel_and_wait(*self.tasks.values(), *polling)

    async def _run_round(self) -> datetime:
        """Start what is due; return when the next round is. A failure, such as a full disk, is reported and retried.

        Raises `LockLost` if another process is the guard now.
        """
        await self.locks.require_locks()
        try:
            self.settings.reload_if_changed()
            await self._clean_up()
            due = await self._start_due_polls()
        except Exception as error:  # noqa: BLE001 - whatever it is, the machines must stay watched
            failures = self.controller.warnings.record_round(format_failure(error))
            return self.clock.now() + backoff_delay(failures, 3)
        self.controller.warnings.record_round("")
        return due

    async def _clean_up(self) -> None:
        now = self.clock.now()
        if self._cleaned_up_at is None or not timedelta() <= now - self._cleaned_up_at < MAX_INTERVAL:
            self._cleaned_up_at = now
            self.unfinished = dict(await self.controller.clean_up())

    # polling providers

    async def _poll_provider(self, provider: str, leases: Sequence[Lease], *, every: bool) -> None:
        """Observe the provider and its account once for all its leases, then check those that are due."""
        poll, asked = self.polls[provider], self.clock.now()
        try:
            found = await self.provider_observer.observe_provider(provider, leases)
            poll.failures, poll.problem = 0, found.problem
            poll.due_at = asked + MIN_INTERVAL
        except Exception as error:  # noqa: BLE001 - one broken plugin must not end the watch over the others
            poll.problem = format_failure(error)
            poll.due_at = self.clock.now() + backoff_delay(poll.failures, 3)
            poll.failures += 1
            # Deadlines, idleness and results do not depend on the provider's answer.
            found = await self.provider_observer.observe_without_answer(provider, leases)
        self.controller.warnings.record_outcome(provider, poll.problem)
        for lease in found.leases:
            due = every or self.due_at.get(lease.id, asked) <= asked
            if due and lease.id not in self.tasks:
                self.tasks[lease.id] = asyncio.create_task(self._guard_lease(lease, found))

    def _report_unguarded(self) -> Mapping[str, GpurentError]:
        """Warn of the leases that nothing can be done about, each once; return the errors by lease."""
        for lease_id, error in self.lease_groups.unguarded.items():
            self.controller.warnings.record_outcome(lease_id, format_failure(error), lease_id)
        return dict(self.lease_groups.unguarded)

    # checking leases

    async def _guard_lease(self, lease: Lease, found: ObservedProvider) -> None:
        wait = MAX_INTERVAL
        try:
            look = await self.controller.guard_lease(lease, found)
            self.results[lease.id] = look
            self.unfinished.pop(lease.id, None)
            self.check_count += 1
            wait = look.next_delay
        except Exception as error:  # noqa: BLE001 - one broken lease must not end the watch over the others
            self.unfinished[lease.id] = format_failure(error)
            self.controller.warnings.record_outcome(lease.id, self.unfinished[lease.id], lease.id)
        finally:
            due = self.clock.now() + wait
            self.due_at[lease.id] = due
            if self._waiting_until is not None and due < self._waiting_until:
                self._wake.set()
            del self.tasks[lease.id]

    # scheduling

    def _forget_ended_leases(self, groups: Mapping[str, Sequence[Lease]]) -> None:
        """Drop what is held of leases that are over: a guard may run for months."""
        living = {lease.id for leases in groups.values() for lease in leases}
        for lease in {*self.results, *self.due_at} - living - set(self.tasks):
            self.results.pop(lease, None)
            self.due_at.pop(lease, None)
            self.controller.forget_lease(lease)

    async def _start_due_polls(self) -> datetime:
        """Start polling the providers that are due; return when to call this again."""
        now = self.clock.now()
        groups = await self.lease_groups.group_by_provider()
        self._report_unguarded()
        self._forget_ended_leases(groups)
        for gone in set(self.polls) - set(groups):
            await self.provider_observer.topups.end_request(gone)
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
        """Wait until ``until`` or until a task is done. If the clock jumps, make all providers and leases due now."""
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
    """Return whether the clock changed by clearly more or less than the ``real`` elapsed time.

    ``real`` is seconds of a monotonic clock, which stands still while the computer is suspended.
    """
    shown = (clock.to_wall_time(after) - clock.to_wall_time(before)).total_seconds()
    slack = (clock.to_wall_time(after) - clock.to_wall_time(after - CLOCK_JUMP)).total_seconds()
    return abs(shown - real) > slack


async def run_until_terminated(work: Coroutine[object, object, None]) -> None:
    """Run ``work`` until it ends or SIGTERM arrives, which counts as success."""
    task = asyncio.ensure_future(work)
    with suppress(NotImplementedError):  # Windows tells nobody before it ends a process
        asyncio.get_running_loop().add_signal_handler(SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
