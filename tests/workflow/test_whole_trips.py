"""Whole trips over the sandbox's sockets: the main job, undisturbed and with a dropped connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import LeaseState
from gpurent.domain.offer import Requirements
from gpurent.domain.receipt import ChargeKind
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from tests.workflow.trip_sandbox import DIGITS_EXAMPLE, ScriptedUser, TripSandbox, trip_sandbox

JOB = ("train.py", "--epochs", "2", "--hidden", "8")


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=120) as made:
        yield made


def read_metrics(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "out" / "metrics.json").read_text())
    return found


async def test_metered_trip_from_login_to_receipt(sandbox: TripSandbox, tmp_path: Path) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await application.account_commands.log_in(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await sandbox.top_up_mistgpu(application, "10")
        before = (await application.account_money.get_balance("mistgpu")).available
        spec = TripSpec(
            upload=UploadSpec(folder=str(DIGITS_EXAMPLE)),
            job=JobSpec(command=JOB),
            results=ResultsSpec(paths=("out",), dir=str(tmp_path / "home")),
            provider="mistgpu",
        )
        (tmp_path / "home").mkdir()
        end = await application.trips.run(spec)
        after = (await application.account_money.get_balance("mistgpu")).available
        assert end.exit_code == 0
        assert read_metrics(tmp_path / "home")["planned_epochs"] == 2
        assert b"epoch 2/2" in user.output
        lease = await application.leases.get_lease(end.lease_id)
        assert lease.state is LeaseState.KEPT
        assert lease.kept_until is not None
        assert end.receipt is not None
        (total,) = end.receipt.totals()
        assert total.spent == before - after
        ledger = sandbox.cloud.ledgers()["mistgpu"]
        assert sum(line.amount.amount for line in ledger) == after.amount
    assert sandbox.cloud.burning() == []
    assert list(sandbox.cloud.driver.list_machines()) == []


async def test_staged_trip_from_key_to_refund(sandbox: TripSandbox, tmp_path: Path) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        login = await application.account_commands.log_in("1024gpu", {})
        await sandbox.add_dbc(application, "90000")
        before = (await application.account_money.get_balance("1024gpu")).available
        (tmp_path / "home").mkdir()
        spec = TripSpec(
            requirements=Requirements(gpu="2080Ti"),
            upload=UploadSpec(folder=str(DIGITS_EXAMPLE)),
            job=JobSpec(command=JOB),
            results=ResultsSpec(paths=("out",), dir=str(tmp_path / "home")),
            limits=TripLimits(term=timedelta(days=1)),
            provider="1024gpu",
        )
        end = await application.trips.run(spec)
        after = (await application.account_money.get_balance("1024gpu")).available
        assert end.exit_code == 0
        assert read_metrics(tmp_path / "home")["planned_epochs"] == 2
        assert end.receipt is not None
        (total,) = end.receipt.totals()
        kinds = [charge.kind for charge in end.receipt.charges]
        assert {ChargeKind.DEPOSIT, ChargeKind.DEPOSIT_REFUND, ChargeKind.REFUND} <= set(kinds)
        assert total.held.amount == 0
        binding = before - after - total.spent
        assert 0 <= binding.amount < 10**8, (
            "only the mail binding's fee of less than one DBC is not on the receipt"
        )
        chain = [line for line in sandbox.cloud.ledgers()["dbc"] if line.account == login.account]
        assert sum(line.amount.amount for line in chain) == after.amount
        assert [name for name, _span in end.receipt.idle] == ["upload-to-job", "job-to-release"]
    assert sandbox.cloud.burning() == []
    assert list(sandbox.cloud.driver.list_machines()) == []


async def test_r3_job_survives_a_cut_connection_and_is_resumed(sandbox: TripSandbox, tmp_path: Path) -> None:
    user = ScriptedUser()
    cuts: list[int] = []

    def cut(event: Event) -> None:
        if event.kind is EventKind.JOB_STARTED:
            asyncio.get_running_loop().create_task(drop())

    async def drop() -> None:
        cuts.append(await sandbox.cloud.cut_connections())

    user.watchers.append(cut)
    async with sandbox.open_application(user) as application:
        await application.account_commands.log_in(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await sandbox.top_up_mistgpu(application, "10")
        script = tmp_path / "work"
        script.mkdir()
        (script / "tick.py").write_text(
            "import time\nfor i in range(30):\n    print(i, flush=True)\n    time.sleep(0.1)\n"
        )
        end = await application.trips.run(
            TripSpec(
                upload=UploadSpec(folder=str(script)), job=JobSpec(command=("tick.py",)), provider="mistgpu"
            )
        )
    assert len(cuts) == 1
    assert cuts[0] >= 1
    assert EventKind.CONNECTION_LOST in user.event_kinds()
    assert end.exit_code == 0
    assert user.output.decode().split() == [str(i) for i in range(30)], "no gap and nothing twice"
