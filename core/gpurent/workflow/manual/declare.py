"""What the user says later: the terms have changed, the machine has ended."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from attrs import evolve

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import Money
from gpurent.errors import MoneyError, UsageError
from gpurent.locale import _
from gpurent.workflow.manual.billing import DeclaredAccount
from gpurent.workflow.manual.provider import CONFIRMED
from gpurent.workflow.runtime.desk import Desk


def declared_money(amount: tuple[Decimal, str], like: Money) -> Money:
    """An amount in the currency of the price; another one is a `MoneyError`."""
    value, code = amount
    if code and code != like.currency.code:
        raise MoneyError(
            _("the price is in {price}, so the balance cannot be in {balance}").format(
                price=like.currency.code, balance=code
            )
        )
    return like.currency.money(value)


def _by_hand(desk: Desk, given: str) -> Lease:
    lease = desk.lease(given)
    if lease.declared is None:
        raise UsageError(
            _("{lease} was not taken over by hand: its shop says how it stands").format(lease=lease.id)
        )
    if lease.over:
        raise UsageError(_("{lease} is over").format(lease=lease.id))
    return lease


def declare(
    desk: Desk, given: str, *, balance: tuple[Decimal, str] | None = None, until: datetime | None = None
) -> Lease:
    """New terms of a lease: what its account holds now, when the shop ends it."""
    lease = _by_hand(desk, given)
    terms = lease.declared
    if terms is None or lease.started_at is None:
        raise UsageError(_("{lease} has no terms").format(lease=lease.id))
    if balance is not None:
        open_ended = evolve(lease, expires_at=None)
        _span, used = DeclaredAccount(desk.clock, lease, terms).used(open_ended, desk.clock.now())
        terms = evolve(terms, balance=declared_money(balance, used) + used)
    if until is not None:
        terms = evolve(terms, until=until)
    return desk.keep(evolve(lease, declared=terms, expires_at=terms.ends(lease.started_at), note=""))


async def confirm_end(desk: Desk, given: str) -> Lease:
    """The user's word that it has ended; a machine that still answers is told, for the word may be wrong."""
    from gpurent.infra.ssh.client import Reachability

    lease = _by_hand(desk, given)
    if lease.endpoint is not None and await desk.ssh.reach(lease.id, lease.endpoint) is Reachability.ANSWERS:
        text = _("{endpoint} still answers: look at the provider's page again, it may cost money")
        desk.tell(EventKind.WARNING, text.format(endpoint=lease.endpoint), lease=lease.id)
    facts = {**lease.shop, CONFIRMED: desk.clock.now().isoformat()}
    return desk.keep(evolve(lease.to(LeaseState.RELEASING), shop=facts))
