"""The second copy of what identifies a living lease; it lies outside the Store and outlives its loss. No secrets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from attrs import evolve, field, frozen

from gpurent.domain.access import AccessSource, Endpoint
from gpurent.domain.create_claim import CreateClaim
from gpurent.domain.lease import Lease, LeaseState, PendingOrder
from gpurent.domain.money import UnitPrice
from gpurent.domain.offer import Bill, Hardware, Metered, Offer, OrderKind, Prepaid
from gpurent.locale import _
from gpurent.terminal_text import NO_TEXT, ForeignText


@frozen(kw_only=True)
class OrderCopy:
    """The order that was pending; ``sent_at`` None: its provider was not asked to carry it out yet."""

    key: str
    kind: OrderKind
    ref: str = field(default=NO_TEXT, converter=ForeignText)
    sent_at: datetime | None = None


@frozen(kw_only=True)
class LeaseCopy:
    """What finds a lease at its provider again. The names of the fields are those of `Lease`.

    ``lease`` is its id, ``account`` whose it is at the provider (empty if not known), ``machine`` the key of its offer.
    ``is_declared``: rented by hand, so that no provider lists it. ``bills`` find the payments in the statement.
    ``former``: the installation that rented it, if its state was restored from a backup here since: nothing is done
    with it, until it is adopted by name.
    """

    lease: str
    provider: str
    account: str = field(default=NO_TEXT, converter=ForeignText)
    ref: str = field(default=NO_TEXT, converter=ForeignText)
    label: str = field(default=NO_TEXT, converter=ForeignText)
    order: OrderCopy | None = None
    completed_orders: tuple[str, ...] = ()
    machine: str = field(default=NO_TEXT, converter=ForeignText)
    gpu: str = field(default=NO_TEXT, converter=ForeignText)
    gpus: int = 0
    price: UnitPrice
    is_prepaid: bool = False
    endpoint: Endpoint | None = None
    password_ref: str = ""
    access_source: AccessSource = AccessSource()
    needs_proof: bool = False
    claim: CreateClaim | None = None
    started_at: datetime | None = None
    expires_at: datetime | None = None
    provider_data: Mapping[str, str] = field(factory=dict)
    is_declared: bool = False
    bills: tuple[Bill, ...] = ()
    former: str = ""

    @property
    def refs(self) -> frozenset[str]:
        """Everything by which the provider may name it."""
        pending = self.order.ref if self.order is not None else ""
        return frozenset(filter(None, (self.ref, pending, self.label)))

    @property
    def order_keys(self) -> frozenset[str]:
        """The keys of the orders that the provider was asked to carry out."""
        is_sent = self.order is not None and self.order.sent_at is not None
        return frozenset((*self.completed_orders, *((self.order.key,) if self.order and is_sent else ())))


def make_lease_copy(lease: Lease, account: str) -> LeaseCopy | None:
    """Return the copy of a lease; None if nothing of it can cost money: it is over, or nothing was ever ordered.

    ``account``: whose it is taken to be if the lease does not say.
    """
    pending = lease.pending
    if lease.is_over and pending is None:
        return None
    is_due = pending is not None and pending.bill is not None and bool(pending.bill.amount.amount)
    is_ordered = pending is not None and bool(pending.ref or pending.sent_at or pending.paid or is_due)
    if not lease.ref and lease.declared is None and not is_ordered:
        return None
    offer = lease.offer
    return LeaseCopy(
        lease=lease.id,
        provider=lease.provider,
        account=lease.account or account,
        ref=lease.ref,
        label=lease.label,
        order=OrderCopy(key=pending.key, kind=pending.kind, ref=pending.ref, sent_at=pending.sent_at)
        if pending is not None
        else None,
        completed_orders=lease.completed_orders,
        machine=offer.key,
        gpu=offer.hardware.gpu,
        gpus=offer.hardware.gpus,
        price=offer.tariff.price,
        is_prepaid=isinstance(offer.tariff, Prepaid),
        endpoint=lease.endpoint,
        access_source=lease.access_source,
        password_ref=lease.password_ref,
        needs_proof=lease.needs_proof,
        claim=lease.claim,
        started_at=lease.started_at,
        expires_at=lease.expires_at,
        provider_data=lease.provider_data,
        is_declared=lease.declared is not None,
        bills=lease.bills,
    )


def is_of_former(lease: Lease | None, copy: LeaseCopy) -> bool:
    """Return whether the lease is one of a former installation; ``lease`` is what the Store has.

    A restore makes every lease one that was never adopted.
    """
    return bool(copy.former) and (lease is None or (lease.adopted_at is None and not lease.is_over))


def is_outdated(lease: Lease | None, copy: LeaseCopy, recorded: Collection[str]) -> bool:
    """Return whether the Store is new or older than the copy: it lacks the lease, or an order that was sent for it.

    ``lease`` is what the Store has, ``recorded`` which of the copy's orders it has, by their keys.
    """
    if lease is None:
        return True
    pending = lease.pending
    if pending is not None and pending.sent_at is None and pending.key in copy.completed_orders:
        return True
    known = {
        *lease.completed_orders,
        *recorded,
        pending.key if pending is not None and pending.sent_at is not None else "",
    }
    return any(key not in known for key in copy.order_keys)


def is_sent_unawares(lease: Lease, copy: LeaseCopy) -> bool:
    """Return whether the pending order was sent, as only the copy knows."""
    pending, copied = lease.pending, copy.order
    if pending is None or copied is None or pending.key != copied.key:
        return False
    return pending.sent_at is None and copied.sent_at is not None


def restore_lease(copy: LeaseCopy, offer: Offer | None = None) -> Lease:
    """Return a lease made from its copy, MISSING until its provider is asked; ``offer``: as the provider lists it."""
    order = copy.order
    lease = Lease(
        id=copy.lease,
        provider=copy.provider,
        account=copy.account,
        offer=offer or _make_offer(copy),
        state=LeaseState.PAYABLE,
        ref=copy.ref,
        label=copy.label,
        pending=PendingOrder(key=order.key, kind=order.kind, ref=order.ref, sent_at=order.sent_at)
        if order is not None
        else None,
        endpoint=copy.endpoint,
        access_source=copy.access_source,
        password_ref=copy.password_ref,
        started_at=copy.started_at,
        expires_at=copy.expires_at,
        provider_data=copy.provider_data,
        completed_orders=copy.completed_orders,
        needs_proof=copy.needs_proof,
        claim=copy.claim,
        bills=copy.bills,
        note=_("restored from the copy of its reference"),
    )
    if not copy.ref:
        return lease
    missing = lease.with_state(LeaseState.MISSING)
    is_up = copy.endpoint is not None
    return evolve(missing, last_seen_state=LeaseState.READY if is_up else LeaseState.PROVISIONING)


def _make_offer(copy: LeaseCopy) -> Offer:
    return Offer(
        key=copy.machine,
        provider=copy.provider,
        hardware=Hardware(gpu=copy.gpu, gpus=copy.gpus),
        tariff=Prepaid(price=copy.price) if copy.is_prepaid else Metered(price=copy.price),
    )
