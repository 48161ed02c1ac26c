"""How long leases last by what was seen last. Reads the records; nobody is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from gpurent.domain.money import Currency, Money
from gpurent.domain.time_left import TimeKind, TimeLeft, burn_of, by_balance, by_itself, drains
from gpurent.errors import GpurentError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.domain.lease import Lease
    from gpurent.workflow.runtime.state import Records

_SCOPE = "balance-seen"


def last_seen(records: Records, leases: Sequence[Lease]) -> Mapping[str, TimeLeft]:
    """One figure for each lease's id: its own, or by its account's balance as it was last seen."""
    found, accounts = sort_by_account(records, leases)
    for name, sharing in accounts.items():
        figure = _by_note(records, name, sharing)
        found.update({lease.id: figure for lease in sharing})
    return found


def sort_by_account(
    records: Records, leases: Sequence[Lease]
) -> tuple[dict[str, TimeLeft], dict[str, list[Lease]]]:
    """The figures that need no account, by the lease's id, and the other leases by the account they drain."""
    now = records.clock.now()
    found: dict[str, TimeLeft] = {}
    accounts: dict[str, list[Lease]] = {}
    for lease in leases:
        own = by_itself(lease, now)
        if own is not None:
            found[lease.id] = own
        elif lease.provider not in records.registry.lease:
            found[lease.id] = unknown(_("no plugin for {provider}").format(provider=lease.provider))
        else:
            accounts.setdefault(records.provider(lease.provider).billing, []).append(lease)
    return found, accounts


def unknown(reason: str) -> TimeLeft:
    return TimeLeft(kind=TimeKind.UNKNOWN, note=reason)


def remember(records: Records, billing: str, money: Money, at: datetime) -> None:
    """Note the balance of an account, in the currency that its leases burn."""
    currency = money.currency
    seen = {
        "amount": money.amount,
        "code": currency.code,
        "exponent": currency.exponent,
        "at": at.isoformat(),
    }
    records.journal.put_note(_SCOPE, billing, json.dumps(seen))


def _by_note(records: Records, billing: str, named: Sequence[Lease]) -> TimeLeft:
    """By the balance that was noted, and what drains it now."""
    noted = records.journal.note(_SCOPE, billing)
    if noted is None:
        return unknown(_("nobody was asked"))
    seen = json.loads(noted)
    try:
        burn = burn_of([lease.offer.tariff.price for lease in draining(records, billing, named)])
    except GpurentError as error:
        return unknown(error.message)
    money = Money(seen["amount"], Currency(seen["code"], seen["exponent"]))
    if money.currency != burn.currency:
        return unknown(_("nobody was asked"))
    at = datetime.fromisoformat(seen["at"])
    note = _("by the balance of {at:%m-%d %H:%M} UTC").format(at=at)
    return by_balance(money, at, burn, records.clock.now(), note)


def draining(records: Records, billing: str, named: Sequence[Lease]) -> list[Lease]:
    """All leases of ours on one account, the named ones as they were given."""
    ours = {lease.id: lease for lease in records.journal.leases() if _on(records, billing, lease)}
    return list({**ours, **{lease.id: lease for lease in named}}.values())


def _on(records: Records, billing: str, lease: Lease) -> bool:
    known = lease.provider in records.registry.lease
    return (
        known
        and lease.declared is None
        and drains(lease)
        and records.provider(lease.provider).billing == billing
    )
