"""Failures that users meet: each has a clear error and the right `spent`, and no machine keeps costing money."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import LeaseState
from gpurent.domain.money import CNY
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import (
    AuthError,
    BusyError,
    GpurentError,
    JobError,
    LeaseError,
    LeaseGone,
    MoneyError,
    PluginError,
    SoldOut,
    Spent,
    TransferError,
    UnavailableError,
)
from gpurent.testing.sandbox.machines import find_bwrap_problem
from gpurent.workflow.steps import release
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox


def make_project(tmp_path: Path, **files: str) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


async def log_in_with_money(sandbox: TripSandbox, application: Application, yuan: str = "10") -> None:
    await application.account_commands.log_in("mistgpu", {"username": "student", "password": "student-pass"})
    await sandbox.top_up_mistgpu(application, yuan)


def make_spec(folder: Path, command: str = "true", *, transfer: str = "", **parts: Any) -> TripSpec:
    """Return a trip at MISTGPU that uploads ``folder`` and runs ``command``; ``parts`` are other parts of its spec."""
    return TripSpec(
        upload=UploadSpec(folder=str(folder), transfer=transfer),
        job=JobSpec(command=(command,)),
        provider="mistgpu",
        **parts,
    )


def check_nothing_burns(sandbox: TripSandbox) -> None:
    assert list(sandbox.cloud.burning()) == []
    assert sandbox.cloud.driver.list_machines() == []


async def test_wrong_password(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        with pytest.raises(AuthError) as caught:
            await application.account_commands.log_in(
                "mistgpu", {"username": "student", "password": "wrong-password"}
            )
        assert caught.value.spent is None, "a login has nothing to do with spending"
        assert "用户名或密码错误" in caught.value.message
        assert "wrong-password" not in str(caught.value)


async def test_unknown_provider(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        with pytest.raises(PluginError, match="mistgqu") as caught:
            await application.trips.run(TripSpec(job=JobSpec(command=("true",)), provider="mistgqu"))
        assert "mistgpu" in caught.value.hint
        assert caught.value.exit_code == 3


async def test_sold_out(tmp_path: Path) -> None:
    async with (
        trip_sandbox(tmp_path, settings={"mistgpu.free": "0"}) as sandbox,
        sandbox.open_application() as application,
    ):
        await log_in_with_money(sandbox, application)
        with pytest.raises(SoldOut) as caught:
            await application.trips.run(make_spec(make_project(tmp_path)))
        assert caught.value.spent is Spent.NO
        check_nothing_burns(sandbox)
        assert (await application.trip_tracker.list_trips())[-1].outcome_text == "failed: sold-out"


async def test_machine_taken_between_listing_and_order(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        simulator_state = sandbox.get_simulator_state("mistgpu")

        def take_all_machines(event: Event) -> None:
            if event.kind is EventKind.STEP_STARTED and event.step == "leg0.reserve":
                for machine in simulator_state.machines.values():
                    machine.user = "somebody"

        user.watchers.append(take_all_machines)
        with pytest.raises(SoldOut) as caught:
            await application.trips.run(make_spec(make_project(tmp_path)))
        assert caught.value.spent is Spent.NO
        check_nothing_burns(sandbox)


async def test_empty_balance(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        await application.account_commands.log_in(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        with pytest.raises(MoneyError) as caught:
            await application.trips.run(make_spec(make_project(tmp_path)))
        assert caught.value.spent is Spent.NO
        assert "gpurent topup mistgpu" in caught.value.hint
        check_nothing_burns(sandbox)


async def test_budget_too_small_is_refused_before_money_moves(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        spec = make_spec(
            make_project(tmp_path), limits=TripLimits(term=timedelta(hours=9), budget=CNY.money("1.00"))
        )
        with pytest.raises(MoneyError, match="budget") as caught:
            await application.trips.run(spec)
        assert caught.value.spent is Spent.NO
        assert [line.kind for line in sandbox.cloud.ledgers()["mistgpu"]] == ["recharge"]


async def test_r3_wrong_command_is_reported_and_the_machine_released(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        folder = make_project(tmp_path, train="print(1)")
        with pytest.raises(JobError, match="127") as caught:
            await application.trips.run(make_spec(folder, "no-such-program"))
        assert "no-such-program" in caught.value.hint
        assert caught.value.spent is Spent.YES
        assert caught.value.burning == ()
        check_nothing_burns(sandbox)


async def test_job_that_fails_later_brings_its_exit_code_and_results(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=120) as sandbox, sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        text = "import time, sys\nopen('out.txt', 'w').write('partial')\ntime.sleep(2.5)\nsys.exit(3)\n"
        folder = make_project(tmp_path, train=text)
        end = await application.trips.run(
            make_spec(folder, "train.py", results=ResultsSpec(paths=("out.txt",)))
        )
        assert end.exit_code == 3
        assert (folder / "out.txt").read_text() == "partial"
        check_nothing_burns(sandbox)


async def test_missing_folder_is_reported_before_much_is_paid(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        with pytest.raises(GpurentError, match="not a folder") as caught:
            await application.trips.run(make_spec(make_project(tmp_path) / "none"))
        assert caught.value.burning == ()
        check_nothing_burns(sandbox)


async def test_file_that_vanishes_while_uploading(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        folder = make_project(tmp_path, train="print(1)")
        (folder / "fleeting.bin").write_bytes(b"x" * 1000)
        scan = pytest.importorskip("gpurent_plugin_sftp.scan").scan_sources

        def delete_after_scan(*given: object) -> object:
            found = scan(*given)
            (folder / "fleeting.bin").unlink(missing_ok=True)
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gpurent_plugin_sftp.backend.scan_sources", delete_after_scan)
            with pytest.raises(TransferError, match=r"fleeting\.bin") as caught:
                await application.trips.run(make_spec(folder, "train.py", transfer="sftp"))
        assert caught.value.burning == ()
        check_nothing_burns(sandbox)


@pytest.mark.parametrize(
    ("driver", "transfer"),
    [("embedded", "sftp"), pytest.param("bwrap", "turbo", marks=pytest.mark.bwrap)],
)
async def test_full_remote_disk(tmp_path: Path, driver: str, transfer: str) -> None:
    if driver == "bwrap" and (problem := await find_bwrap_problem()):
        pytest.skip(problem)
    small = {"mistgpu.disk_bytes": "200000" if driver == "embedded" else "600000"}
    async with (
        trip_sandbox(tmp_path, settings=small, driver=driver) as sandbox,
        sandbox.open_application() as application,
    ):
        await log_in_with_money(sandbox, application)
        folder = make_project(tmp_path, train="print(1)")
        (folder / "big.bin").write_bytes(bytes(range(256)) * 4000)
        spec = make_spec(folder, "train.py", transfer=transfer)
        with pytest.raises(TransferError) as caught:
            await application.trips.run(spec)
        assert "no space left" in caught.value.message or "free" in caught.value.message
        assert caught.value.burning == ()
        check_nothing_burns(sandbox)


@pytest.mark.nightly
async def test_f6_balance_runs_out_and_r4_the_session_is_gone(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path, speed=600) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application, "3.20")
        folder = make_project(tmp_path, train="import time\nwhile True:\n    time.sleep(0.2)\n")
        with pytest.raises(LeaseGone) as caught:
            await application.trips.run(make_spec(folder, "train.py"))
        assert "余额不足" in caught.value.message
        assert "kept until" in caught.value.hint
        assert caught.value.spent is Spent.YES
        assert EventKind.TIME_LOW in user.event_kinds()
        (lease,) = await application.store.list_leases()
        assert lease.state is LeaseState.KEPT
        assert (await application.account_money.get_balance("mistgpu")).available == CNY.zero
        check_nothing_burns(sandbox)


async def make_staged_spec(
    sandbox: TripSandbox, application: Application, folder: Path | None = None
) -> TripSpec:
    await application.account_commands.log_in("1024gpu", {})
    await sandbox.add_dbc(application, "90000")
    return TripSpec(
        requirements=Requirements(gpu="2080Ti"),
        upload=UploadSpec(folder=str(folder or ".")),
        job=JobSpec(command=("true",)),
        limits=TripLimits(term=timedelta(days=1)),
        provider="1024gpu",
    )


@pytest.mark.nightly
async def test_f3_garbled_access_mail_is_asked_for_again(tmp_path: Path) -> None:
    async with (
        trip_sandbox(tmp_path, speed=240, settings={"1024gpu.garbled": "once"}) as sandbox,
        sandbox.open_application() as application,
    ):
        spec = await make_staged_spec(sandbox, application, make_project(tmp_path))
        end = await application.trips.run(spec)
        assert end.exit_code == 0
        check_nothing_burns(sandbox)


async def test_f7_wrong_mail_code_leaves_the_lease_known_and_is_retried(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=240) as sandbox, sandbox.open_application() as application:
        spec = await make_staged_spec(sandbox, application)
        lease = await application.trips.rent(spec)
        simulator_state = sandbox.get_simulator_state("1024gpu")
        original = simulator_state.redeem_code

        def fail_mail_code(order: object, action: str, code: str) -> None:
            original(order, action, "000000")

        simulator_state.redeem_code = fail_mail_code
        with pytest.raises(LeaseError, match="code") as caught:
            await application.releases.release_lease(lease.id)
        assert caught.value.burning == (lease.id,)
        assert caught.value.spent is Spent.YES
        assert len(sandbox.cloud.burning()) == 1
        simulator_state.redeem_code = original
        receipt = await application.releases.release_lease(lease.id)
        assert receipt.totals()[0].held.amount == 0
        check_nothing_burns(sandbox)


async def test_price_that_jumps_between_quote_and_payment_is_never_paid_silently(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path, speed=240) as sandbox, sandbox.open_application(user) as application:
        spec = await make_staged_spec(sandbox, application, make_project(tmp_path))

        def raise_price(event: Event) -> None:
            if event.kind is EventKind.STEP_STARTED and event.step == "leg0.upload":
                simulator: Any = sandbox.cloud.simulators_by_name["dbc"]
                simulator._current_price = (Decimal("0.00026"), None)

        user.watchers.append(raise_price)
        with pytest.raises(MoneyError, match="exceeds the agreed"):
            await application.trips.run(spec)
        kinds = [line.kind for line in sandbox.cloud.ledgers()["1024gpu"]]
        assert kinds == ["binding", "deposit", "deposit-refund"]
        check_nothing_burns(sandbox)


async def test_provider_that_is_down_leaves_the_trip_open_and_resume_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "RELEASE_TIMEOUT", timedelta(minutes=2))
    user = ScriptedUser()
    async with trip_sandbox(tmp_path, speed=600) as sandbox, sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application, "500")
        folder = make_project(tmp_path, train="print('done')")
        simulator_state = sandbox.get_simulator_state("mistgpu")
        original = simulator_state.shut_down

        async def broken(server: object, at: datetime, note: str) -> None:
            raise RuntimeError("the site has a bad day")

        simulator_state.shut_down = broken
        with pytest.raises(UnavailableError) as caught:
            await application.trips.run(make_spec(folder, "train.py"))
        (lease,) = await application.store.list_leases()
        assert caught.value.burning == (lease.id,)
        assert (await application.trip_tracker.list_trips())[-1].outcome_text == ""
        simulator_state.shut_down = original
        end = await application.trips.resume()
        assert end.exit_code == 0
        check_nothing_burns(sandbox)


async def test_two_processes_never_execute_one_trip(tmp_path: Path) -> None:
    async with (
        trip_sandbox(tmp_path) as sandbox,
        sandbox.open_application() as application,
        sandbox.open_application() as other,
    ):
        await log_in_with_money(sandbox, application)
        trip = await application.trip_tracker.begin_trip(
            "run",
            TripSpec(
                upload=UploadSpec(folder=str(tmp_path)), job=JobSpec(command=("true",)), provider="mistgpu"
            ),
        )
        async with application.locks.lock_trip(trip.id):
            with pytest.raises(BusyError, match=f"in use by gpurent .process {os.getpid()} on "):
                await other.trips.resume(trip.id)


async def test_simulator_refuses_strangers(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, httpx2.AsyncClient() as client:
        answer = await client.get(f"{sandbox.cloud.urls['mistgpu']}/user/")
        assert answer.status_code == 302
        assert answer.headers["location"].startswith("/login/")
        answer = await client.post(
            f"{sandbox.cloud.urls['1024gpu']}/rent/get_stop_code", params={"order_id": "1"}
        )
        assert answer.json()["status"] == -1
        await asyncio.sleep(0)
