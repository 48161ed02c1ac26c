"""Two accounts at one provider: a lease is only ever handled with the login of the account that rented it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.lease import Lease
from gpurent.domain.orphans import OrphanKind
from gpurent.domain.trip import TripSpec
from gpurent.errors import OtherAccount, UnavailableError
from gpurent.workflow.reports.ledger_findings import Difference
from gpurent.workflow.steps.provider_orders import ProviderOrders
from tests.reliability.test_repeated_commands import Killed, log_in_at_mistgpu, rent_at_1024gpu
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

MISTGPU = TripSpec(provider="mistgpu")


def add_other_account(sandbox: TripSandbox) -> None:
    """Let the service have a second account, ``other``, with money."""
    accounts = sandbox.get_simulator_state("mistgpu").accounts
    accounts["other"] = type(accounts["student"])("other", "other-pass")


async def log_in_as(sandbox: TripSandbox, name: str) -> None:
    async with sandbox.open_application() as application:
        await application.account_commands.log_in("mistgpu", {"username": name, "password": f"{name}-pass"})


async def rent_as_student(sandbox: TripSandbox) -> Lease:
    await log_in_at_mistgpu(sandbox)
    async with sandbox.open_application() as application:
        return await application.trips.rent(MISTGPU)


async def test_a_lease_of_another_account_is_refused_and_loud(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_as_student(sandbox)
        assert lease.account == "student"
        add_other_account(sandbox)
        await log_in_as(sandbox, "other")

        listed = await sandbox.run_command("ls", "--refresh", "--json")
        assert listed.code == 4
        (row,) = listed.data
        assert "student" in row["problem"]
        assert "other" in row["problem"]
        assert row["state"] == "ready", "nothing is concluded from the other account's list"
        assert row["time_left"]["kind"] == "unknown", "nor from its balance"

        released = await sandbox.run_command("-y", "release", lease.id, "--json")
        error = json.loads(released.out)["error"]
        assert (released.code, error["code"], error["burning"]) == (4, "other-account", [lease.id])
        assert "gpurent login mistgpu" in error["hint"]

        watched = await sandbox.run_command("watch", "--once", "--json")
        assert watched.code == 4
        (row,) = watched.data
        assert (row["lease"], row["guarded"]) == (lease.id, False)
        assert len(list(sandbox.cloud.burning())) == 1

        async with sandbox.open_application() as application:
            with pytest.raises(OtherAccount):
                await application.leases.refresh_lease(lease.id)
            assert await application.store.find_lease(lease.id) == lease
        await log_in_as(sandbox, "student")
        assert (await sandbox.run_command("-y", "release", lease.id)).code == 0
        assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_the_other_account_sees_its_own_machines_and_money_only(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_as_student(sandbox)
        add_other_account(sandbox)
        await log_in_as(sandbox, "other")
        async with sandbox.open_application() as application:
            await sandbox.top_up_mistgpu(application, "50")
            mine = await application.trips.rent(MISTGPU)
            assert mine.account == "other"
            await application.releases.release_lease(mine.id)
            report = await application.orphan_search.find_orphans()
            assert {orphan.kind for orphan in report.orphans} <= {OrphanKind.UNKNOWN}
            findings = await application.reconciliation.compare_provider("mistgpu")
            unknown = [finding for finding in findings if finding.difference is Difference.UNKNOWN]
            assert [finding.lease for finding in unknown] == [lease.id]
            assert all(finding.is_consistent for finding in findings if finding not in unknown)
            accounts = {entry.account for entry in await application.store.ledger.list_transactions()}
            assert "other" in accounts
            assert await application.store.ledger.find_broken_entry() is None


async def test_an_order_begun_by_another_account_is_not_carried_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_given: object) -> Lease:
        raise Killed

    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        with monkeypatch.context() as patch:
            patch.setattr(ProviderOrders, "_reserve_new", die)
            async with sandbox.open_application() as application:
                with pytest.raises(Killed):
                    await application.trips.rent(MISTGPU)
        add_other_account(sandbox)
        await log_in_as(sandbox, "other")
        async with sandbox.open_application() as application:
            (trip,) = await application.store.list_open_trips()
            (order,) = await application.store.list_trip_orders(trip.id)
            assert order.account == "student"
            with pytest.raises(OtherAccount):
                await application.trips.resume(trip.id)
            assert [record.id for record in await application.store.list_open_trips()] == [trip.id]
            assert list(sandbox.cloud.burning()) == []
        await log_in_as(sandbox, "student")
        async with sandbox.open_application() as application:
            await application.trips.resume(trip.id)
            assert len(list(sandbox.cloud.burning())) == 1


async def test_the_account_of_an_old_lease_is_learnt_at_the_first_good_look(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_as_student(sandbox)
        async with sandbox.open_application() as application:
            await application.store.save_lease(evolve(lease, account=""))
            with pytest.MonkeyPatch.context() as patch:
                provider = application.plugins.provider("mistgpu")

                async def say_nothing(_lease: Lease) -> Lease:
                    raise UnavailableError("no answer")

                patch.setattr(type(provider), "refresh_lease", staticmethod(say_nothing))
                await application.leases.try_refresh_lease(lease.id)
            assert (await application.leases.get_lease(lease.id)).account == ""
            assert (await application.leases.refresh_lease(lease.id)).account == "student"


@pytest.mark.nightly
async def test_what_another_account_paid_is_not_missing_from_this_ones_statement(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        async with sandbox.open_application() as application:
            lease_id = await rent_at_1024gpu(sandbox, application)
            first = (await application.leases.get_lease(lease_id)).account
            assert first
            kept = dict(application.account_commands.get_credentials("1024gpu"))
            await application.account_commands.log_out("1024gpu", credentials=True)
        async with sandbox.open_application() as application:
            assert (await application.account_commands.log_in("1024gpu", {})).account != first
            report = await application.orphan_search.find_orphans()
            assert {orphan.kind for orphan in report.orphans} <= {OrphanKind.UNKNOWN}
            findings = await application.reconciliation.compare_provider("1024gpu")
            differing = [finding for finding in findings if not finding.is_consistent]
            assert {finding.difference for finding in differing} == {Difference.UNKNOWN}
            assert {finding.lease for finding in differing} == {lease_id}
        async with sandbox.open_application() as application:
            secrets = {name: value.reveal() for name, value in kept.items()}
            assert (await application.account_commands.log_in("1024gpu", secrets)).account == first
            assert (await application.orphan_search.find_orphans()).orphans == ()
            await application.releases.release_lease(lease_id)
