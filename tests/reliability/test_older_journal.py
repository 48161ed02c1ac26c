"""A data folder restored from before a trip's machine ran: the machine is adopted by name, and the trip resumed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import LeaseState
from gpurent.domain.money import Money
from gpurent.domain.offer import Requirements
from gpurent.domain.receipt import ChargeKind, sum_charges
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import AuthError, InputRequired, Spent
from gpurent.workflow.trips.machine_work import TripResult
from tests.reliability.test_repeated_commands import DAY
from tests.workflow.test_failures import log_in_with_money
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

JOB = "import time\nopen('out.txt', 'a').write('made\\n')\nprint('up', flush=True)\ntime.sleep(600)\n"


def make_spec(root: Path, provider: str) -> TripSpec:
    folder = root / "project"
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(JOB)
    return TripSpec(
        upload=UploadSpec(folder=str(folder)),
        job=JobSpec(command=("train.py",)),
        results=ResultsSpec(paths=("out.txt",)),
        provider=provider,
        requirements=Requirements(gpu="2080Ti"),
        limits=TripLimits(term=DAY if provider == "1024gpu" else None),
    )


async def sum_spending(application: Application) -> Money:
    """Return what the provider's account is charged with, by the user's own ledger."""
    assert await application.bookkeeping.sync_all() == {}
    (total,) = await application.bookkeeping.sum_spending(provider="1024gpu")
    assert total.held.amount == 0
    return total.spent


async def restore_backup(sandbox: TripSandbox, backup: Path, provider: str) -> None:
    """Put the earlier data folder in place; the user says once that the older vault in it is really the own one."""
    shutil.rmtree(sandbox.home / "state")
    shutil.copytree(backup, sandbox.home / "state")
    async with sandbox.open_application(ScriptedUser(answers={"Type yes": "yes"})) as application:
        await application.account_money.get_balance(provider)


async def begin_and_restore(
    sandbox: TripSandbox, root: Path, kind: EventKind, step: str, provider: str = "1024gpu"
) -> tuple[str, str]:
    """Start a trip's job and restore the data folder as of the given event; return the ids of trip and lease."""
    state, backup, user = sandbox.home / "state", root / "backup", ScriptedUser()

    def back_up(event: Event) -> None:
        if (event.kind, event.step) == (kind, step):
            shutil.copytree(state, backup)

    user.watchers.append(back_up)
    async with sandbox.open_application(user) as application:
        if provider == "1024gpu":
            await application.account_commands.log_in("1024gpu", {})
            await sandbox.add_dbc(application, "90000")
        else:
            await log_in_with_money(sandbox, application)
        end = await application.trips.run(make_spec(root, provider), detach=True)
    await restore_backup(sandbox, backup, provider)
    return end.trip_id, end.lease_id


async def resume_to_job(
    sandbox: TripSandbox, application: Application, trip: str, lease_id: str
) -> TripResult:
    """Resume; if the restored folder knows the machine at another place, name its key and password, as errors say.

    An older password never goes to a new place.
    """
    try:
        return await application.trips.resume(trip, detach=True)
    except InputRequired as asked:
        (fingerprint,) = re.findall(rf"gpurent connect {lease_id} --fingerprint (\S+)", asked.hint)
    with pytest.raises(AuthError) as refused:
        await application.contact_commands.connect(lease_id, fingerprint)
    (line,) = re.findall(r'gpurent adopt "(.*)" --provider', refused.value.hint)
    (machine,) = sandbox.cloud.driver.list_machines()
    typed = await sandbox.run_command(
        *("adopt", line, "-p", "1024gpu", "--fingerprint", fingerprint, "--stdin", "password"),
        input_text=f"{machine.spec.password}\n",
    )
    assert typed.code == 0, typed.err
    return await application.trips.resume(trip, detach=True)


