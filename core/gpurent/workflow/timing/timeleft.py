"""How long leases last: asks each account once, and lets nobody who does not answer hide the rest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.model.lease import Lease
from gpurent.model.money import Currency, Money
from gpurent.model.offer import Known
from gpurent.model.timeleft import TimeKind, TimeLeft, burn_of, by_balance, by_itself, drains
from gpurent.workflow.desk import Desk

PATIENCE = 30.0
RATE_LIMIT = timedelta(hours=6)
_SCOPE = "balance-seen"


async def time_left(desk: Desk, leases: Sequence[Lease], *, ask: bool = True) -> Mapping[str, TimeLeft]:
    """One figure for each lease's id. Leases on one balance share it, also with those that were not named.

    An account that does not answer makes its leases UNKNOWN. ``ask`` false: by the balance as it was last seen.
    """
    now = desk.clock.now()
    found: dict[str, TimeLeft] = {}
    accounts: dict[str, list[Lease]] = {}
    for lease in leases:
        own = by_itself(lease, now)
        if own is not None:
            found[lease.id] = own
        elif lease.provider not in desk.registry.lease:
            found[lease.id] = _unknown(_("no plugin for {provider}").format(provider=lease.provider))
        else:
            accounts.setdefault(desk.provider(lease.provider).billing, []).append(lease)
    if ask:
        figures = await asyncio.gather(*(_shared(desk, name, accounts[name]) for name in accounts))
    else:
        figures = [_remembered(desk, name, accounts[name]) for name in accounts]
    for figure, sharing in zip(figures, accounts.values(), strict=True):
        found.update({lease.id: figure for lease in sharing})
    return found


def _unknown(reason: str) -> TimeLeft:
    return TimeLeft(kind=TimeKind.UNKNOWN, note=reason)


async def _shared(desk: Desk, billing: str, named: Sequence[Lease]) -> TimeLeft:
    """The figure of one account's balance."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await _by_account(desk, billing, named)
    except GpurentError as error:
        return _unknown(error.message)
    except TimeoutError:
        return _unknown(_("no answer within {seconds:g} s").format(seconds=PATIENCE))
    except Exception as error:  # noqa: BLE001 - one broken wallet must not hide what the others say
        return _unknown(f"{type(error).__name__}: {error}")


async def _by_account(desk: Desk, billing: str, named: Sequence[Lease]) -> TimeLeft:
    ours = _draining(desk, billing, named)
    others, note = await _others(desk, ours)
    burn = burn_of([lease.offer.tariff.price for lease in (*ours, *others)])
    wallet = desk.wallet(named[0].provider)
    balance = await wallet.balance()
    money = balance.available
    if money.currency != burn.currency:
        rate = (await wallet.rate(burn.currency)).check(desk.clock.now(), RATE_LIMIT)
        money = rate.convert(money, up=False)
        note = note or _("by the rate of {source}").format(source=rate.source)
    _remember(desk, billing, money, balance.at)
    return by_balance(money, balance.at, burn, desk.clock.now(), note)


def _remember(desk: Desk, billing: str, money: Money, at: datetime) -> None:
    currency = money.currency
    seen = {
        "amount": money.amount,
        "code": currency.code,
        "exponent": currency.exponent,
        "at": at.isoformat(),
    }
    desk.journal.put_note(_SCOPE, billing, json.dumps(seen))


def _remembered(desk: Desk, billing: str, named: Sequence[Lease]) -> TimeLeft:
    """By the balance that was seen last, and what drains it now; nobody is asked."""
    noted = desk.journal.note(_SCOPE, billing)
    if noted is None:
        return _unknown(_("nobody was asked"))
    seen = json.loads(noted)
    try:
        burn = burn_of([lease.offer.tariff.price for lease in _draining(desk, billing, named)])
    except GpurentError as error:
        return _unknown(error.message)
    money = Money(seen["amount"], Currency(seen["code"], seen["exponent"]))
    if money.currency != burn.currency:
        return _unknown(_("nobody was asked"))
    at = datetime.fromisoformat(seen["at"])
    note = _("by the balance of {at:%m-%d %H:%M} UTC").format(at=at)
    return by_balance(money, at, burn, desk.clock.now(), note)


def _draining(desk: Desk, billing: str, named: Sequence[Lease]) -> list[Lease]:
    """All leases of ours on one account, the named ones as they were given."""
    ours = {lease.id: lease for lease in desk.journal.leases() if _on(desk, billing, lease)}
    return list({**ours, **{lease.id: lease for lease in named}}.values())


def _on(desk: Desk, billing: str, lease: Lease) -> bool:
    known = lease.provider in desk.registry.lease
    return (
        known
        and lease.declared is None
        and drains(lease)
        and desk.provider(lease.provider).billing == billing
    )


async def _others(desk: Desk, ours: Sequence[Lease]) -> tuple[list[Lease], str]:
    """What was rented past us and drains the same balance. A shop that does not say leaves a note."""
    found: list[Lease] = []
    for provider in sorted({lease.provider for lease in ours}):
        mine = {lease.ref for lease in ours if lease.provider == provider}
        if "" in mine:
            # One of ours is being created: it may be in the list under a name that we do not know yet.
            continue
        try:
            listed = await desk.shop(provider).leases()
        except GpurentError as error:
            return found, error.message
        if isinstance(listed, Known):
            found += [lease for lease in listed.items if lease.ref not in mine and drains(lease)]
    return found, _("{count} not rented by gpurent").format(count=len(found)) if found else ""
