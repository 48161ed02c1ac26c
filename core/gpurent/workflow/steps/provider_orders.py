"""The provider's side of an order: reserving, confirming and waiting, each of which can be repeated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from secrets import choice
from typing import TypeVar

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Bill, Order, OrderKind, Payment
from gpurent.domain.secret import Secret
from gpurent.errors import LeaseError, MoneyError, Spent, StartFailed, UnavailableError
from gpurent.locale import _
from gpurent.locale.durations import format_duration
from gpurent.ports.connection import Connector
from gpurent.ports.services import SecretStore
from gpurent.workflow.runtime.durable_steps import TripContext, describe_continuation
from gpurent.workflow.runtime.lease_observer import LeaseObserver
from gpurent.workflow.runtime.leases import LeaseTracker, not_running_error
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.start_deadline import StartDeadline
from gpurent.workflow.runtime.waiting import Poller

T = TypeVar("T")
POLL_INTERVAL = timedelta(seconds=6)
PROVISION_TIMEOUT = timedelta(minutes=60)
_ENDED_STATES = (
    LeaseState.FAILED,
    LeaseState.CANCELLED,
    LeaseState.EXPIRED,
    LeaseState.GONE,
    LeaseState.RELEASED,
)


@frozen
class ProviderOrders:
    """The provider's side of an order. Every call is idempotent: the saved lease records the order's progress.

    Raises `UnavailableError` if something takes too long; the trip can then be resumed.
    """

    leases: LeaseTracker
    plugins: Plugins
    secrets: SecretStore
    connector: Connector
    poller: Poller

    async def reserve_lease(self, order: Order, lease_id: str) -> str:
        """Reserve the machine, or a change to it, at the provider; return the lease's id."""
        if order.kind is OrderKind.NEW:
            return (await self._reserve_new(order, lease_id)).id
        return (await self._reserve_on_lease(order, lease_id)).id

    async def _reserve_new(self, order: Order, lease_id: str) -> Lease:
        provider = order.offer.provider
        if self.plugins.provider_entry(provider).key_only:
            order = evolve(order, password_ref="", public_key=self.connector.get_public_key(lease_id))
        await self._store_password(order)
        answer = await self.plugins.provider(provider).reserve_lease(order)
        # An earlier order of the trip was refused; its bills find what that cost.
        before = await self.leases.store.find_lease(lease_id)
        lease = evolve(
            answer,
            id=lease_id,
            label=order.key,
            provider=provider,
            account=self.plugins.find_account(provider),
            password_ref=order.password_ref,
            restarted_from=order.restarts,
            volume=order.volume.id if order.volume is not None else "",
            bills=before.bills if before is not None else (),
        )
        return await self.leases.save_lease(lease)

    async def _store_password(self, order: Order) -> None:
        vault = self.secrets.get_vault(order.offer.provider)
        if order.password_ref and vault.get(order.password_ref) is None:
            await self.secrets.unlock(create=True)
            vault.put(order.password_ref, _make_password())

    async def _reserve_on_lease(self, order: Order, lease_id: str) -> Lease:
        lease = await self.leases.get_lease(lease_id)
        if lease.is_over:
            # It was released while this order waited for the lock.
            raise not_running_error(lease)
        if lease.pending is not None and lease.pending.key != order.key:
            raise LeaseError(
                _("{lease} has an unfinished order: {key}").format(lease=lease_id, key=lease.pending.key),
                hint=_("See: gpurent trips"),
                burning=(lease_id,),
            )
        provider = self.plugins.provider(order.offer.provider)
        answer = await provider.reserve_lease(evolve(order, onto=lease.ref))
        if answer.pending is None:
            raise LeaseError(
                _("the provider accepted the order but sent no bill"),
                spent=Spent.UNKNOWN,
                burning=(lease_id,),
            )
        switched = order.offer if order.kind is OrderKind.SWITCH else None
        return await self.leases.save_lease(evolve(lease, pending=evolve(answer.pending, offer=switched)))

    async def wait_for_bill(self, trip: TripContext, lease_id: str) -> Bill:
        """Return the order's bill once it can be paid. It is saved with the lease before anything is paid."""
        bill = await self._poll_lease(
            trip, lease_id, _find_bill, lambda _lease: _("the machine is being prepared"), is_locked=True
        )
        lease = await self.leases.get_lease(lease_id)
        if bill.amount.amount and bill not in lease.bills:
            await self.leases.save_lease(evolve(lease, bills=(*lease.bills, bill)))
        return bill

    async def confirm_lease(self, trip: TripContext, lease_id: str, order: Order, payment: Payment) -> str:
        """Present the payment until the provider has counted it; return the lease's state."""
        observer = LeaseObserver.for_trip(trip, self.leases, lease_id, self.poller.clock, is_locked=True)

        async def show() -> Lease | None:
            lease = await self.leases.get_lease(lease_id)
            if order.key in lease.completed_orders:
                return lease
            _require_same_order(lease, order)
            if observer.is_paused:
                return None
            answer = await self.leases.request_confirmation(lease, payment)
            if isinstance(answer, Unknown):
                observer.note_unknown(answer)
                return None
            _require_alive(answer, payment)
            return answer if order.key in answer.completed_orders else None

        lease = await self._wait_for(trip, lease_id, show, lambda _lease: _("the payment is being verified"))
        return lease.state.value

    async def wait_until_ready(
        self, trip: TripContext, lease_id: str, deadline: StartDeadline | None = None
    ) -> str:
        """Return the machine's endpoint as text once it is up; raises `StartFailed` if it is not, and will not be."""

        def find(lease: Lease) -> str | None:
            found = _find_endpoint(lease)
            # By an answer of the provider: while it gives none, nothing is known of the machine.
            if found is None and deadline is not None and self.poller.clock.now() >= deadline.at:
                raise deadline.make_error(lease)
            return found

        return await self._poll_lease(
            trip, lease_id, find, lambda lease: lease.note or _("the machine is starting")
        )

    async def _poll_lease(
        self,
        trip: TripContext,
        lease_id: str,
        find: Callable[[Lease], T | None],
        why: Callable[[Lease], str],
        *,
        is_locked: bool = False,
    ) -> T:
        """Return the result of ``find`` for the saved lease, or for a later answer of the provider."""
        observer: LeaseObserver | None = None

        async def look() -> T | None:
            nonlocal observer
            if observer is None:
                observer = LeaseObserver.for_trip(
                    trip, self.leases, lease_id, self.poller.clock, is_locked=is_locked
                )
                return find(await self.leases.get_lease(lease_id))
            seen = await observer.observe()
            return None if isinstance(seen, Unknown) else find(seen)

        return await self._wait_for(trip, lease_id, look, why)

    async def _wait_for(
        self,
        trip: TripContext,
        lease_id: str,
        check: Callable[[], Awaitable[T | None]],
        why: Callable[[Lease], str],
    ) -> T:
        """Poll ``check`` until it returns a value; ``why`` describes what is being waited for.

        Raises `LockLost` or `StorageError` if what it waits for is no longer this process's own.
        """

        async def check_locked() -> T | None:
            await trip.store.require_locks()
            return await check()

        async def emit_waiting() -> None:
            trip.emit(EventKind.WAITING, why(await self.leases.get_lease(lease_id)), lease=lease_id)

        found = await self.poller.poll(
            check_locked, interval=POLL_INTERVAL, timeout=PROVISION_TIMEOUT, on_wait=emit_waiting
        )
        if found is None:
            lease = await self.leases.get_lease(lease_id)
            raise UnavailableError(
                _("{lease}: still waiting after {span}: {why}").format(
                    lease=lease_id, why=why(lease), span=format_duration(PROVISION_TIMEOUT)
                ),
                hint=describe_continuation(trip.id, _("Continue waiting with: gpurent resume {trip}")),
                retryable=True,
                burning=(lease_id,),
                spent=Spent.YES if lease.bills else Spent.NO,
            )
        return found


