"""The doctor on a trip: who pays for a machine that cannot do the job, and how much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.health import Health, Verdict
from gpurent.domain.offer import Requirements
from gpurent.domain.receipt import ChargeKind
from gpurent.domain.trip import JobSpec, OnError, TripLimits, TripSpec, Upload
from gpurent.errors import Spent, UnfitMachine, UsageError
from tests.doctor import standin
from tests.doctor.replay import finding
from tests.workflow.world import Person, World, world

GONE = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
JOB = "import time\nprint('works')\ntime.sleep(1)\n"


def outfit(land: World, **driver: object) -> None:
    """Every machine that is there gets a stand-in of the driver's tool."""
    for machine in land.cloud.driver.machines():
        folder = Path(machine.home).parent / "opt" / "bin"
        machine_name = str(driver.get("machine", ""))
        standin.driver(
            folder, machine_name, said=str(driver.get("said", "")), status=9 if "said" in driver else 0
        )


def on_connect(person: Person, act: Callable[[], None], leg: str) -> None:
    def watch(event: Event) -> None:
        if event.kind is EventKind.STEP_DONE and event.step == f"{leg}.connect":
            act()

    person.watchers.append(watch)


async def rich(land: World, application: Application) -> None:
    await application.account_commands.login("mistgpu", {"username": "student", "password": "student-pass"})
    await land.settle_alipay(application, "20")


def metered(tmp_path: Path, policy: str, command: tuple[str, ...] = ("train.py",)) -> TripSpec:
    folder = tmp_path / "project"
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(JOB)
    return TripSpec(
        upload=Upload(folder=str(folder)), job=JobSpec(command=command), provider="mistgpu", doctor=policy
    )


async def test_o5_a_sick_metered_machine_stops_costing_at_the_minute(tmp_path: Path) -> None:
    person = Person()
    async with world(tmp_path, speed=60) as land, land.application(person) as application:
        await rich(land, application)
        before = (await application.account_money.balance("mistgpu")).available
        on_connect(person, lambda: outfit(land, said=GONE), "leg0")
        with pytest.raises(UnfitMachine, match="driver is not loaded") as caught:
            await application.trips.run(metered(tmp_path, "require"))
        assert caught.value.exit_code == 7
        assert caught.value.burning == ()
        assert caught.value.spent is Spent.YES
        assert "was given back" in caught.value.hint
        spent = before - (await application.account_money.balance("mistgpu")).available
        row = application.trip_register.trips()[-1]
        lease = application.leases.find_lease(row.lease)
        assert lease.started_at is not None
        assert lease.ended_at is not None
        minutes = -(-(lease.ended_at - lease.started_at) // timedelta(minutes=1))
        assert spent == lease.offer.tariff.price.cost(timedelta(minutes=minutes))
        await land.cloud.advance(timedelta(hours=3))
        assert before - (await application.account_money.balance("mistgpu")).available == spent, (
            "nothing burns on"
        )
        steps = {step.name for step in application.store.steps(row.id)}
        assert "leg0.doctor" in steps
        assert not {"leg0.push", "leg0.launch"} & steps, "not a byte was carried to a sick machine"
        assert row.outcome == "failed: unfit-machine"
    assert list(land.cloud.burning()) == []


async def test_o5_a_sick_prepaid_machine_is_refunded(tmp_path: Path) -> None:
    person = Person()
    async with world(tmp_path, speed=60) as land, land.application(person) as application:
        await application.account_commands.login("1024gpu", {})
        await land.faucet(application, "90000")
        before = (await application.account_money.balance("1024gpu")).available
        on_connect(person, lambda: outfit(land, said="No devices were found"), "leg1")
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "train.py").write_text(JOB)
        want = TripSpec(
            requirements=Requirements(gpu="2080Ti"),
            upload=Upload(folder=str(folder)),
            job=JobSpec(command=("train.py",)),
            limits=TripLimits(term=timedelta(days=1)),
            provider="1024gpu",
            doctor="require",
        )
        with pytest.raises(UnfitMachine, match="finds no GPU"):
            await application.trips.run(want)
        row = application.trip_register.trips()[-1]
        assert {"leg0.push", "leg1.doctor"} <= {step.name for step in application.store.steps(row.id)}
        assert "leg0.doctor" not in {step.name for step in application.store.steps(row.id)}, (
            "the leg without a job"
        )
        receipt = await application.receipts.current_receipt(row.lease)
        sums = {kind: sum(c.money.amount for c in receipt.charges if c.kind is kind) for kind in ChargeKind}
        assert sums[ChargeKind.DEPOSIT] == sums[ChargeKind.DEPOSIT_BACK] > 0
        paid, refund = sums[ChargeKind.USE], sums[ChargeKind.REFUND]
        lease = application.leases.find_lease(row.lease)
        assert lease.started_at is not None
        assert lease.ended_at is not None
        used = lease.ended_at - lease.started_at
        assert used < timedelta(hours=3), "this computer is very slow"
        assert refund > paid * 21 // 24, "all but the begun minutes of a day comes back"
        after = (await application.account_money.balance("1024gpu")).available
        (total,) = receipt.totals()
        assert total.spent.amount == paid - refund
        assert 0 <= (before - after - total.spent).amount < 10**8, "but for the fee of the mail binding"
    assert list(land.cloud.burning()) == []


