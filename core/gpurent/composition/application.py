"""The whole application, for one command."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from gpurent.composition.runtime import RuntimeParts
from gpurent.composition.state import make_unrecorded
from gpurent.domain.events import Event, EventKind
from gpurent.locale import _
from gpurent.workflow.runtime.lost_leases import format_former_leases, format_lost_leases

if TYPE_CHECKING:
    from gpurent.composition.backups import Backups
    from gpurent.composition.machines import MachineParts
    from gpurent.composition.money import MoneyParts
    from gpurent.composition.trips import TripParts
    from gpurent.roles.lease import LeaseProvider
    from gpurent.workflow.guard.orphan_watch import OrphanWatch
    from gpurent.workflow.guard.scheduler import Guard, GuardLock
    from gpurent.workflow.guard.volume_watch import VolumeWatch
    from gpurent.workflow.reports.overview import LeaseOverview

T = TypeVar("T")


def _delegate(find: Callable[[Application], T]) -> cached_property[T]:
    """Return an attribute for a part of another group; the group is imported and built on first access."""
    return cached_property(find)


class Application(RuntimeParts):
    """Where a command gets its parts. No part is ever given the application itself."""

    async def start(self) -> None:
        """Load the accounts, subscribe to events, ask about a vault that was replaced, unlock one with a passphrase."""
        await self.accounts.load()
        self.events.subscribe(self.notifications.on_event)
        self.events.subscribe(self._clean_up_exports)
        if change := await self.secrets.confirm_change():
            self.show_warning(
                _("{change}; nothing is read from it. See: gpurent vault show").format(change=change)
            )
        await self.secrets.unlock()
        lost = format_lost_leases(await self.lost_leases.list_lost_leases())
        if lost:
            # The guard notifies about them once; here they are shown by every command.
            for line in lost.splitlines():
                self.show_warning(line.strip())
        await self._tell_restore()

    async def _tell_restore(self) -> None:
        """Tell of a restore from a backup until the user has looked at what has happened since."""
        formers = format_former_leases(await self.lease_copier.list_former_leases())
        for line in [*formers.splitlines(), await self.restore_checks.describe()]:
            if line:
                self.show_warning(line.strip())

    def _clean_up_exports(self, event: Event) -> None:
        if event.kind is EventKind.LEASE_CHANGED:
            self.machines.export_cleanup.on_event(event)

    def _make_manual_provider(self) -> LeaseProvider:
        return self.machines.adopted_lease_provider

    # groups of parts

    @cached_property
    def money(self) -> MoneyParts:
        from gpurent.composition.money import MoneyParts

        return MoneyParts(self)

    @cached_property
    def machines(self) -> MachineParts:
        from gpurent.composition.machines import MachineParts

        return MachineParts(self)

    @cached_property
    def use_cases(self) -> TripParts:
        from gpurent.composition.trips import TripParts

        return TripParts(self, self.money, self.machines)

    @cached_property
    def backups(self) -> Backups:
        from gpurent.composition.backups import Backups

        return Backups(
            self.home,
            self.settings.environment,
            self.store,
            self.secrets,
            self.lease_copies,
            self.questions.ask_question,
        )

    @cached_property
    def guard(self) -> Guard:
        from gpurent.composition.guard import make_guard

        return make_guard(self, self.money, self.machines, self.use_cases, self._release_unrecorded)

    async def _release_unrecorded(self, lease_id: str) -> None:
        """Release a machine with what can be read of the state; nothing is recorded, as that is not possible now."""
        environment, outside = self.settings.environment, make_unrecorded(self.outside)
        other = Application(self.registry, self.home, environment, self.terminal, outside)
        try:
            await other.start()
            await other.releases.release_lease(lease_id)
        finally:
            await other.aclose()

    @cached_property
    def orphan_watch(self) -> OrphanWatch:
        from gpurent.composition.guard import make_orphan_watch

        return make_orphan_watch(self, self.use_cases)

    @cached_property
    def volume_watch(self) -> VolumeWatch:
        from gpurent.composition.guard import make_volume_watch

        return make_volume_watch(self)

    @cached_property
    def guard_lock(self) -> GuardLock:
        from gpurent.workflow.guard.scheduler import GuardLock

        return GuardLock(self.store, self.poller, self.events)

    # the parts that commands use

    account_money = _delegate(lambda it: it.money.account_money)
    budgets = _delegate(lambda it: it.money.budgets)
    offer_listing = _delegate(lambda it: it.money.offer_listing)
    receipts = _delegate(lambda it: it.money.receipts)
    reconciliation = _delegate(lambda it: it.money.reconciliation)
    ledger_check = _delegate(lambda it: it.money.ledger_check)
    cost_reports = _delegate(lambda it: it.money.cost_reports)

    connections = _delegate(lambda it: it.machines.connections)
    upload_previewer = _delegate(lambda it: it.machines.upload_previewer)
    file_commands = _delegate(lambda it: it.machines.file_commands)
    job_outputs = _delegate(lambda it: it.machines.job_outputs)
    kept_logs = _delegate(lambda it: it.machines.kept_logs)
    machine_commands = _delegate(lambda it: it.machines.machine_commands)
    machine_facts = _delegate(lambda it: it.machines.machine_facts)
    doctor = _delegate(lambda it: it.machines.doctor)
    notebooks = _delegate(lambda it: it.machines.notebooks)
    contact_commands = _delegate(lambda it: it.machines.contact_commands)
    exports = _delegate(lambda it: it.machines.exports)
    forwarding = _delegate(lambda it: it.machines.forwarding)
    timer_commands = _delegate(lambda it: it.machines.timer_commands)
    manual_commands = _delegate(lambda it: it.machines.manual_commands)

    trips = _delegate(lambda it: it.use_cases.trips)
    releases = _delegate(lambda it: it.use_cases.releases)
    release_review = _delegate(lambda it: it.use_cases.release_review)
    repeated_runs = _delegate(lambda it: it.use_cases.repeated_runs)
    lease_changes = _delegate(lambda it: it.use_cases.lease_changes)
    mail_addresses = _delegate(lambda it: it.use_cases.mail_addresses)
    bid_changes = _delegate(lambda it: it.use_cases.bid_changes)
    machine_stops = _delegate(lambda it: it.use_cases.machine_stops)
    provider_selector = _delegate(lambda it: it.use_cases.provider_selector)
    open_trips = _delegate(lambda it: it.use_cases.open_trips)
    trip_cancellation = _delegate(lambda it: it.use_cases.trip_cancellation)
    trip_reports = _delegate(lambda it: it.use_cases.trip_reports)
    orphan_search = _delegate(lambda it: it.use_cases.orphan_search)
    volume_lists = _delegate(lambda it: it.use_cases.volume_lists)
    volume_commands = _delegate(lambda it: it.use_cases.volume_commands)
    orphan_commands = _delegate(lambda it: it.use_cases.orphan_commands)
    dry_run = _delegate(lambda it: it.use_cases.dry_run)
    market = _delegate(lambda it: it.use_cases.market)
    stock_wait = _delegate(lambda it: it.use_cases.stock_wait)

    def make_overview(self, *, timeout: float = 15.0, include_over: bool = False) -> LeaseOverview:
        """Make a live overview of all leases for one command, which must close it."""
        from gpurent.workflow.reports.overview import LeaseOverview, LeaseTimes, MachineSampler

        sampler = MachineSampler(self.connector, self.machines.ownership, self.clock)
        times = LeaseTimes(self.time_left.get_time_left, self.time_warnings.get_thresholds)
        return LeaseOverview(
            self.leases,
            self.bookkeeping,
            sampler,
            times,
            self.clock,
            timeout=timeout,
            include_over=include_over,
        )
