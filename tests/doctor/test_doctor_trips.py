"""The doctor during a trip: who pays for a machine that cannot do the job, and how much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.health import HealthReport, Verdict
from gpurent.domain.offer import Requirements
from gpurent.domain.receipt import ChargeKind
from gpurent.domain.trip import JobSpec, OnError, TripLimits, TripSpec, UploadSpec
from gpurent.errors import Spent, UnfitMachine, UsageError
from tests.doctor import fake_programs
from tests.doctor.recorded_answers import find_finding
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

DRIVER_GONE = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
JOB = "import time\nprint('works')\ntime.sleep(1)\n"


def install_nvidia_smi(sandbox: TripSandbox, **driver: object) -> None:
    """Give every running machine a fake nvidia-smi."""
    for machine in sandbox.cloud.driver.list_machines():
        folder = Path(machine.home).parent / "opt" / "bin"
        machine_name = str(driver.get("machine", ""))
        fake_programs.write_nvidia_smi(
            folder, machine_name, output=str(driver.get("said", "")), status=9 if "said" in driver else 0
        )


def on_connect(user: ScriptedUser, action: Callable[[], None], leg: str) -> None:
    def watch(event: Event) -> None:
        if event.kind is EventKind.STEP_DONE and event.step == f"{leg}.connect":
            action()

    user.watchers.append(watch)


async def log_in_with_money(sandbox: TripSandbox, application: Application) -> None:
    await application.account_commands.log_in("mistgpu", {"username": "student", "password": "student-pass"})
    await sandbox.top_up_mistgpu(application, "20")


def make_metered_spec(tmp_path: Path, policy: str, command: tuple[str, ...] = ("train.py",)) -> TripSpec:
    folder = tmp_path / "project"
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(JOB)
    return TripSpec(
        upload=UploadSpec(folder=str(folder)), job=JobSpec(command=command), provider="mistgpu", doctor=policy
    )


async def test_o5_a_sick_metered_machine_stops_costing_at_the_minute(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path, speed=60) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        before = (await application.account_money.get_balance("mistgpu")).available
        on_connect(user, lambda: install_nvidia_smi(sandbox, said=DRIVER_GONE), "leg0")
        with pytest.raises(UnfitMachine, match="driver is not loaded") as caught:
            await application.trips.run(make_metered_spec(tmp_path, "require"))
        assert caught.value.exit_code == 7
        assert caught.value.burning == ()
        assert caught.value.spent is Spent.YES
        assert "machine was released" in caught.value.hint
        spent = before - (await application.account_money.get_balance("mistgpu")).available
        row = (await application.trip_tracker.list_trips())[-1]
        lease = await application.leases.get_lease(row.lease)
        assert lease.started_at is not None
        assert lease.ended_at is not None
        minutes = -(-(lease.ended_at - lease.started_at) // timedelta(minutes=1))
        assert spent == lease.offer.tariff.price.cost(timedelta(minutes=minutes))
        await sandbox.cloud.advance(timedelta(hours=3))
        assert before - (await application.account_money.get_balance("mistgpu")).available == spent, (
            "nothing burns on"
        )
        steps = {step.name for step in await application.store.list_steps(row.id)}
        assert "leg0.doctor" in steps
        assert not {"leg0.upload", "leg0.launch"} & steps, "not a byte was carried to a sick machine"
        assert row.outcome_text == "failed: unfit-machine"
    assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_o5_a_sick_prepaid_machine_is_refunded(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path, speed=60) as sandbox, sandbox.open_application(user) as application:
        await application.account_commands.log_in("1024gpu", {})
        await sandbox.add_dbc(application, "90000")
        before = (await application.account_money.get_balance("1024gpu")).available
        on_connect(user, lambda: install_nvidia_smi(sandbox, said="No devices were found"), "leg1")
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "train.py").write_text(JOB)
        spec = TripSpec(
            requirements=Requirements(gpu="2080Ti"),
            upload=UploadSpec(folder=str(folder)),
            job=JobSpec(command=("train.py",)),
            limits=TripLimits(term=timedelta(days=1)),
            provider="1024gpu",
            doctor="require",
        )
        with pytest.raises(UnfitMachine, match="finds no GPU"):
            await application.trips.run(spec)
        row = (await application.trip_tracker.list_trips())[-1]
        assert {"leg0.upload", "leg1.doctor"} <= {
            step.name for step in await application.store.list_steps(row.id)
        }
        assert "leg0.doctor" not in {step.name for step in await application.store.list_steps(row.id)}, (
            "the leg without a job"
        )
        receipt = await application.receipts.get_current_receipt(row.lease)
        sums = {kind: sum(c.money.amount for c in receipt.charges if c.kind is kind) for kind in ChargeKind}
        assert sums[ChargeKind.DEPOSIT] == sums[ChargeKind.DEPOSIT_REFUND] > 0
        paid, refund = sums[ChargeKind.USAGE], sums[ChargeKind.REFUND]
        lease = await application.leases.get_lease(row.lease)
        assert lease.started_at is not None
        assert lease.ended_at is not None
        used = lease.ended_at - lease.started_at
        assert used < timedelta(hours=3), "this computer is very slow"
        assert refund > paid * 21 // 24, "all but the begun minutes of a day comes back"
        after = (await application.account_money.get_balance("1024gpu")).available
        (total,) = receipt.totals()
        assert total.spent.amount == paid - refund
        assert 0 <= (before - after - total.spent).amount < 10**8, "but for the fee of the mail binding"
    assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_warn_reports_and_continues(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path, speed=60) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        on_connect(user, lambda: install_nvidia_smi(sandbox, said=DRIVER_GONE), "leg0")
        end = await application.trips.run(make_metered_spec(tmp_path, "warn"))
        assert end.exit_code == 0
        assert b"works" in user.output
        messages = [
            event for event in user.events if event.kind is EventKind.WARNING and "verdict" in event.data
        ]
        assert any(event.data["cause"] == "driver-gone" for event in messages)
        health = await application.store.find_step_value(end.trip_id, "leg0.doctor", HealthReport)
        assert health is not None
        assert find_finding(health, "driver").verdict is Verdict.FAILURE


@pytest.mark.nightly
async def test_require_accepts_a_machine_without_known_faults(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path, speed=60) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        on_connect(user, lambda: install_nvidia_smi(sandbox, machine="h100-550"), "leg0")
        end = await application.trips.run(make_metered_spec(tmp_path, "require"))
        assert end.exit_code == 0
        health = await application.store.find_step_value(end.trip_id, "leg0.doctor", HealthReport)
        assert health is not None
        assert find_finding(health, "driver").text.startswith("550.54.15")


@pytest.mark.nightly
async def test_off_is_the_default_and_settings_and_option_decide(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path, speed=120) as sandbox:
        async with sandbox.open_application(user) as application:
            await log_in_with_money(sandbox, application)
            end = await application.trips.run(make_metered_spec(tmp_path, ""))
            assert "leg0.doctor" not in {
                step.name for step in await application.store.list_steps(end.trip_id)
            }
        (sandbox.home / "state" / "config.toml").write_text('[doctor]\npolicy = "require"\n')
        async with sandbox.open_application(user) as application:
            with pytest.raises(UnfitMachine, match="rented: 1"):
                await application.trips.run(make_metered_spec(tmp_path, ""))
            assert (await application.trips.run(make_metered_spec(tmp_path, "off"))).exit_code == 0
        (sandbox.home / "state" / "config.toml").write_text('[doctor]\npolicy = "always"\n')
        with pytest.raises(UsageError, match="policy: expected one of"):
            async with sandbox.open_application(user):
                pass
        (sandbox.home / "state" / "config.toml").unlink()
        sandbox.extra_environment["GPURENT_DOCTOR_POLICY"] = "always"
        async with sandbox.open_application(user) as application:
            before = len(sandbox.cloud.ledgers()["mistgpu"])
            with pytest.raises(UsageError, match="always"):
                await application.trips.run(make_metered_spec(tmp_path, ""))
            assert len(sandbox.cloud.ledgers()["mistgpu"]) == before, "told before anything is rented"


@pytest.mark.nightly
async def test_on_error_keep_keeps_the_machine(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=60) as sandbox, sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        spec = evolve(make_metered_spec(tmp_path, "require"), limits=TripLimits(on_error=OnError.KEEP))
        with pytest.raises(UnfitMachine) as caught:
            await application.trips.run(spec)
        (lease,) = await application.leases.list_refreshed_leases()
        assert caught.value.burning == (lease.id,)
        await application.releases.release_lease(lease.id)


@pytest.mark.nightly
async def test_a_connection_cut_during_the_examination_is_resumed(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path, speed=60) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        cuts: list[asyncio.Task[int]] = []

        async def cut() -> int:
            await asyncio.sleep(0.3)
            return await sandbox.cloud.cut_connections()

        def watch(event: Event) -> None:
            if event.kind is EventKind.STEP_STARTED and event.step == "leg0.doctor":
                install_nvidia_smi(sandbox, machine="h100-550")
                cuts.append(asyncio.get_running_loop().create_task(cut()))

        user.watchers.append(watch)
        end = await application.trips.run(make_metered_spec(tmp_path, "require"))
        assert end.exit_code == 0
        assert await cuts[0] >= 1
        assert EventKind.CONNECTION_LOST in user.event_kinds()


async def test_a_machine_that_never_ends_the_examination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpurent.workflow.connection.probes.DOCTOR_TIMEOUT", 2.0)
    async with trip_sandbox(tmp_path, speed=60) as sandbox, sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        lease = await application.trips.rent(TripSpec(provider="mistgpu"))
        for machine in sandbox.cloud.driver.list_machines():
            stuck = Path(machine.home).parent / "opt" / "bin" / "mktemp"
            stuck.write_text("#!/bin/sh\nexec sleep 30\n")
            stuck.chmod(0o755)
        health = await application.doctor.examine_lease(lease.id)
        assert [(one.verdict, one.cause) for one in health.findings] == [(Verdict.FAILURE, "machine-hangs")]


@pytest.mark.nightly
async def test_o5_command_reports_it_and_exits_with_7(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=60) as sandbox:
        async with sandbox.open_application() as application:
            await log_in_with_money(sandbox, application)
            lease = await application.trips.rent(TripSpec(provider="mistgpu"))
        install_nvidia_smi(sandbox, machine="v100-410")
        result = await sandbox.run_command("doctor", lease.id)
        assert result.code == 0, result.out
        assert "Tesla V100" in result.out
        assert "not checked" in result.out
        install_nvidia_smi(sandbox, said=DRIVER_GONE)
        result = await sandbox.run_command("doctor", lease.id, "--json")
        assert result.code == 7
        causes = {one["cause"]: one for one in result.data["findings"]}
        assert result.data["verdict"] == "failure"
        assert causes["driver-gone"]["advice"]
        assert (await sandbox.run_command("doctor", "nobody")).code == 6
