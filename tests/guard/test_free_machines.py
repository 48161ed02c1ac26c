"""A machine that is shut down for nothing, where no charges are listed: it uses up no budget, and is gone in time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.time_left import TimeKind
from gpurent.domain.trip import TripSpec
from tests.guard.virtual_sandbox import VirtualSandbox
from tests.workflow.trip_sandbox import ScriptedUser

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[VirtualSandbox]:
    async with VirtualSandbox.open_sandbox(tmp_path, "autodl") as made:
        yield made


async def rent_and_stop(sandbox: VirtualSandbox, application: Application) -> Lease:
    """Rent the cheapest machine for half an hour, and shut it down."""
    fields = sandbox.simulators.simulators["autodl"].make_login_fields()
    await application.account_commands.log_in("autodl", dict(fields))
    uid = dict(application.account_commands.list_logins())["autodl"]
    await sandbox.post_form("autodl", f"/sandbox/pay/{uid}/50/settle")
    lease = await application.trips.rent(TripSpec(provider="autodl"))
    await sandbox.advance(timedelta(minutes=30))
    return await application.machine_stops.stop_machine(lease.id)


async def test_days_of_being_shut_down_use_up_no_budget(sandbox: VirtualSandbox) -> None:
    sandbox.write_config('[budget.autodl]\nmonth = "5CNY"\n[guard]\n')
    user = ScriptedUser(confirms=True)
    async with sandbox.open_application(user) as application:
        stopped = await rent_and_stop(sandbox, application)
        assert stopped.is_kept_free
        (spent,) = [-one.amount.amount for one in sandbox.get_ledger("autodl") if one.kind == "usage"]
        assert 0 < spent < 1000
        for _day in range(3):
            await sandbox.advance(timedelta(days=1))
            report = await application.guard.run_once()
            assert not report.failures
        kept = await application.leases.get_lease(stopped.id)
        assert (kept.state, kept.is_over) == (LeaseState.STOPPED, False)
        (total,) = await application.bookkeeping.sum_spending()
        assert total.spent.amount == spent, "what it ran, and nothing since"
        left = (await application.time_left.get_time_left([kept]))[kept.id]
        assert left.kind is TimeKind.KEPT


@pytest.mark.nightly
async def test_before_its_files_are_deleted_the_guard_warns_and_after_that_it_is_gone(
    sandbox: VirtualSandbox,
) -> None:
    user = ScriptedUser(confirms=True)
    async with sandbox.open_application(user) as application:
        stopped = await rent_and_stop(sandbox, application)
        assert stopped.kept_until is not None
        await sandbox.advance(stopped.kept_until - sandbox.clock.now() - timedelta(minutes=14))
        await application.guard.run_once()
        (warned,) = [event for event in user.events if event.kind is EventKind.TIME_LOW]
        assert "files will be deleted in 1" in warned.text
        await sandbox.advance(timedelta(minutes=20))
        for _look in range(2):
            await application.guard.run_once()
            await sandbox.advance(timedelta(minutes=2))
        assert (await application.leases.get_lease(stopped.id)).state is LeaseState.GONE