def _make_password() -> Secret:
    """For providers that let the user choose: upper and lower case letters and digits, none easily confused."""
    return Secret("Aa7" + "".join(choice("abcdefghjkmnpqrstuvwxyz23456789") for _i in range(17)))


def _require_same_order(lease: Lease, order: Order) -> None:
    """Raise `LeaseError` if the order is neither pending nor counted: nothing would come of the payment."""
    if lease.pending is None or lease.pending.key != order.key:
        raise _make_lost_order_error(lease)


def _make_lost_order_error(lease: Lease) -> LeaseError:
    return LeaseError(
        _("the provider no longer has the order of {lease}: {note}").format(
            lease=lease.id, note=lease.note or lease.state.title
        ),
        hint=_("Look at the account: gpurent reconcile {provider}").format(provider=lease.provider),
        spent=Spent.UNKNOWN,
        burning=(lease.id,),
    )


def _find_bill(lease: Lease) -> Bill | None:
    """Return the bill of the lease's order, None while it cannot be paid yet."""
    if lease.pending is not None and lease.pending.bill is not None:
        return lease.pending.bill
    if lease.state in _ENDED_STATES:
        raise LeaseError(
            _("the provider cancelled the order: {note}").format(note=lease.note or lease.state.title),
        )
    if lease.pending is None:
        raise _make_lost_order_error(lease)
    return None


def _require_alive(lease: Lease, payment: Payment) -> None:
    """Raise `MoneyError` if the lease ended instead of accepting the payment."""
    if lease.state in _ENDED_STATES:
        raise MoneyError(
            _("the provider did not accept the payment: {note}").format(note=lease.note or lease.state.title),
            hint=_("Release it to get the money back: gpurent release {lease}").format(lease=lease.id),
            spent=Spent.YES if payment.amount.amount else Spent.NO,
            burning=(lease.id,),
        )


def _find_endpoint(lease: Lease) -> str | None:
    """Return the machine's endpoint as text, None while it is not up."""
    if lease.state is LeaseState.READY and lease.endpoint is not None:
        return str(lease.endpoint)
    if lease.is_over or lease.state is LeaseState.STOPPED:
        raise StartFailed(
            _("the machine did not start: {note}").format(note=lease.note or lease.state.title),
            spent=Spent.YES if lease.bills else Spent.NO,
            burning=(lease.id,),
        )
    return None
