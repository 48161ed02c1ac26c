"""Two accounts at one provider when something is lost: a login, the Store, a process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Requirements
from gpurent.domain.orphans import OrphanKind
from gpurent.domain.receipt import ChargeKind
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from gpurent.infra.sqlite.codec import get_converter
from tests.workflow.account_sandbox import (
    METERED,
    find_account,
    get_balance,
    list_entries,
    log_in,
    machine_at,
    sum_entries,
)
from tests.workflow.test_crash import start_crash_process
from tests.workflow.trip_sandbox import DIGITS_EXAMPLE, TripSandbox, trip_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=90, machines=4) as made:
        yield made


async def test_a_machine_of_an_account_that_is_logged_out(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        await log_in(sandbox, application, "vast", "vast@lab")
        lease = await application.trips.rent(machine_at("vast@lab"))
    left = await sandbox.run_command("logout", "vast@lab")
    assert left.code == 0
    assert f"{lease.id} may still cost money" in left.err
    for line, code in (
        (("orphans",), 8),
        (("watch", "--once"), 8),
        (("-y", "release", lease.id), 4),
        (("balance", "vast@lab"), 4),
        (("reconcile", "vast@lab"), 5),
    ):
        done = await sandbox.run_command(*line)
        assert done.code == code, (line, done.out, done.err)
        assert "you are not logged in to vast@lab" in done.out + done.err
    listed = await sandbox.run_command("ls", "--refresh", "--json")
    (row,) = listed.data
    assert (row["id"], row["state"]) == (lease.id, "ready"), "nothing is concluded"
    assert "vast@lab: unknown: you are not logged in" in listed.err
    async with sandbox.open_application() as application:
        # The first account's list does not have it; that is no end.
        await application.leases.try_refresh_lease(lease.id)
        assert (await application.leases.get_lease(lease.id)).state is LeaseState.READY
        assert len(sandbox.cloud.burning()) == 1
        await log_in(sandbox, application, "vast@lab", money=False)
        await application.releases.release_lease(lease.id)
    assert sandbox.cloud.burning() == []


@pytest.mark.nightly
async def test_with_a_lost_store_each_account_gets_its_own_machines_back(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        await log_in(sandbox, application, *METERED)
        leases = [await application.trips.rent(machine_at(name)) for name in METERED]
    (sandbox.home / "state" / "journal.sqlite").unlink()
    found = await sandbox.run_command("orphans", "--json")
    assert found.code == 6, found.err
    lost = {item["lease"]: item for item in found.data["orphans"] if item["kind"] == "lost-lease"}
    assert {key: (item["provider"], item["ref"]) for key, item in lost.items()} == {
        lease.id: (lease.provider, lease.ref) for lease in leases
    }
    assert all(item["is_ours"] and item["is_listed"] for item in lost.values())
    for lease in leases:
        adopted = await sandbox.run_command("-y", "orphans", "--adopt", lease.ref, "--json")
        assert adopted.code == 0, adopted.err
        assert (adopted.data["id"], adopted.data["provider"]) == (lease.id, lease.provider)
    async with sandbox.open_application() as application:
        assert dict(application.account_commands.list_logins()).keys() == set(METERED)
        assert (await application.orphan_search.find_orphans(with_money=False)).orphans == ()
        for lease in leases:
            known = await application.leases.get_lease(lease.id)
            assert (known.provider, known.account) == (lease.provider, lease.account)
            there = await application.machine_commands.run_command(lease.id, "echo hello")
            assert there.stdout == "hello\n"
            await application.releases.release_lease(lease.id)
    assert sandbox.cloud.burning() == []


async def test_a_machine_that_both_names_list_is_said_to_be_one(sandbox: TripSandbox) -> None:
    """As with a service that knows one account by a phone number and by an address."""
    async with sandbox.open_application() as application:
        await log_in(sandbox, application, "mistgpu")
        accounts = sandbox.get_simulator_state("mistgpu").accounts
        accounts["student@example.com"] = accounts["student"]
        fields = {"username": "student@example.com", "password": "student-pass"}
        await application.account_commands.log_in("mistgpu@lab", fields)
        lease = await application.trips.rent(machine_at("mistgpu"))
        report = await application.orphan_search.find_orphans(with_money=False)
        assert report.machines == ()
        (other,) = report.others
        assert (other.kind, other.provider, other.lease) == (OrphanKind.UNKNOWN, "mistgpu@lab", lease.id)
        assert "both names seem to be one account" in other.reason
        await application.releases.release_lease(lease.id)


@pytest.mark.nightly
@pytest.mark.timeout(400)
@pytest.mark.parametrize("provider", ["vast@lab", "mistgpu@lab"])
async def test_killed_and_resumed(sandbox: TripSandbox, tmp_path: Path, provider: str) -> None:
    base = provider.partition("@")[0]
    async with sandbox.open_application() as application:
        await log_in(sandbox, application, base, provider)
        before = await get_balance(application, provider)
    (tmp_path / "results").mkdir()
    spec = TripSpec(
        upload=UploadSpec(folder=str(DIGITS_EXAMPLE)),
        job=JobSpec(command=("train.py", "--epochs", "2", "--hidden", "8")),
        results=ResultsSpec(paths=("out",), dir=str(tmp_path / "results")),
        providers=(provider,),
    )
    task = {
        "environment": dict(sandbox.environment()),
        "home": str(sandbox.home / "state"),
        "want": json.dumps(get_converter().unstructure(spec)),
    }
    spared: list[str] = []
    async with start_crash_process() as client:
        answer = await client.run_task(**task, spare=spared, share=4)
        while "died" in answer:
            assert answer["died"] not in spared, "dead twice at one point"
            spared.append(answer["died"])
            answer = await client.run_task(**task, spare=spared, share=4)
    assert answer.get("end") == 0, answer
    assert len(spared) > 4
    assert sandbox.cloud.burning() == []
    async with sandbox.open_application() as application:
        (lease,) = await application.store.list_leases()
        assert lease.provider == provider
        await application.bookkeeping.sync_all()
        after = await get_balance(application, provider)
        (total,) = (await application.receipts.get_current_receipt(lease.id)).totals()
        assert total.spent == before - after
        assert sum_entries(list_entries(sandbox, application, provider)) == after.amount
        assert await get_balance(application, base) == before, "the first account paid nothing"
        findings = await application.reconciliation.compare_provider(provider)
        assert all(finding.is_consistent for finding in findings), findings


async def rent_for_a_day(application: Application, name: str) -> Lease:
    day = TripLimits(term=timedelta(days=1))
    spec = TripSpec(provider=name, requirements=Requirements(gpu="2080Ti"), limits=day)
    return await application.trips.rent(evolve(spec, upload=UploadSpec(staged=False)))


@pytest.mark.nightly
@pytest.mark.timeout(400)
async def test_two_wallets_at_a_prepaid_provider(tmp_path: Path) -> None:
    names: Sequence[str] = ("1024gpu", "1024gpu@lab")
    async with trip_sandbox(tmp_path, speed=120, machines=6) as sandbox:
        async with sandbox.open_application() as application:
            await log_in(sandbox, application, *names)
            keys = [application.account_commands.get_credentials(name) for name in names]
            assert len({key["private_key"].reveal() for key in keys}) == 2
            before = {name: await get_balance(application, name) for name in names}
            leases = [await rent_for_a_day(application, name) for name in names]
            assert [lease.id.rpartition("-")[0] for lease in leases] == ["1024gpu", "1024gpu-lab"]
            assert [lease.account for lease in leases] == [find_account(application, name) for name in names]
            report = await application.orphan_search.find_orphans()
            assert report.orphans == ()
            for lease in leases:
                await application.releases.release_lease(lease.id)
        async with sandbox.open_application() as application:
            for name, lease in zip(names, leases, strict=True):
                await application.bookkeeping.sync_all()
                after = await get_balance(application, name)
                receipt = await application.receipts.get_current_receipt(lease.id)
                (total,) = receipt.totals()
                fees = [
                    charge
                    for charge in await application.bookkeeping.list_charges(provider=name)
                    if charge.kind is ChargeKind.FEE
                ]
                paid = sum(fee.money.amount for fee in fees)
                assert before[name].amount - after.amount == total.spent.amount + paid
                assert sum_entries(list_entries(sandbox, application, name)) == after.amount
                findings = await application.reconciliation.compare_provider(name)
                assert all(finding.is_consistent for finding in findings), findings
            await application.account_commands.log_out("1024gpu@lab")
            assert "1024gpu@lab" in application.registry.list_names("lease"), "its wallet is still here"
            assert "private_key" in application.account_commands.get_credentials("1024gpu@lab")
            await application.account_commands.log_out("1024gpu@lab", credentials=True)
            assert "1024gpu@lab" not in application.registry.list_names("lease")
        assert sandbox.cloud.burning() == []
