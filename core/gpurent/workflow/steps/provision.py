"""Step: from an order to a machine that is ours. Every order goes this way: new, switch, more time."""

from __future__ import annotations

import secrets
from datetime import timedelta

from attrs import evolve

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import Money, Rate
from gpurent.domain.order import Bill, Order, OrderKind, Payment, Purpose
from gpurent.domain.secret import Secret
from gpurent.errors import LeaseError, MoneyError, Spent, UnavailableError
from gpurent.locale import _
from gpurent.workflow.payments.pay import pay
from gpurent.workflow.runtime.durable_steps import TripContext

POLL = timedelta(seconds=6)
PATIENCE = timedelta(minutes=60)
_DEAD = (LeaseState.FAILED, LeaseState.CANCELLED, LeaseState.EXPIRED, LeaseState.GONE, LeaseState.RELEASED)


async def provision(
    trail: TripContext,
    leg: str,
    order: Order,
    lease_id: str,
    ceiling: Money | None,
    deposit: Money | None,
    rate: Rate | None = None,
) -> Lease:
    """Reserve, pay, confirm, wait; each journaled under ``leg``. The lease's own row holds where it stands.

    ``ceiling``, ``deposit`` and ``rate`` are those of the quote that the user agreed to.
    """
    desk = trail.desk
    if desk.journal.recall(trail.trip, f"{leg}.confirm", str) is None:
        async with desk.turn(lease_id):
            await _order(trail, leg, order, lease_id, ceiling, deposit, rate)
    if order.kind is not OrderKind.EXTEND:
        await trail.once(f"{leg}.ready", str, lambda: _ready(trail, lease_id))
    return desk.lease(lease_id)


async def _order(
    trail: TripContext,
    leg: str,
    order: Order,
    lease_id: str,
    ceiling: Money | None,
    deposit: Money | None,
    rate: Rate | None,
) -> None:
    async def reserve() -> str:
        return (await _reserve(trail, order, lease_id)).id

    await trail.once(f"{leg}.reserve", str, reserve)
    bill = await trail.once(f"{leg}.bill", Bill, lambda: _bill(trail, lease_id), quiet=True)
    # A deposit that nobody spoke of was agreed to by nobody.
    limit = (deposit or bill.amount.currency.zero) if bill.purpose is Purpose.DEPOSIT else ceiling
    payment = await pay(trail, f"{leg}.pay", order.offer.provider, bill, limit, rate)
    await trail.once(f"{leg}.confirm", str, lambda: _confirm(trail, lease_id, order, payment))
    if payment.amount.amount:
        await trail.desk.books.sync(lease_id)


async def _reserve(trail: TripContext, order: Order, lease_id: str) -> Lease:
    desk = trail.desk
    shop = desk.shop(order.offer.provider)
    if order.kind is OrderKind.NEW:
        vault = desk.vault.scoped(desk.provider(order.offer.provider).name)
        if order.password_ref and vault.get(order.password_ref) is None:
            vault.put(order.password_ref, _password())
        answer = await shop.reserve(order)
        return desk.keep(
            evolve(
                answer,
                id=lease_id,
                label=order.key,
                provider=order.offer.provider,
                password_ref=order.password_ref,
            )
        )
    lease = desk.lease(lease_id)
    if lease.over:
        # Given back while this order waited for its turn.
        raise LeaseError(
            _("{lease} is not running ({state})").format(lease=lease_id, state=lease.state.value),
            hint=_("Nothing was paid for it."),
        )
    answer = await shop.reserve(evolve(order, onto=lease.ref))
    if answer.pending is None:
        raise LeaseError(
            _("the shop took the order and asks for nothing"), spent=Spent.UNKNOWN, burning=(lease_id,)
        )
    return desk.keep(evolve(lease, pending=answer.pending))


def _password() -> Secret:
    """For shops where the user chooses: letters and digits of each sort, no look-alikes."""
    return Secret("Aa7" + "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _i in range(17)))


async def _bill(trail: TripContext, lease_id: str) -> Bill:
    """Wait until the order can be paid; the bill is on the lease before anything is paid."""
    desk = trail.desk
    waited = timedelta()
    while True:
        lease = desk.lease(lease_id)
        if lease.pending is not None and lease.pending.bill is not None:
            bill = lease.pending.bill
            if bill.amount.amount and bill not in lease.bills:
                desk.keep(evolve(lease, bills=(*lease.bills, bill)))
            return bill
        if lease.state in _DEAD or lease.pending is None:
            raise LeaseError(
                _("the order was dropped by the shop: {note}").format(note=lease.note or lease.state.value),
                hint=_("Nothing was paid for it."),
            )
        waited = await _wait(trail, lease, waited, _("the machine is being prepared"))
        await desk.look(lease_id)


async def _confirm(trail: TripContext, lease_id: str, order: Order, payment: Payment) -> str:
    """Show the payment until the shop has seen it."""
    desk = trail.desk
    waited = timedelta()
    while True:
        lease = desk.lease(lease_id)
        if lease.pending is None and lease.label:
            break
        lease = desk.keep(await desk.shop_of(lease).confirm(lease, payment))
        if lease.state in _DEAD:
            raise MoneyError(
                _("the shop did not take the payment: {note}").format(note=lease.note or lease.state.value),
                hint=_("Give it back to reclaim the money: gpurent release {lease}").format(lease=lease.id),
                spent=Spent.YES if payment.amount.amount else Spent.NO,
                burning=(lease.id,),
            )
        if lease.pending is None:
            break
        waited = await _wait(trail, lease, waited, _("the payment is being verified"))
    if order.kind is OrderKind.SWITCH:
        # Another machine from here on: its key is not the old one's.
        desk.ssh.forget(lease_id)
        lease = desk.keep(evolve(desk.lease(lease_id), offer=order.offer))
    return lease.state.value


async def _ready(trail: TripContext, lease_id: str) -> str:
    desk = trail.desk
    waited = timedelta()
    lease = desk.lease(lease_id)
    while lease.state is not LeaseState.READY or lease.endpoint is None:
        if lease.over:
            raise LeaseError(
                _("the machine did not come up: {note}").format(note=lease.note or lease.state.value),
                spent=Spent.YES if lease.bills else Spent.NO,
                burning=(lease.id,),
            )
        waited = await _wait(trail, lease, waited, lease.note or _("the machine is starting"))
        lease = await desk.look(lease_id)
    return str(lease.endpoint)


async def _wait(trail: TripContext, lease: Lease, waited: timedelta, why: str) -> timedelta:
    if waited >= PATIENCE:
        raise UnavailableError(
            _("{lease}: {why} for more than {minutes} minutes").format(
                lease=lease.id, why=why, minutes=PATIENCE // timedelta(minutes=1)
            ),
            hint=_("Go on waiting with: gpurent resume {trip}").format(trip=trail.trip),
            retryable=True,
            burning=(lease.id,),
            spent=Spent.YES if lease.bills else Spent.NO,
        )
    trail.tell(EventKind.WAITING, why, lease=lease.id)
    await trail.desk.pace(POLL)
    return waited + POLL
