"""Whole trips over the sandbox's sockets: the main job, undisturbed and with a cut line."""

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
from gpurent.domain.trip import JobSpec, Results, TripLimits, TripSpec, Upload
from tests.workflow.world import DIGITS, Person, World, world

JOB = ("train.py", "--epochs", "2", "--hidden", "8")


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=120) as made:
        yield made


def metrics(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "out" / "metrics.json").read_text())
    return found


async def test_metered_trip_from_login_to_receipt(land: World, tmp_path: Path) -> None:
    person = Person()
    async with land.application(person) as application:
        await application.account_commands.login(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await land.settle_alipay(application, "10")
        before = (await application.account_money.balance("mistgpu")).available
        want = TripSpec(
            upload=Upload(folder=str(DIGITS)),
            job=JobSpec(command=JOB),
            results=Results(paths=("out",), dir=str(tmp_path / "home")),
            provider="mistgpu",
        )
        (tmp_path / "home").mkdir()
        end = await application.trips.run(want)
        after = (await application.account_money.balance("mistgpu")).available
        assert end.exit_code == 0
        assert metrics(tmp_path / "home")["planned_epochs"] == 2
        assert b"epoch 2/2" in person.said
        lease = application.leases.find_lease(end.lease)
        assert lease.state is LeaseState.KEPT
        assert lease.kept_until is not None
        assert end.receipt is not None
        (total,) = end.receipt.totals()
        assert total.spent == before - after
        ledger = land.cloud.ledgers()["mistgpu"]
        assert sum(line.amount.amount for line in ledger) == after.amount
    assert land.cloud.burning() == []
    assert list(land.cloud.driver.machines()) == []


async def test_staged_trip_from_key_to_refund(land: World, tmp_path: Path) -> None:
    person = Person()
    async with land.application(person) as application:
        login = await application.account_commands.login("1024gpu", {})
        await land.faucet(application, "90000")
        before = (await application.account_money.balance("1024gpu")).available
        (tmp_path / "home").mkdir()
        want = TripSpec(
            requirements=Requirements(gpu="2080Ti"),
            upload=Upload(folder=str(DIGITS)),
            job=JobSpec(command=JOB),
            results=Results(paths=("out",), dir=str(tmp_path / "home")),
            limits=TripLimits(term=timedelta(days=1)),
            provider="1024gpu",
        )
        end = await application.trips.run(want)
        after = (await application.account_money.balance("1024gpu")).available
        assert end.exit_code == 0
        assert metrics(tmp_path / "home")["planned_epochs"] == 2
        assert end.receipt is not None
        (total,) = end.receipt.totals()
        kinds = [charge.kind for charge in end.receipt.charges]
        assert {ChargeKind.DEPOSIT, ChargeKind.DEPOSIT_BACK, ChargeKind.REFUND} <= set(kinds)
        assert total.held.amount == 0
        binding = before - after - total.spent
        assert 0 <= binding.amount < 10**8, (
            "only the mail binding's fee of less than one DBC is not on the receipt"
        )
        chain = [line for line in land.cloud.ledgers()["dbc"] if line.account == login.account]
        assert sum(line.amount.amount for line in chain) == after.amount
        assert [name for name, _span in end.receipt.idle] == ["upload-to-job", "job-to-release"]
    assert land.cloud.burning() == []
    assert list(land.cloud.driver.machines()) == []


async def test_r3_job_survives_a_cut_line_and_is_taken_up_again(land: World, tmp_path: Path) -> None:
    person = Person()
    cuts: list[int] = []

    def cut(event: Event) -> None:
        if event.kind is EventKind.JOB_STARTED:
            asyncio.get_running_loop().create_task(drop())

    async def drop() -> None:
        cuts.append(await land.cloud.cut())

    person.watchers.append(cut)
    async with land.application(person) as application:
        await application.account_commands.login(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await land.settle_alipay(application, "10")
        script = tmp_path / "work"
        script.mkdir()
        (script / "tick.py").write_text(
            "import time\nfor i in range(30):\n    print(i, flush=True)\n    time.sleep(0.1)\n"
        )
        end = await application.trips.run(
            TripSpec(upload=Upload(folder=str(script)), job=JobSpec(command=("tick.py",)), provider="mistgpu")
        )
    assert len(cuts) == 1
    assert cuts[0] >= 1
    assert EventKind.LINE_LOST in person.kinds()
    assert end.exit_code == 0
    assert person.said.decode().split() == [str(i) for i in range(30)], "no gap and nothing twice"
