"""Payments that the provider did not count, and charges that no lease of this computer explains."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.orphans import OrphanKind
from gpurent.domain.payments import RecordedPayment
from gpurent.errors import PaidTooLate
from gpurent.testing.sandbox.service_faults import ServiceFault
from tests.reliability.test_repeated_commands import rent_at_1024gpu
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox


def drop_transfers(sandbox: TripSandbox, hashes: set[str]) -> None:
    """Remove transfers from the ledger, as if they had never been confirmed."""
    simulator: Any = sandbox.cloud.simulators_by_name["dbc"]
    for digest in hashes:
        del simulator._entries[digest]


async def find_payment(application: Application, lease_id: str) -> RecordedPayment:
    """Return the payment for the lease; the other one of its trip was the fee for binding the e-mail address."""
    (paid,) = [item for item in await application.bookkeeping.list_payments(lease=lease_id) if item.lease]
    return paid


async def test_a_payment_that_the_statement_lacks_is_reported(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        async with sandbox.open_application() as application:
            lease_id = await rent_at_1024gpu(sandbox, application)
            assert (await application.orphan_search.find_orphans()).orphans == ()
            paid = await find_payment(application, lease_id)
            account = application.logins.find_account("1024gpu")
            assert account
            assert paid.account == account
            assert paid.confirmed_at is not None
            drop_transfers(sandbox, {paid.payment.proof})
            report = await application.orphan_search.find_orphans()
            (orphan,) = report.orphans
            assert (orphan.kind, orphan.ref) == (OrphanKind.UNCOUNTED_PAYMENT, paid.payment.proof)
            assert (orphan.lease, orphan.money) == (lease_id, paid.payment.amount)
            assert report.exit_code == 5
        shown = await sandbox.run_command("orphans")
        assert shown.code == 5
        assert paid.payment.proof in shown.out


@pytest.mark.nightly
async def test_a_payment_that_the_provider_never_counted_is_reported(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        lease_id = await rent_at_1024gpu(sandbox, application)
        lease = await application.leases.get_lease(lease_id)
        await application.leases.save_lease(evolve(lease, completed_orders=()))
        (orphan,) = (await application.orphan_search.find_orphans()).orphans
        assert (orphan.kind, orphan.lease) == (OrphanKind.UNCOUNTED_PAYMENT, lease_id)
        await application.leases.save_lease(lease)
        assert (await application.orphan_search.find_orphans()).orphans == ()


async def test_a_late_renewal_that_was_paid_back_accuses_nobody(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        lease_id = await rent_at_1024gpu(sandbox, application)
        rent = await find_payment(application, lease_id)
        held = await sandbox.cloud.faults.add(
            ServiceFault(service="1024gpu", path="/rent_continue/continue_pay_voc_pay", hold=True)
        )
        renewal = asyncio.create_task(application.lease_changes.renew(lease_id, timedelta(days=1)))
        await held.wait_until_applied()
        await sandbox.cloud.advance(timedelta(minutes=31))
        await sandbox.cloud.faults.clear()
        with pytest.raises(PaidTooLate):
            await renewal
        await application.releases.release_lease(lease_id)
        assert (await application.orphan_search.find_orphans()).orphans == ()
        lease = await application.leases.get_lease(lease_id)
        await application.leases.save_lease(evolve(lease, completed_orders=()))
        (orphan,) = (await application.orphan_search.find_orphans()).orphans
        assert orphan.ref == rent.payment.proof, "the refund is that of the renewal"


@pytest.mark.nightly
async def test_charges_of_a_lost_lease_are_unexplained_until_it_is_adopted(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        async with sandbox.open_application() as application:
            lease_id = await rent_at_1024gpu(sandbox, application)
            paid = await find_payment(application, lease_id)
        (sandbox.home / "state" / "journal.sqlite").unlink()
        async with sandbox.open_application() as application:
            report = await application.orphan_search.find_orphans()
            assert {x.kind for x in report.others} == {OrphanKind.UNEXPLAINED_CHARGE}
            assert paid.payment.proof in [x.ref for x in report.others]
            (machine,) = report.machines
            adopted = await application.orphan_commands.adopt_orphan(machine.orphan.ref)
            assert adopted.id == lease_id
            there = await application.machine_commands.run_command(lease_id, "echo hello")
            assert there.stdout == "hello\n"
            await application.releases.release_lease(lease_id)
        assert list(sandbox.cloud.burning()) == []
