"""What comes back for a lease is asked before its release, shown in the question, and compared on the receipt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from gpurent.domain.lease import Lease
from gpurent.domain.trip import TripSpec
from gpurent.errors import ConfirmationRequired
from gpurent.testing.sandbox.service_faults import ServiceFault
from tests.workflow.test_lease_locks import rent_machine
from tests.workflow.test_stopped_machines import log_in, run_detached
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60, machines=3) as made:
        yield made


async def test_the_receipt_says_that_it_came_back(sandbox: TripSandbox) -> None:
    async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
        lease = await rent_machine(sandbox, application)
        receipt = await application.releases.release_lease(lease.id)
        assert receipt.refund is not None
        assert not receipt.refund.differs
        assert receipt.refund.quoted.amount > 0
        (total,) = receipt.totals()
        assert receipt.refund.returned == total.refunded
        finding, *_others = await application.reconciliation.compare_provider("1024gpu")
        assert finding.is_consistent


async def test_a_refund_that_is_less_than_was_said_is_told(sandbox: TripSandbox) -> None:
    """Here the service says once that more was paid."""
    async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
        lease = await rent_machine(sandbox, application)
        fault = ServiceFault(
            service="1024gpu",
            path="*/get_all_order",
            times=1,
            after=True,
            replacements=((r'"dbc_total_count":\s*([0-9.]+)', r'"dbc_total_count": 9\1'),),
        )
        await sandbox.cloud.faults.add(fault)
        receipt = await application.releases.release_lease(lease.id)
        assert receipt.refund is not None
        assert receipt.refund.differs
        assert receipt.refund.returned < receipt.refund.quoted


async def test_the_question_says_what_comes_back(sandbox: TripSandbox, tmp_path: Path) -> None:
    """A prepayment at vast.ai; its refund is in the account's statement, without the machine that it is for."""
    folder = tmp_path / "project"
    await asyncio.to_thread(folder.mkdir)
    async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
        await log_in(sandbox, application)
        begun = await run_detached(application, folder)
        lease = await application.leases.get_lease(begun.lease_id)
        assert await application.release_review.refunds.list_lines(lease) == [], "nothing was prepaid"
        await prepay(sandbox, lease, 5)
    async with sandbox.open_application(ScriptedUser(agrees_to_price=None)) as application:
        with pytest.raises(ConfirmationRequired) as caught:
            await application.release_review.require_release(lease.id)
        assert "released now, vast gives back 4." in caught.value.message
    released = await sandbox.run_command("-y", "release", lease.id, "--json")
    assert released.code == 0, released.err
    refund = released.data["receipt"]["refund"]
    assert refund["differs"] is False
    assert refund["quoted"]["amount"].startswith("4.")
    assert refund["returned"]["amount"].startswith("4.")


async def prepay(sandbox: TripSandbox, lease: Lease, dollars: int) -> None:
    key = sandbox.cloud.simulators_by_name["vast"].make_login_fields()["api_key"]
    async with httpx2.AsyncClient(base_url=sandbox.cloud.urls["vast"]) as client:
        answer = await client.put(
            f"/api/v0/instances/prepay/{lease.ref}/",
            json={"amount": dollars},
            headers={"Authorization": f"Bearer {key}"},
        )
    assert answer.json()["success"] is True


async def test_an_account_that_says_nothing_does_not_stop_a_release(sandbox: TripSandbox) -> None:
    async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
        await log_in(sandbox, application)
        lease = await application.trips.rent(TripSpec(provider="vast"))
        fault = ServiceFault(
            service="vast", path="/api/v0/instances/balance/*", body="<html>maintenance</html>"
        )
        await sandbox.cloud.faults.add(fault)
        receipt = await application.releases.release_lease(lease.id)
        assert receipt.refund is None
    assert list(sandbox.cloud.burning()) == []
