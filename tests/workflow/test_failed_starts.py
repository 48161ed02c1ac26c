"""`--ready-within`: a new machine that does not answer is returned, and the trip goes on with another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import LeaseState
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import SoldOut, StartFailed
from tests.workflow.test_stopped_machines import log_in
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

WITHIN = TripLimits(ready_within=timedelta(minutes=5))
RENT = TripSpec(provider="vast", limits=WITHIN)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60, machines=3) as made:
        yield made


def refuse_machines(sandbox: TripSandbox, user: ScriptedUser, number: int) -> None:
    """Let the next ``number`` machines that come up refuse all connections."""
    driver = sandbox.cloud.machine_levers.driver
    refused: set[str] = set()
    works: set[asyncio.Task[None]] = set()

    def refuse(event: Event) -> None:
        for machine in driver.list_machines():
            if machine.id not in refused and len(refused) < number:
                refused.add(machine.id)
                works.add(asyncio.get_running_loop().create_task(driver.refuse_connections(machine.id, True)))

    user.watchers.append(refuse)


async def test_the_next_machine_does_the_job_and_both_are_on_the_receipt(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    await asyncio.to_thread(folder.mkdir)
    spec = evolve(
        RENT,
        upload=UploadSpec(folder=str(folder)),
        job=JobSpec(command=("sh", "-c", "echo attempt $GPURENT_ATTEMPT > out.txt")),
        results=ResultsSpec(paths=("out.txt",)),
    )
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application)
        refuse_machines(sandbox, user, 1)
        end = await application.trips.run(spec)
        first, second = await application.store.list_leases()
        assert end.lease_id == second.id
        assert first.start_failed_at is not None
        assert first.is_over
        assert first.offer.host != second.offer.host
        old, new = await application.trip_tracker.list_trips()
        assert (old.outcome_text, new.spec.continues) == ("failed: start-failed", old.id)
        assert (new.outcome_text, end.trip_id) == ("done", new.id)
        assert end.receipt is not None
        assert len(end.receipt.charges) >= 2
        report = await application.cost_reports.make_report("trip")
        lost = [item.money.amount for item in report.costs.movements if item.lease == first.id]
        assert [money.amount for money in report.costs.failed_starts] == [sum(lost)] != [0]
        assert sum(lost) < report.costs.totals[0].amount
        findings = await application.reconciliation.compare_provider("vast")
        assert all(finding.is_consistent for finding in findings)
    assert (folder / "out.txt").read_text() == "attempt 1\n"
    assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_a_host_that_failed_is_left_out_for_a_day_unless_it_is_named(sandbox: TripSandbox) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application)
        refuse_machines(sandbox, user, 1)
        lease = await application.trips.rent(RENT)
        (bad,) = [found for found in await application.store.list_leases() if found.start_failed_at]
        await application.releases.release_lease(lease.id)
        again = await application.trips.rent(evolve(RENT, limits=TripLimits()))
        assert again.offer.key != bad.offer.key
        await application.releases.release_lease(again.id)
        named = evolve(RENT, limits=TripLimits(), requirements=Requirements(machine=bad.offer.key))
        taken = await application.trips.rent(named)
        assert taken.offer.key == bad.offer.key
        await application.releases.release_lease(taken.id)
        await sandbox.cloud.advance(timedelta(days=1, hours=1))
        later = await application.trips.rent(evolve(RENT, limits=TripLimits()))
        assert later.offer.key == bad.offer.key, "the cheapest one"
        await application.releases.release_lease(later.id)
    assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_if_no_machine_starts_the_last_error_says_so_and_nothing_burns(sandbox: TripSandbox) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application)
        refuse_machines(sandbox, user, 9)
        with pytest.raises(SoldOut) as caught:
            await application.trips.rent(RENT)
        assert "did not start lately" in caught.value.hint
        assert len(await application.store.list_leases()) == 3
        assert [record.is_open for record in await application.trip_tracker.list_trips()] == [False] * 4
    assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_a_machine_that_was_named_is_returned_and_no_other_taken(sandbox: TripSandbox) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await log_in(sandbox, application)
        refuse_machines(sandbox, user, 1)
        named = evolve(RENT, requirements=Requirements(machine="7100001"))
        with pytest.raises(StartFailed) as caught:
            await application.trips.rent(named)
        assert "did not answer within 5 min" in caught.value.message
        (lease,) = await application.store.list_leases()
        assert lease.state is LeaseState.RELEASED
    assert EventKind.FAILED in user.event_kinds()
    assert list(sandbox.cloud.burning()) == []