async def test_warn_tells_and_goes_on(tmp_path: Path) -> None:
    person = Person()
    async with world(tmp_path, speed=60) as land, land.application(person) as application:
        await rich(land, application)
        on_connect(person, lambda: outfit(land, said=GONE), "leg0")
        end = await application.trips.run(metered(tmp_path, "warn"))
        assert end.exit_code == 0
        assert b"works" in person.said
        told = [
            event for event in person.events if event.kind is EventKind.WARNING and "verdict" in event.data
        ]
        assert any(event.data["cause"] == "driver-gone" for event in told)
        kept = application.store.recall_step(end.trip, "leg0.doctor", Health)
        assert kept is not None
        assert finding(kept, "driver").verdict is Verdict.FAILURE


async def test_require_lets_a_machine_pass_that_is_well_as_far_as_can_be_seen(tmp_path: Path) -> None:
    person = Person()
    async with world(tmp_path, speed=60) as land, land.application(person) as application:
        await rich(land, application)
        on_connect(person, lambda: outfit(land, machine="h100-550"), "leg0")
        end = await application.trips.run(metered(tmp_path, "require"))
        assert end.exit_code == 0
        kept = application.store.recall_step(end.trip, "leg0.doctor", Health)
        assert kept is not None
        assert finding(kept, "driver").text.startswith("550.54.15")


async def test_off_is_the_default_and_settings_and_option_decide(tmp_path: Path) -> None:
    person = Person()
    async with world(tmp_path, speed=120) as land:
        async with land.application(person) as application:
            await rich(land, application)
            end = await application.trips.run(metered(tmp_path, ""))
            assert "leg0.doctor" not in {step.name for step in application.store.steps(end.trip)}
        (land.home / "state" / "config.toml").write_text('[doctor]\npolicy = "require"\n')
        async with land.application(person) as application:
            with pytest.raises(UnfitMachine, match="rented: 1"):
                await application.trips.run(metered(tmp_path, ""))
            assert (await application.trips.run(metered(tmp_path, "off"))).exit_code == 0
        (land.home / "state" / "config.toml").write_text('[doctor]\npolicy = "always"\n')
        with pytest.raises(UsageError, match="policy: one of these is expected"):
            async with land.application(person):
                pass
        (land.home / "state" / "config.toml").unlink()
        land.extra["GPURENT_DOCTOR_POLICY"] = "always"
        async with land.application(person) as application:
            before = len(land.cloud.ledgers()["mistgpu"])
            with pytest.raises(UsageError, match="always"):
                await application.trips.run(metered(tmp_path, ""))
            assert len(land.cloud.ledgers()["mistgpu"]) == before, "told before anything is rented"


async def test_on_error_keep_keeps_the_machine_for_a_look(tmp_path: Path) -> None:
    async with world(tmp_path, speed=60) as land, land.application() as application:
        await rich(land, application)
        want = evolve(metered(tmp_path, "require"), limits=TripLimits(on_error=OnError.KEEP))
        with pytest.raises(UnfitMachine) as caught:
            await application.trips.run(want)
        (lease,) = await application.leases.view_leases()
        assert caught.value.burning == (lease.id,)
        await application.releases.release(lease.id)


async def test_a_line_cut_during_the_examination_is_taken_up_again(tmp_path: Path) -> None:
    person = Person()
    async with world(tmp_path, speed=60) as land, land.application(person) as application:
        await rich(land, application)
        cuts: list[asyncio.Task[int]] = []

        async def cut() -> int:
            await asyncio.sleep(0.3)
            return await land.cloud.cut()

        def watch(event: Event) -> None:
            if event.kind is EventKind.STEP_BEGUN and event.step == "leg0.doctor":
                outfit(land, machine="h100-550")
                cuts.append(asyncio.get_running_loop().create_task(cut()))

        person.watchers.append(watch)
        end = await application.trips.run(metered(tmp_path, "require"))
        assert end.exit_code == 0
        assert await cuts[0] >= 1
        assert EventKind.LINE_LOST in person.kinds()


async def test_a_machine_that_never_ends_the_examination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpurent.workflow.connection.probes.TIMEOUT", 2.0)
    async with world(tmp_path, speed=60) as land, land.application() as application:
        await rich(land, application)
        lease = await application.trips.rent(TripSpec(provider="mistgpu"))
        for machine in land.cloud.driver.machines():
            stuck = Path(machine.home).parent / "opt" / "bin" / "mktemp"
            stuck.write_text("#!/bin/sh\nexec sleep 30\n")
            stuck.chmod(0o755)
        health = await application.doctor.examine_lease(lease.id)
        assert [(one.verdict, one.cause) for one in health.findings] == [(Verdict.FAILURE, "machine-hangs")]


async def test_o5_the_command_names_it_and_ends_with_seven(tmp_path: Path) -> None:
    async with world(tmp_path, speed=60) as land:
        async with land.application() as application:
            await rich(land, application)
            lease = await application.trips.rent(TripSpec(provider="mistgpu"))
        outfit(land, machine="v100-410")
        said = await land.cli("doctor", lease.id)
        assert said.code == 0, said.out
        assert "Tesla V100" in said.out
        assert "not checked" in said.out
        outfit(land, said=GONE)
        said = await land.cli("doctor", lease.id, "--json")
        assert said.code == 7
        causes = {one["cause"]: one for one in said.data["findings"]}
        assert said.data["verdict"] == "failure"
        assert causes["driver-gone"]["do"]
        assert (await land.cli("doctor", "nobody")).code == 6
