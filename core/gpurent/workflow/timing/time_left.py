"""How long leases last: asks each account once, and lets nobody who does not answer hide the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

from gpurent.domain.lease import Lease
from gpurent.domain.offer import Known
from gpurent.domain.time_left import TimeLeft, burn_of, by_balance, drains
from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.timing.last_seen import draining, remember, sort_by_account, unknown

PATIENCE = 30.0
RATE_LIMIT = timedelta(hours=6)


async def time_left(desk: Desk, leases: Sequence[Lease]) -> Mapping[str, TimeLeft]:
    """One figure for each lease's id. Leases on one balance share it, also with those that were not named.

    An account that does not answer makes its leases UNKNOWN.
    """
    found, accounts = sort_by_account(desk, leases)
    figures = await asyncio.gather(*(_shared(desk, name, accounts[name]) for name in accounts))
    for figure, sharing in zip(figures, accounts.values(), strict=True):
        found.update({lease.id: figure for lease in sharing})
    return found


async def _shared(desk: Desk, billing: str, named: Sequence[Lease]) -> TimeLeft:
    """The figure of one account's balance."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await _by_account(desk, billing, named)
    except GpurentError as error:
        return unknown(error.message)
    except TimeoutError:
        return unknown(_("no answer within {seconds:g} s").format(seconds=PATIENCE))
    except Exception as error:  # noqa: BLE001 - one broken wallet must not hide what the others say
        return unknown(f"{type(error).__name__}: {error}")


async def _by_account(desk: Desk, billing: str, named: Sequence[Lease]) -> TimeLeft:
    ours = draining(desk, billing, named)
    others, note = await _others(desk, ours)
    burn = burn_of([lease.offer.tariff.price for lease in (*ours, *others)])
    wallet = desk.wallet(named[0].provider)
    balance = await wallet.balance()
    money = balance.available
    if money.currency != burn.currency:
        rate = (await wallet.rate(burn.currency)).check(desk.clock.now(), RATE_LIMIT)
        money = rate.convert(money, up=False)
        note = note or _("by the rate of {source}").format(source=rate.source)
    remember(desk, billing, money, balance.at)
    return by_balance(money, balance.at, burn, desk.clock.now(), note)


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
