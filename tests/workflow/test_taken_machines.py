"""Somebody else takes the GPUs of the machine on which the files wait: the trip goes on with another machine."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.receipt import ChargeKind
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import SoldOut
from gpurent.testing.sandbox.service_faults import ServiceFault
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

TAKEN = json.dumps({"status": -1, "content": [], "msg": "机器已被租用"})


def make_spec(folder: Path) -> TripSpec:
    folder.mkdir(exist_ok=True)
    (folder / "data.txt").write_text("data")
    return TripSpec(
        provider="1024gpu",
        upload=UploadSpec(folder=str(folder), staged=True),
        job=JobSpec(command=("cp", "data.txt", "out.txt")),
        results=ResultsSpec(paths=("out.txt",)),
        limits=TripLimits(term=timedelta(hours=1)),
    )


async def lose_the_upgrade(sandbox: TripSandbox, application: Application) -> None:
    await application.account_commands.log_in("1024gpu", {})
    await sandbox.add_dbc(application, "190000")
    fault = ServiceFault(service="1024gpu", path="*/place_order_cpu_to_gpu", times=1, body=TAKEN)
    await sandbox.cloud.faults.add(fault)


async def test_the_job_is_done_on_the_next_machine(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    async with trip_sandbox(tmp_path, speed=240, machines=2) as sandbox:
        async with sandbox.open_application() as application:
            await lose_the_upgrade(sandbox, application)
            end = await application.trips.run(make_spec(folder))
            old, new = await application.trip_tracker.list_trips()
            assert (old.outcome_text, new.outcome_text) == ("failed: sold-out", "done")
            assert (new.spec.continues, new.spec.attempt, end.trip_id) == (old.id, 1, new.id)
            first, second = await application.store.list_leases()
            assert first.offer.key != second.offer.key, "its GPUs were taken, whatever the list says"
            findings = await application.reconciliation.compare_provider("1024gpu")
            assert all(finding.is_consistent for finding in findings)
        assert (folder / "out.txt").read_text() == "data"
        assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_where_there_is_no_other_machine_the_trip_says_so_and_costs_nothing(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=240, machines=1) as sandbox:
        async with sandbox.open_application() as application:
            await lose_the_upgrade(sandbox, application)
            with pytest.raises(SoldOut, match="no free machine"):
                await application.trips.run(make_spec(tmp_path / "project"))
            trips = await application.trip_tracker.list_trips()
            assert [trip.outcome_text for trip in trips] == ["failed: sold-out"] * 2
            (lease,) = await application.store.list_leases()
            receipt = await application.receipts.get_current_receipt(lease.id)
            assert {ChargeKind.DEPOSIT, ChargeKind.DEPOSIT_REFUND} <= {
                charge.kind for charge in receipt.charges
            }
            assert not any(total.spent.amount or total.held.amount for total in receipt.totals())
        assert list(sandbox.cloud.burning()) == []
