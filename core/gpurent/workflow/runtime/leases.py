"""The lease tracker: finds, refreshes and saves our leases, and emits an event for each change of state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from attrs import define, evolve

from gpurent.domain.evidence import Absent, Unknown, make_unknown
from gpurent.domain.id_matching import find_id, suggest_id
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.lease_evidence import (
    apply_answer,
    keep_sent_time,
    mark_order_sent,
    mark_release_requested,
    restore_last_seen,
)
from gpurent.domain.offer import Metered, OrderKind, Payment
from gpurent.errors import (
    AuthError,
    BusyError,
    GpurentError,
    InputRequired,
    LeaseError,
    MoneyError,
    Spent,
    UnavailableError,
    UnexpectedResponse,
)
from gpurent.locale import _
from gpurent.ports.connection import Connector
from gpurent.ports.store import LeaseOrderStore
from gpurent.ports.system import ProviderClocks
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.lease_copier import LeaseCopier
from gpurent.workflow.runtime.plugins import Plugins

if TYPE_CHECKING:
    from datetime import datetime

    from gpurent.domain.money import UnitPrice
    from gpurent.roles.lease import SupportsInterruption, SupportsStart, SupportsStop


@define(eq=False)
class LeaseTracker:
    """The only writer of leases.

    ``copier`` keeps their second copies. ``connector`` retires the host keys of a machine that was replaced; None where
    no provider is ever asked.
    """

    store: LeaseOrderStore
    plugins: Plugins
    events: EventEmitter
    clocks: ProviderClocks
    copier: LeaseCopier
    connector: Connector | None = None

    async def get_lease(self, lease_id: str) -> Lease:
        """Return the lease that ``lease_id`` means, by `domain.id_matching`.

        Raises `UsageError` if that may be several, `LeaseError` if there is no such lease.
        """
        exact = await self.store.find_lease(lease_id)
        if exact is not None:
            return exact
        known = {lease.id: lease for lease in await self.store.list_leases()}
        found = find_id(lease_id, known)
        if found is not None:
            return known[found]
        raise LeaseError(
            _("no such lease: {given}").format(given=lease_id),
            hint=suggest_id(lease_id, known, _("See: gpurent ls --all")),
        )

    async def list_leases(self, *, include_over: bool = False) -> list[Lease]:
        """Return our leases in their last known state, oldest first; those that are over only if ``include_over``."""
        return list(await self.store.list_leases() if include_over else await self.store.list_open_leases())

    def get_time(self, lease: Lease) -> datetime:
        """Return the time by the lease's provider, which decides what is over."""
        return self.clocks.clock_of(lease.provider).now()

    async def save_lease(self, lease: Lease) -> Lease:
        """Save the lease; emit an event if its state changed."""
        before = await self.store.find_lease(lease.id)
        await self._save(lease)
        if before is None or before.state is not lease.state:
            self._emit_lease_changed(lease, was_over=before is not None and before.is_over)
        return lease

    async def update_lease(self, lease_id: str, change: Callable[[Lease], Lease]) -> Lease:
        """Apply ``change`` to the lease and save it; retry if another process changed the lease meanwhile."""
        while True:
            before = await self.get_lease(lease_id)
            after = change(before)
            if after == before or await self._swap(before, after):
                return after

    async def _save(self, lease: Lease) -> None:
        await self.store.save_lease(lease)
        await self.copier.copy_lease(lease.id)

    async def _swap(self, before: Lease, after: Lease) -> bool:
        is_saved = await self.store.swap_lease(before, after)
        if is_saved:
            await self.copier.copy_lease(after.id)
        return is_saved

    async def refresh_lease(self, lease_id: str) -> Lease:
        """Ask the provider for the lease's state and save it.

        While another process or task holds the lease's lock for an order or a release, the lease is returned as it was
        last saved: an answer from the middle of an order says nothing.
        """
        lease = await self.get_lease(lease_id)
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.store.hold_lock(lease.id))
            except BusyError:
                return lease
            return await self.refresh_locked_lease(lease.id)

    async def refresh_locked_lease(self, lease_id: str) -> Lease:
        """Like `refresh_lease`, for a caller that holds the lease's lock."""
        lease = await self.get_lease(lease_id)
        return await self.apply_answer(
            lease, await self.plugins.provider_of(lease).refresh_lease(restore_last_seen(lease))
        )

    async def apply_answer(self, asked: Lease, answer: Lease | Absent) -> Lease:
        """Save what the provider's answer about the lease ``asked`` says; return the lease.

        If another process has changed the lease meanwhile, the answer is dropped.
        """
        order_is_open = await self.store.find_open_order(asked.id) is not None
        after = apply_answer(asked, answer, self.get_time(asked), order_is_open=order_is_open)
        after = evolve(after, account=asked.account or self._find_proven_account(after, answer))
        if after == asked:
            return asked
        self._follow_switch(asked, after)
        if not await self._swap(asked, after):
            return await self.get_lease(asked.id)
        if after.state is not asked.state:
            self._emit_lease_changed(after, was_over=asked.is_over)
        return after

    def _find_proven_account(self, lease: Lease, answer: Lease | Absent) -> str:
        """Return the account that showed the lease alive, for a lease of which it was not known; empty otherwise."""
        if not isinstance(answer, Lease) or not lease.ref or lease.is_over:
            return ""
        return self.plugins.account_of(lease)

    def _follow_switch(self, before: Lease, after: Lease) -> None:
        """Retire the host keys of the staging machine: from here on, by our own order, it is a different machine."""
        pending = before.pending
        is_switched = pending is not None and after.pending is None and after.ref != before.ref
        if (
            is_switched
            and pending is not None
            and pending.kind is OrderKind.SWITCH
            and self.connector is not None
        ):
            self.connector.retire_host_keys(before.id)

    async def observe_lease(self, lease_id: str, *, is_locked: bool = False) -> Lease | Unknown:
        """Refresh the lease; `Unknown` if the provider's answer says nothing about it.

        ``is_locked``: the caller holds the lease's lock. Raises only what needs the user or another process:
        `InputRequired`, `BusyError`.
        """
        try:
            if is_locked:
                return await self.refresh_locked_lease(lease_id)
            return await self.refresh_lease(lease_id)
        except (InputRequired, BusyError):
            raise
        except GpurentError as error:
            return make_unknown(error)

    async def request_confirmation(self, lease: Lease, payment: Payment) -> Lease | Unknown:
        """Report the payment of the lease's pending order to the provider, and save its answer.

        That it was asked is on disk before the first call. `Unknown` if the answer says nothing. The caller holds the
        lease's lock. Raises what the provider refuses by name.
        """
        provider = self.plugins.provider_of(lease)
        asked = mark_order_sent(lease, self.get_time(lease))
        if asked != lease:
            await self._save(asked)
        try:
            answer = await provider.confirm_lease(lease, payment)
        except (UnavailableError, UnexpectedResponse) as error:
            return make_unknown(error)
        except (LeaseError, MoneyError, AuthError):
            # A refusal by name is knowledge: this request had no effect.
            await self._save(lease)
            raise
        answer = keep_sent_time(asked, answer)
        if answer.pending is None and lease.pending is not None and not answer.is_over:
            answer = evolve(answer, completed_orders=(*answer.completed_orders, lease.pending.key))
        return await self.apply_answer(asked, answer)

    async def request_release(self, lease: Lease) -> Lease | Unknown:
        """Ask the provider to release the lease, and save its answer; the caller holds the lease's lock.

        That it was asked is on disk before the call. `Unknown` if the answer says nothing. Raises what the provider
        refuses by name (`LeaseError`), `InputRequired`, and with nothing recorded, `OtherAccount` or `PluginError`.
        """
        provider = self.plugins.provider_of(lease)
        asked = mark_release_requested(lease, self.get_time(lease))
        if asked != lease:
            await self._save(asked)
            lease = asked
        return await self._ask_provider(lease, provider.release_lease)

    async def request_stop(self, lease: Lease, stopper: SupportsStop) -> Lease | Unknown:
        """Ask the provider to shut the machine down with its files kept, and save its answer.

        `Unknown` if the answer says nothing. The caller holds the lease's lock.
        """
        return await self._ask_provider(lease, stopper.stop_lease)

    async def request_start(self, lease: Lease, starter: SupportsStart) -> Lease | Unknown:
        """Ask the provider to start the stopped machine, and save its answer, as `request_stop`.

        Raises `SoldOut` if somebody else has its GPUs.
        """
        return await self._ask_provider(lease, starter.start_lease)

    async def request_bid(
        self, lease: Lease, provider: SupportsInterruption, price: UnitPrice
    ) -> Lease | Unknown:
        """Ask the provider to change the bid for a spot machine, and save its answer, as `request_stop`."""
        return await self._ask_provider(lease, lambda known: provider.change_bid(known, price))

    async def _ask_provider(
        self, lease: Lease, ask: Callable[[Lease], Awaitable[Lease | Absent]]
    ) -> Lease | Unknown:
        try:
            answer = await ask(restore_last_seen(lease))
        except (UnavailableError, UnexpectedResponse) as error:
            return make_unknown(error)
        return await self.apply_answer(lease, answer)

    async def try_refresh_lease(self, lease_id: str) -> Lease:
        """Refresh the lease; on failure, return it unchanged with the reason as its note."""
        lease = await self.get_lease(lease_id)
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
            *(self.try_refresh_lease(lease.id) for lease in await self.list_leases(include_over=include_over))
        )
        return [lease for lease in found if include_over or not lease.is_over]

    def _emit_lease_changed(self, lease: Lease, *, was_over: bool) -> None:
        from gpurent.domain.events import EventKind  # lazy: listings emit no events

        if was_over and not lease.is_over and lease.completed_orders:
            text = _("{lease} was taken for ended, but its provider shows it: it may cost money").format(
                lease=lease.id
            )
            self.events.emit(EventKind.WARNING, text, lease=lease.id)
        if lease.state is LeaseState.PAYABLE and isinstance(lease.offer.tariff, Metered):
            return  # nothing has to be paid in advance
        state, title = lease.state.value, lease.state_title
        self.events.emit(EventKind.LEASE_CHANGED, lease.note, lease=lease.id, state=state, title=title)


def not_running_error(lease: Lease) -> LeaseError:
    """Return the error for a machine that has to be running but is not; nothing was spent."""
    return LeaseError(_("{lease} is not running ({state})").format(lease=lease.id, state=lease.state.title))


def require_running(lease: Lease) -> None:
    """Raise `LeaseError` if the lease is not ready."""
    if lease.state is not LeaseState.READY:
        raise not_running_error(lease)


def add_burning_lease(error: GpurentError, lease: Lease) -> GpurentError:
    """Let ``error`` say that this lease still costs money, unless it is over, and that it has cost some; return it."""
    if lease.has_cost:
        error.spent = Spent.YES
    if not lease.is_over and lease.id not in error.burning:
        error.burning = (*error.burning, lease.id)
    return error
