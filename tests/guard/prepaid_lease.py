"""A one-day lease of a prepaid provider, and what its ledgers must contain afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from gpurent.composition.application import Application
from gpurent.domain.lease import Lease
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import TripLimits, TripSpec, UploadSpec
from gpurent.roles.simulator import SimulatorLedgerEntry
from tests.guard.virtual_sandbox import VirtualSandbox

DAY = timedelta(days=1)
RENEW_ONCE = '[guard.1024gpu]\nrenew = "1d"\nrenew_before = "2h"\nrenew_limit = "1 times"\n'
DAY_SPEC = TripSpec(
    requirements=Requirements(gpu="2080Ti"),
    upload=UploadSpec(staged=False),
    limits=TripLimits(term=DAY),
    provider="1024gpu",
    rent_only=True,
)
Ledgers = Mapping[str, Sequence[SimulatorLedgerEntry]]


async def rent_for_a_day(sandbox: VirtualSandbox, application: Application, dbc: str = "200000") -> Lease:
    await application.account_commands.log_in("1024gpu", {})
    await sandbox.add_dbc(application, dbc)
    return await application.trips.rent(DAY_SPEC)


async def advance_near_end(sandbox: VirtualSandbox, lease: Lease, left: timedelta) -> None:
    """Advance the clock until the lease has ``left`` left."""
    assert lease.expires_at is not None
    await sandbox.advance(lease.expires_at - sandbox.clock.now() - left)


def list_renewal_costs(sandbox: VirtualSandbox) -> Sequence[int]:
    """Return the cost of each renewal in the provider's ledger."""
    return list_payments(sandbox.simulators.ledgers(), "renewal")


def list_payments(ledgers: Ledgers, kind: str) -> Sequence[int]:
    return [-line.amount.amount for line in ledgers["1024gpu"] if line.kind == kind]


async def check_settled(sandbox: VirtualSandbox, application: Application, count: int) -> None:
    await check_ledgers(sandbox.simulators.ledgers(), application, count)


async def check_ledgers(ledgers: Ledgers, application: Application, count: int) -> None:
    """Check for ``count`` renewals at the provider, as many payments in the wallet's ledger, and no other outflow."""
    account = dict(application.account_commands.list_logins())["1024gpu"]
    lines = [line for line in ledgers["dbc"] if line.account == account]
    left = [-line.amount.amount for line in lines if line.amount.amount < 0]
    assert len(list_payments(ledgers, "renewal")) == count
    spent = [amount for kind in ("binding", "rent", "renewal") for amount in list_payments(ledgers, kind)]
    assert sorted(left) == sorted(spent)
    balance = (await application.account_money.get_balance("1024gpu")).available
    assert balance.amount == sum(line.amount.amount for line in lines)
    (lease,) = await application.store.list_leases()
    (total,) = (await application.receipts.get_current_receipt(lease.id)).totals()
    assert total.paid.amount == sum([*list_payments(ledgers, "rent"), *list_payments(ledgers, "renewal")])
