"""The guard, which watches all leases and acts on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gpurent.composition.machines import MachineParts
from gpurent.composition.money import MoneyParts
from gpurent.composition.runtime import RuntimeParts
from gpurent.composition.trips import TripParts
from gpurent.workflow.guard import (
    controller,
    lease_endings,
    observe_lease,
    observe_provider,
    orphan_watch,
    purchases,
    saved_state,
    scheduler,
    spending,
    volume_watch,
    warnings,
)
from gpurent.workflow.payments import missing_leases


def make_guard(
    base: RuntimeParts,
    money: MoneyParts,
    machines: MachineParts,
    trips: TripParts,
    release_unrecorded: Callable[[str], Awaitable[None]],
) -> scheduler.Guard:
    """Make the guard with all its parts, from observation to actions."""
    store, plugins, leases, clock = base.store, base.plugins, base.leases, base.clock
    log = saved_state.ActionLog(
        store, base.events, base.locks, clock, money.trip_spending, base.service_clocks
    )
    memories = saved_state.GuardMemories(store)
    in_store = observe_lease.StoreObserver(store, base.locks)
    facts = observe_lease.FactsCollector(in_store, memories, plugins, base.machine_timers, base.time_warnings)
    on_machine = observe_lease.MachineObserver(machines.ownership, machines.job_runners, base.service_clocks)
    topups = purchases.TopUpRequests(log, plugins, money.budgets)
    month = spending.MonthBudgets(money.budgets, base.bookkeeping)
    missing = missing_leases.MissingLeases(leases, base.bookkeeping)
    at_provider = observe_provider.ProviderObserver(plugins, leases, base.time_left, topups, month, missing)

    renewals = purchases.LeaseRenewals(log, plugins, leases, trips.lease_orders, machines.timer_commands)
    saver = lease_endings.ResultSaver(machines.connections, machines.job_runners, machines.results, memories)
    saves = lease_endings.SaveActions(log, in_store, saver)
    lease_ends = lease_endings.LeaseEndings(
        log, in_store, saves, trips.keep_results, trips.machine_uses, trips.release_step, money.receipts
    )
    recorded = controller.RecordedActions(log, renewals, saves, lease_ends)
    timers = controller.GuardTimers(machines.connections, machines.trip_timers, in_store, clock)
    lease_warnings = warnings.GuardWarnings(base.time_warnings, memories, base.events)
    actions = controller.GuardActions(
        recorded, topups, timers, trips.trips, lease_warnings, release_unrecorded
    )

    leftovers = controller.UnfinishedActions(log, recorded, trips.trips, store)
    observer = observe_lease.GuardedLeaseObserver(
        machines.guard_policies, on_machine, facts, money.budgets.meters, base.service_clocks
    )
    lease_controller = controller.GuardController(observer, actions, leftovers, lease_warnings)
    live_settings = scheduler.LiveSettings(base.settings, lease_warnings, base.read_settings)
    return scheduler.Guard(
        lease_controller,
        at_provider,
        live_settings,
        observe_provider.LeaseGroups(store, plugins, base.restore_checks),
        store,
        clock,
    )


def make_volume_watch(base: RuntimeParts) -> volume_watch.VolumeWatch:
    return volume_watch.VolumeWatch(
        base.volumes, base.store, base.time_left, base.store, base.events, base.clock
    )


def make_orphan_watch(base: RuntimeParts, trips: TripParts) -> orphan_watch.OrphanWatch:
    return orphan_watch.OrphanWatch(
        trips.orphan_search, base.store, base.events, base.clock, base.logins.find_account
    )