@pytest.mark.parametrize(
    ("kind", "step", "enters_first"),
    [
        (EventKind.STEP_STARTED, "leg0.upload", False),
        *(
            pytest.param(*case, marks=pytest.mark.nightly)
            for case in (
                (EventKind.STEP_STARTED, "leg0.reserve", True),
                (EventKind.STEP_STARTED, "leg0.reserve", False),
                (EventKind.STEP_DONE, "leg0.reserve", False),
                (EventKind.STEP_STARTED, "leg0.confirm", True),
                (EventKind.STEP_STARTED, "leg1.confirm", False),
                (EventKind.STEP_STARTED, "leg1.launch", False),
            )
        ),
    ],
)
async def test_a_resumed_trip_returns_to_its_job(
    kind: EventKind, step: str, enters_first: bool, tmp_path: Path
) -> None:
    """``enters_first``: the payments are entered by a reconciliation before the lease that they are for is known."""
    user = ScriptedUser()
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        trip, lease_id = await begin_and_restore(sandbox, tmp_path, kind, step)
        async with sandbox.open_application(user) as application:
            if enters_first:
                found = await application.reconciliation.compare_provider("1024gpu")
                await application.reconciliation.enter_missing(found)
            if await application.lost_leases.list_lost_leases():
                await application.orphan_commands.adopt_orphan(lease_id)
            end = await resume_to_job(sandbox, application, trip, lease_id)
            assert end.job_running
            lease = await application.leases.refresh_lease(lease_id)
            assert lease.state is LeaseState.READY
            await application.machine_commands.stop_job(lease_id, trip)
            end = await application.trips.resume(trip)
            assert (tmp_path / "project" / "out.txt").read_text() == "made\n", "the job ran once"
            assert end.receipt is not None
            (spent,) = (total.spent for total in end.receipt.totals())
            assert spent.amount > 0
            there = (await application.plugins.billing("1024gpu").get_balance()).available
            assert await sum_spending(application) == there.currency.money(90_000) - there
            found = await application.reconciliation.compare_provider("1024gpu")
            assert [x for x in found if not x.is_consistent] == []
        assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_entering_an_unknown_trip_gives_what_it_cost(tmp_path: Path) -> None:
    """Of a lease that is over there is no second copy: only the account knows what was paid, and what came back."""
    state, backup = tmp_path / "user" / "state", tmp_path / "earlier"
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        async with sandbox.open_application() as application:
            await application.account_commands.log_in("1024gpu", {})
            await sandbox.add_dbc(application, "90000")
            shutil.copytree(state, backup)
            end = await application.trips.run(make_spec(tmp_path, "1024gpu"), detach=True)
            await application.releases.release_lease(end.lease_id)
        await restore_backup(sandbox, backup, "1024gpu")
        async with sandbox.open_application() as application:
            found = await application.reconciliation.compare_provider("1024gpu")
            await application.reconciliation.enter_missing(found)
            charges = await application.bookkeeping.list_charges(provider="1024gpu")
            (total,) = sum_charges(charges)
            (fee,) = (charge.money for charge in charges if charge.kind is ChargeKind.TRANSFER)
            there = (await application.plugins.billing("1024gpu").get_balance()).available
            assert total.held.amount == 0
            assert total.spent == there.currency.money(90_000) - there - fee
            assert fee < there.currency.money(1), "binding the e-mail address: nothing of it came back"


@pytest.mark.nightly
async def test_nothing_is_uploaded_over_the_files_of_a_running_job(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        (tmp_path / "project").mkdir()
        (tmp_path / "project" / "out.txt").write_text("local\n")
        trip, lease_id = await begin_and_restore(
            sandbox, tmp_path, EventKind.STEP_STARTED, "leg0.upload", "mistgpu"
        )
        async with sandbox.open_application() as application:
            assert (await application.trips.resume(trip, detach=True)).job_running
            await application.machine_commands.stop_job(lease_id, trip)
            await application.trips.resume(trip)
        # The older data folder does not know that this file was uploaded, so it is kept.
        assert (tmp_path / "project" / "out.txt").read_text() == "local\n"
        assert (tmp_path / "project" / "out.txt.from-machine").read_text() == "local\nmade\n"
        assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_no_failure_releases_an_adopted_machine(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        trip, lease_id = await begin_and_restore(sandbox, tmp_path, EventKind.STEP_STARTED, "leg0.reserve")
        (machine,) = sandbox.cloud.driver.list_machines()
        async with sandbox.open_application() as application:
            await application.orphan_commands.adopt_orphan(lease_id)
            await application.machine_commands.run_command(lease_id, "true")  # which pins its host key
            await sandbox.cloud.driver.change_host_key(machine.id)
            with pytest.raises(InputRequired) as caught:
                await application.trips.resume(trip)
            assert caught.value.burning == (lease_id,)
            assert caught.value.spent is Spent.YES
            assert f"gpurent connect {lease_id}" in caught.value.hint
            assert (await application.leases.refresh_lease(lease_id)).state is LeaseState.READY
            assert (await application.trip_tracker.get_trip(trip)).is_open
        assert sandbox.cloud.driver.list_machines() == [machine]
