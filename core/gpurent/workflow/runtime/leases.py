"""The lease tracker: finds, refreshes and saves our leases, and emits an event for each change of state."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, evolve

from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Metered
from gpurent.errors import (
    BusyError,
    GpurentError,
    InputRequired,
    LeaseError,
    Spent,
    UnavailableError,
    UsageError,
)
from gpurent.locale import _, join_list
from gpurent.ports.store import LeaseStore
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins


@define(eq=False)
class LeaseTracker:
    store: LeaseStore
    plugins: Plugins
    events: EventEmitter

    def get_lease(self, lease_id: str) -> Lease:
        """Return the lease with this id or unique prefix.

        Raises `UsageError` if the prefix is ambiguous, `LeaseError` if there is no such lease.
        """
        exact = self.store.find_lease(lease_id)
        if exact is not None:
            return exact
        found = [lease for lease in self.store.list_leases() if lease_id and lease.id.startswith(lease_id)]
        if len(found) == 1:
            return found[0]
        if found:
            many = join_list(lease.id for lease in found)
            raise UsageError(_("{given} is ambiguous: {many}").format(given=lease_id, many=many))
        raise LeaseError(_("no such lease: {given}").format(given=lease_id), hint=_("See: gpurent ls --all"))

    def list_leases(self, *, include_over: bool = False) -> list[Lease]:
        """Return our leases in their last known state, oldest first; those that are over only if ``include_over``."""
        return list(self.store.list_leases() if include_over else self.store.list_open_leases())

    def save_lease(self, lease: Lease) -> Lease:
        """Save the lease; emit an event if its state changed."""
        before = self.store.find_lease(lease.id)
        self.store.save_lease(lease)
        if before is None or before.state is not lease.state:
            self._emit_lease_changed(lease)
        return lease

    def update_lease(self, lease_id: str, change: Callable[[Lease], Lease]) -> Lease:
        """Apply ``change`` to the lease and save it; retry if another process changed the lease meanwhile."""
        while True:
            before = self.get_lease(lease_id)
            after = change(before)
            if after == before or self.store.swap_lease(before, after):
                return after

    async def refresh_lease(self, lease_id: str) -> Lease:
        """Ask the provider for the lease's state and save it; retry if another process changed the lease meanwhile."""
        while True:
            before = self.get_lease(lease_id)
            after = await self.plugins.provider_of(before).refresh_lease(before)
            if after == before:
                return before
            if self.store.swap_lease(before, after):
                if after.state is not before.state:
                    self._emit_lease_changed(after)
                return after

    async def observe_lease(self, lease_id: str) -> Lease | Unknown:
        """Refresh the lease; `Unknown` if the provider's answer says nothing about it.

        Raises only what needs the user or another process: `InputRequired`, `BusyError`.
        """
        try:
            return await self.refresh_lease(lease_id)
        except (InputRequired, BusyError):
            raise
        except UnavailableError as error:
            return Unknown(error.message, error.retry_after)
        except GpurentError as error:
            return Unknown(error.message)

    async def try_refresh_lease(self, lease_id: str) -> Lease:
        """Refresh the lease; on failure, return it unchanged with the reason as its note."""
        lease = self.get_lease(lease_id)
        # Kept files may have been deleted since; every other end is final.
        if lease.is_over and lease.state is not LeaseState.KEPT:
            return lease
        try:
            return await self.refresh_lease(lease.id)
        except GpurentError as error:
            return evolve(lease, note=error.message)

    async def list_refreshed_leases(self, *, include_over: bool = False) -> list[Lease]:
        """Return our leases, each refreshed now."""
        import asyncio  # lazy: offline listings also load this module

        found = await asyncio.gather(
            *(self.try_refresh_lease(lease.id) for lease in self.list_leases(include_over=include_over))
        )
        return [lease for lease in found if include_over or not lease.is_over]

    def _emit_lease_changed(self, lease: Lease) -> None:
        from gpurent.domain.events import EventKind  # lazy: listings emit no events

        if lease.state is LeaseState.PAYABLE and isinstance(lease.offer.tariff, Metered):
            return  # nothing has to be paid in advance
        self.events.emit(EventKind.LEASE_CHANGED, lease.note, lease=lease.id, state=lease.state.value)


def not_running_error(lease: Lease) -> LeaseError:
    """Return the error for a machine that has to be running but is not; nothing was spent."""
    return LeaseError(_("{lease} is not running ({state})").format(lease=lease.id, state=lease.state.title))


def require_running(lease: Lease) -> None:
    """Raise `LeaseError` if the lease is not ready."""
    if lease.state is not LeaseState.READY:
        raise not_running_error(lease)


def add_burning_lease(error: GpurentError, lease_id: str) -> GpurentError:
    """Mark ``error`` to say that this lease still costs money, and return it."""
    error.spent = Spent.YES
    if lease_id not in error.burning:
        error.burning = (*error.burning, lease_id)
    return error
