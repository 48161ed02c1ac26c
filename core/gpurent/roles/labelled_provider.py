"""Base of a provider whose machines bear a label of ours: the machine of an order is always found again by it."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import evolve

from gpurent.domain.evidence import LISTING_DELAY, Absent, Unknown
from gpurent.domain.lease import Lease, LeaseState, PendingOrder
from gpurent.domain.money import Currency
from gpurent.domain.offer import Bill, Offer, Order, OrderKind, Payment, Requirements
from gpurent.errors import (
    GpurentError,
    LeaseError,
    MoneyError,
    SoldOut,
    Spent,
    UnavailableError,
    UnexpectedResponse,
    UsageError,
)
from gpurent.locale import _
from gpurent.locale.foreign_text import quote_reason, quote_text
from gpurent.roles.create_attempts import CreateAttempts
from gpurent.roles.lease import LeaseProvider
from gpurent.roles.plugin_context import PluginContext

# Somebody else wants the next machine too.
REFUSAL_DELAY = timedelta(minutes=1)


def make_taken_error(machine: str) -> SoldOut:
    """Return the error that others have the machine ``machine`` (`Offer.key`); nothing was spent."""
    return SoldOut(
        _("machine {machine} is taken").format(machine=machine),
        hint=_("Nothing was spent. Pick another machine: gpurent offers"),
        spent=Spent.NO,
    )


def make_credit_error(provider: str, service: str, why: str) -> MoneyError:
    """Return the error that a create was refused for lack of money; nothing was spent.

    ``provider``: the name that users type; ``service``: that for people; ``why``: what the service says.
    """
    return MoneyError(
        _("{service} rents out nothing for the credit that is left: {why}").format(
            service=service, why=quote_reason(why)
        ),
        hint=_("Nothing was spent. Add credit first: gpurent topup {provider} 10").format(provider=provider),
        spent=Spent.NO,
    )


def make_release_error(service: str, why: str, burning: tuple[str, ...] = ()) -> LeaseError:
    """Return the error that the service refused a release by name: the machine goes on to cost money.

    ``why``: what it says; ``burning``: the id of the lease. An answer that is not understood is no refusal.
    """
    return LeaseError(
        _("{service} did not delete the machine: {why}").format(service=service, why=quote_reason(why)),
        hint=_("It still costs money. Delete it on the page of your machines at {service}.").format(
            service=service
        ),
        spent=Spent.YES,
        burning=burning,
    )


def make_state_error(service: str, state: str, url: str) -> UnexpectedResponse:
    """Return the error that the service names a state of a machine that the plugin does not know."""
    text = _("{service} names a state of the machine that gpurent does not know: {state}")
    return UnexpectedResponse(text.format(service=service, state=quote_text(state)), url=url)


def make_payable_lease(order: Order, offer: Offer, currency: Currency, data: Mapping[str, str]) -> Lease:
    """Return the lease of an order whose machine costs nothing before it is created, and is charged as time passes.

    ``data`` is its `Lease.provider_data`. Raises `MoneyError` if the price of the machine is not known.
    """
    if not offer.tariff.price.is_known:
        text = _("the price of {machine} is not known").format(machine=offer.key)
        raise MoneyError(text, hint=offer.note, spent=Spent.NO)
    bill = Bill(key=order.key, payee="", amount=currency.zero)
    return Lease(
        id="",
        provider=offer.provider,
        offer=offer,
        state=LeaseState.PAYABLE,
        pending=PendingOrder(key=order.key, kind=order.kind, bill=bill),
        password_ref=order.password_ref,
        provider_data=data,
    )


def shorten_label(label: str, longest: int) -> str:
    """Return the label, or what is as good as unique for it if it has more than ``longest`` characters (32 or more)."""
    if len(label) <= longest:
        return label
    return f"{label[: longest - 17]}-{hashlib.sha256(label.encode()).hexdigest()[:16]}"


class LabelledProvider(LeaseProvider):
    """Creates one machine for an order, also where answers are lost; `Lease.label`, the order's key, is its label.

    ``listing_delay``: a machine that was created is in the service's list after this time, if it was created at all.
    Subclasses use ``context`` and ``service`` (its name for people), and may keep whatever else they need.
    """

    def __init__(
        self, context: PluginContext, service: str, listing_delay: timedelta = LISTING_DELAY
    ) -> None:
        self.context, self.service = context, service
        self._attempts = CreateAttempts(context.state, context.clock, listing_delay, REFUSAL_DELAY)

    @abstractmethod
    async def find_machine(self, label: str) -> str:
        """Return the service's reference of the machine with this label; empty if a complete list has none.

        What a create that failed has left behind is no machine: delete it, and raise the create's error. If the service
        creates a second machine for a request that something on the way has sent twice, delete it here.
        """

    @abstractmethod
    async def create_machine(self, lease: Lease) -> str:
        """Ask the service, once, to create the machine with the label `Lease.label`; return its reference.

        Empty: the service says that it is taken, which may be by an earlier request of this order; the base then looks
        for the label, and raises `SoldOut` if there is none. Raises what else the service refuses by name, with
        ``spent`` NO, once nothing is left of it. The create itself is sent with ``spent`` UNKNOWN; what has to be there
        before (a key, a network) is sent before it and may be sent again.
        """

    @abstractmethod
    async def release_machine(self, lease: Lease) -> Lease | Absent:
        """As `LeaseProvider.release_lease`, for a lease that has a ``ref`` and is not over.

        The service confirms the end: `make_released`. It has only begun: the lease RELEASING, and core calls again. It
        says by name that there is no such machine: `Absent`. It refuses: `make_release_error`. Anything else is
        `UnexpectedResponse`.
        """

    async def refresh_machine(self, lease: Lease) -> Lease | Absent:
        """As `LeaseProvider.refresh_lease`, for a lease that has a ``ref``; by default from the list."""
        listed = await self.list_leases()
        if isinstance(listed, Unknown):
            raise UnavailableError(listed.reason, retryable=True)
        found = next((other for other in listed.items if other.ref == lease.ref), None)
        if found is None:
            return Absent()
        return self.apply_listed(lease, found)

    def apply_listed(self, lease: Lease, listed: Lease) -> Lease:
        """Return ``lease`` with what the service says of its machine, in a lease as `list_leases` returns it.

        That is state, note, endpoint with its source, start and end; offer, hardware and price stay those of the order.
        """
        return evolve(
            lease.with_state(listed.state, listed.note),
            note=listed.note,
            endpoint=listed.endpoint,
            access_source=listed.access_source,
            started_at=listed.started_at or lease.started_at,
            ended_at=listed.ended_at or lease.ended_at,
        )

    async def reserve_offer(
        self, order: Order, wanted: Requirements, currency: Currency, provider_data: Mapping[str, str]
    ) -> Lease:
        """Answer `reserve_lease` for an account that is charged as time passes: with the offer as it is now, unpaid.

        ``wanted``: what `list_offers` has to be asked for to find the ordered machine; plain `Requirements` where it
        lists everything. ``provider_data`` is what `create_machine` has to know beside the offer, such as the order's
        ``public_key`` (`PUBLIC_KEY`) and ``image``. Raises `SoldOut` if the offer is gone or taken, `UsageError` for an
        order that is not of a new machine.
        """
        if order.kind is not OrderKind.NEW:
            raise UsageError(_("{service} can only rent new machines").format(service=self.service))
        listed = await self.list_offers(wanted)
        if isinstance(listed, Unknown):
            raise UnavailableError(listed.reason, retryable=True)
        key = order.offer.key
        offer = next((offer for offer in listed.items if offer.key == key and offer.available), None)
        if offer is None and not await self.find_machine(order.key):
            raise make_taken_error(key)
        return make_payable_lease(order, offer or order.offer, currency, provider_data)

    def make_released(self, lease: Lease, note: str) -> Lease:
        """Return the lease of a machine whose end the service has just confirmed, and which it bills no more.

        Not for "no such machine": that is `Absent`, since only the second such answer ends a lease.
        """
        ended = lease.with_state(LeaseState.RELEASED, note)
        return evolve(ended, endpoint=None, ended_at=self.context.clock.now(), kept_until=None, pending=None)

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        pending = lease.pending
        if pending is None:
            return lease
        if pending.sent_at is not None:
            # An earlier request may have been carried out; the label tells.
            if found := await self.find_machine(lease.label):
                return self._take_machine(lease, found)
            if await self._attempts.may_still_appear(pending):
                return lease
        created = await self._send_create(lease) or await self.find_machine(lease.label)
        if created:
            return self._take_machine(lease, created)
        if await self._attempts.may_be_refused_about_itself(pending):
            return lease
        raise make_taken_error(lease.offer.key)

    async def find_first_create(self, label: str) -> datetime | None:
        """Return when a machine with this label was first asked for, in the service's time; None if not by us.

        For a service that does not tell when a machine began to cost money: none of this label did before.
        """
        return await self._attempts.find_first(label)

    async def _send_create(self, lease: Lease) -> str:
        before = await self._attempts.note_sent(lease.label)
        try:
            created = await self.create_machine(lease)
        except GpurentError as error:
            if error.spent is Spent.NO:
                await self._attempts.take_back(lease.label, before)
            raise
        if not created:
            await self._attempts.take_back(lease.label, before)
        return created

    def _take_machine(self, lease: Lease, ref: str) -> Lease:
        return evolve(lease.with_state(LeaseState.PROVISIONING), pending=None, ref=ref)

    async def refresh_lease(self, lease: Lease) -> Lease | Absent:
        if lease.ref:
            return await self.refresh_machine(lease)
        if lease.pending is None or lease.pending.sent_at is None:
            return lease
        found = await self.find_machine(lease.label)
        return self._take_machine(lease, found) if found else lease

    async def release_lease(self, lease: Lease) -> Lease | Absent:
        if lease.is_over:
            return lease
        if not lease.ref:
            lease = await self._settle_create(lease)
        return await self.release_machine(lease) if lease.ref else lease

    async def _settle_create(self, lease: Lease) -> Lease:
        """Return the lease cancelled if nothing was created, or with its machine; as it is while that is not known."""
        pending = lease.pending
        if pending is None or pending.sent_at is None:
            return evolve(lease.with_state(LeaseState.CANCELLED, _("never created")), pending=None)
        try:
            found = await self.find_machine(lease.label)
        except SoldOut as error:
            return evolve(lease.with_state(LeaseState.CANCELLED, error.message), pending=None)
        if found:
            return self._take_machine(lease, found)
        if await self._attempts.may_still_appear(pending):
            text = _("{service} does not show whether it created a machine; asking again")
            return evolve(lease, note=text.format(service=self.service))
        note = _("{service} never listed a machine for this order").format(service=self.service)
        return evolve(lease.with_state(LeaseState.CANCELLED, note), pending=None)
