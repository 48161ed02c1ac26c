"""A day's lease of a prepaid provider, and what its ledgers must say afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from gpurent.composition.application import Application
from gpurent.domain.lease import Lease
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import TripLimits, TripSpec, Upload
from gpurent.roles.simulator import SimulatorLedgerEntry
from tests.guard.sandbox import Sandbox

DAY = timedelta(days=1)
ONCE = '[guard.1024gpu]\nrenew = "1d"\nrenew_before = "2h"\nrenew_limit = "1 times"\n'
A_DAY = TripSpec(
    requirements=Requirements(gpu="2080Ti"),
    upload=Upload(staged=False),
    limits=TripLimits(term=DAY),
    provider="1024gpu",
    rent_only=True,
)
Ledgers = Mapping[str, Sequence[SimulatorLedgerEntry]]


async def rent_for_a_day(sandbox: Sandbox, application: Application, dbc: str = "200000") -> Lease:
    await application.account_commands.login("1024gpu", {})
    await sandbox.buy_dbc(application, dbc)
    return await application.trips.rent(A_DAY)


async def go_near_the_end(sandbox: Sandbox, lease: Lease, left: timedelta) -> None:
    """As much time as ``left`` is left."""
    assert lease.expires_at is not None
    await sandbox.advance(lease.expires_at - sandbox.clock.now() - left)


def renewals(sandbox: Sandbox) -> Sequence[int]:
    """What each renewal cost by the provider's ledger."""
    return paid(sandbox.simulators.ledgers(), "renewal")


def paid(ledgers: Ledgers, kind: str) -> Sequence[int]:
    return [-line.amount.amount for line in ledgers["1024gpu"] if line.kind == kind]


async def require_settled(sandbox: Sandbox, application: Application, count: int) -> None:
    await require_ledgers(sandbox.simulators.ledgers(), application, count)


async def require_ledgers(ledgers: Ledgers, application: Application, count: int) -> None:
    """``count`` renewals at the provider, as many payments in the wallet's ledger, and not a unit more has left."""
    account = dict(application.account_commands.whoami())["1024gpu"]
    lines = [line for line in ledgers["dbc"] if line.account == account]
    left = [-line.amount.amount for line in lines if line.amount.amount < 0]
    assert len(paid(ledgers, "renewal")) == count
    spent = [amount for kind in ("binding", "rent", "renewal") for amount in paid(ledgers, kind)]
    assert sorted(left) == sorted(spent)
    balance = (await application.account_money.balance("1024gpu")).available
    assert balance.amount == sum(line.amount.amount for line in lines)
    (lease,) = application.store.leases()
    (total,) = (await application.receipts.current_receipt(lease.id)).totals()
    assert total.paid.amount == sum([*paid(ledgers, "rent"), *paid(ledgers, "renewal")])
