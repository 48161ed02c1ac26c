"""Step: provision a machine from an order. Used for every order: new, switch, and renewal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from secrets import choice
from typing import TypeVar

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Bill, Order, OrderKind, Payment, PaymentPurpose
from gpurent.domain.secret import Secret
from gpurent.domain.trip import AgreedPrice
from gpurent.errors import LeaseError, MoneyError, Spent, UnavailableError
from gpurent.locale import _
from gpurent.ports.connection import Connector
from gpurent.ports.services import SecretStore
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.payments.pay import Payments
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.lease_observer import LeaseObserver
from gpurent.workflow.runtime.leases import LeaseTracker, not_running_error
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.waiting import Poller, WorkLocks

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
class ProvisionStep:
    """Reserves, pays, confirms and waits; each is recorded as its own step."""

    leases: LeaseTracker
    locks: WorkLocks
    orders: ProviderOrders
    payments: Payments
    bookkeeping: Bookkeeping

    async def provision_lease(
        self, trip: TripContext, leg: str, order: Order, lease_id: str, agreed: AgreedPrice
    ) -> Lease:
        """Return the lease after carrying out ``order``, for no more than the agreed price."""
        if trip.find_result(f"{leg}.confirm", str) is None:
            async with self.locks.lock_lease(lease_id):
                await self._place_order(trip, leg, order, lease_id, agreed)
        if order.kind is not OrderKind.RENEW:
            await trip.step(f"{leg}.ready", str, lambda: self.orders.wait_until_ready(trip, lease_id))
        return self.leases.get_lease(lease_id)

    async def _place_order(
        self, trip: TripContext, leg: str, order: Order, lease_id: str, agreed: AgreedPrice
    ) -> None:
        orders, provider = self.orders, order.offer.provider
        await trip.step(f"{leg}.reserve", str, lambda: orders.reserve_lease(order, lease_id))
        bill = await trip.step(f"{leg}.bill", Bill, lambda: orders.wait_for_bill(trip, lease_id), quiet=True)
        payment = await self.payments.pay_bill(
            trip, f"{leg}.pay", provider, bill, _agreed_price_for(bill, agreed)
        )
        await trip.step(f"{leg}.confirm", str, lambda: orders.confirm_lease(trip, lease_id, order, payment))
        if payment.amount.amount:
            await self.bookkeeping.sync_lease(lease_id)


def _agreed_price_for(bill: Bill, agreed: AgreedPrice) -> AgreedPrice:
    """Return the ceiling for a deposit: the agreed deposit, or zero if none was agreed."""
    if bill.purpose is not PaymentPurpose.DEPOSIT:
        return agreed
    return evolve(agreed, ceiling=agreed.deposit or bill.amount.currency.zero)


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
        vault = self.secrets.get_vault(provider)
        if order.password_ref and vault.get(order.password_ref) is None:
            await self.secrets.unlock(create=True)
            vault.put(order.password_ref, _make_password())
        answer = await self.plugins.provider(provider).reserve_lease(order)
        lease = evolve(
            answer, id=lease_id, label=order.key, provider=provider, password_ref=order.password_ref
        )
        return self.leases.save_lease(lease)

    async def _reserve_on_lease(self, order: Order, lease_id: str) -> Lease:
        lease = self.leases.get_lease(lease_id)
        if lease.is_over:
            # It was released while this order waited for the lock.
            raise not_running_error(lease)
        provider = self.plugins.provider(order.offer.provider)
        answer = await provider.reserve_lease(evolve(order, onto=lease.ref))
        if answer.pending is None:
            raise LeaseError(
                _("the provider accepted the order but sent no bill"),
                spent=Spent.UNKNOWN,
                burning=(lease_id,),
            )
        return self.leases.save_lease(evolve(lease, pending=answer.pending))

    async def wait_for_bill(self, trip: TripContext, lease_id: str) -> Bill:
        """Return the order's bill once it can be paid. It is saved with the lease before anything is paid."""
        bill = await self._poll_lease(
            trip, lease_id, _find_bill, lambda _lease: _("the machine is being prepared")
        )
        lease = self.leases.get_lease(lease_id)
        if bill.amount.amount and bill not in lease.bills:
            self.leases.save_lease(evolve(lease, bills=(*lease.bills, bill)))
        return bill

    async def confirm_lease(self, trip: TripContext, lease_id: str, order: Order, payment: Payment) -> str:
        """Present the payment until the provider has accepted it; return the lease's state."""

        async def show() -> Lease | None:
            lease = self.leases.get_lease(lease_id)
            if lease.pending is None and lease.label:
                return lease
            lease = self.leases.save_lease(
                await self.plugins.provider_of(lease).confirm_lease(lease, payment)
            )
            _require_alive(lease, payment)
            return lease if lease.pending is None else None

        lease = await self._wait_for(trip, lease_id, show, lambda _lease: _("the payment is being verified"))
        if order.kind is OrderKind.SWITCH:
            # From here on it is a different machine with another host key.
            self.connector.delete_host_key(lease_id)
            lease = self.leases.save_lease(evolve(self.leases.get_lease(lease_id), offer=order.offer))
        return lease.state.value

    async def wait_until_ready(self, trip: TripContext, lease_id: str) -> str:
        return await self._poll_lease(
            trip, lease_id, _find_endpoint, lambda lease: lease.note or _("the machine is starting")
        )

    async def _poll_lease(
        self,
        trip: TripContext,
        lease_id: str,
        find: Callable[[Lease], T | None],
        why: Callable[[Lease], str],
    ) -> T:
        """Return the result of ``find`` for the saved lease, or for a later answer of the provider."""
        observer: LeaseObserver | None = None

        async def look() -> T | None:
            nonlocal observer
            if observer is None:
                observer = LeaseObserver(
                    self.leases,
                    lease_id,
                    self.poller.clock,
                    lambda reason: trip.emit(EventKind.WARNING, reason, lease=lease_id),
                )
                return find(self.leases.get_lease(lease_id))
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
        """Poll ``check`` until it returns a value; ``why`` describes what is being waited for."""

        def emit_waiting() -> None:
            trip.emit(EventKind.WAITING, why(self.leases.get_lease(lease_id)), lease=lease_id)

        found = await self.poller.poll(
            check, interval=POLL_INTERVAL, timeout=PROVISION_TIMEOUT, on_wait=emit_waiting
        )
        if found is None:
            lease = self.leases.get_lease(lease_id)
            raise UnavailableError(
                _("{lease}: still waiting after {minutes} minutes: {why}").format(
                    lease=lease_id, why=why(lease), minutes=PROVISION_TIMEOUT // timedelta(minutes=1)
                ),
                hint=_("Continue waiting with: gpurent resume {trip}").format(trip=trip.id),
                retryable=True,
                burning=(lease_id,),
                spent=Spent.YES if lease.bills else Spent.NO,
            )
        return found


def _make_password() -> Secret:
    """For providers that let the user choose: upper and lower case letters and digits, none easily confused."""
    return Secret("Aa7" + "".join(choice("abcdefghjkmnpqrstuvwxyz23456789") for _i in range(17)))


def _find_bill(lease: Lease) -> Bill | None:
    """Return the bill of the lease's order, None while it cannot be paid yet."""
    if lease.pending is not None and lease.pending.bill is not None:
        return lease.pending.bill
    if lease.state in _ENDED_STATES or lease.pending is None:
        raise LeaseError(
            _("the provider cancelled the order: {note}").format(note=lease.note or lease.state.title),
        )
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
    if lease.is_over:
        raise LeaseError(
            _("the machine did not start: {note}").format(note=lease.note or lease.state.title),
            spent=Spent.YES if lease.bills else Spent.NO,
            burning=(lease.id,),
        )
    return None
