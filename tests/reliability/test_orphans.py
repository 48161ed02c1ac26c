"""Machines that the Store does not know: it was deleted, damaged, or restored from an old backup."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.orphans import Orphan, OrphanKind, OrphanReport
from gpurent.domain.trip import TripSpec
from gpurent.errors import AuthError, Declined, ForeignMachine, InputRequired, UsageError
from gpurent.infra.ssh.connector import SshConnector
from tests.reliability.test_missing_machines import hide_servers, show_servers
from tests.reliability.test_odd_answers import ODD_ANSWERS
from tests.reliability.test_repeated_commands import Killed, log_in_at_mistgpu
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

MISTGPU = TripSpec(provider="mistgpu")


def get_journal(sandbox: TripSandbox) -> Path:
    return sandbox.home / "state" / "journal.sqlite"


def get_copy_files(sandbox: TripSandbox) -> list[Path]:
    return sorted([*sandbox.home.glob("state/*leases.json"), *sandbox.home.glob("state-copies/*leases.json")])


async def rent_at_mistgpu(sandbox: TripSandbox) -> Lease:
    await log_in_at_mistgpu(sandbox)
    async with sandbox.open_application() as application:
        return await application.trips.rent(MISTGPU)


async def find_orphans(sandbox: TripSandbox) -> OrphanReport:
    async with sandbox.open_application() as application:
        return await application.orphan_search.find_orphans()


def get_only_machine(report: OrphanReport) -> Orphan:
    (machine,) = report.machines
    return machine.orphan


async def test_a_machine_whose_journal_was_deleted_is_found_adopted_and_released(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        get_journal(sandbox).unlink()
        listed = await sandbox.run_command("ls")
        assert lease.id in listed.err
        assert "gpurent orphans" in listed.err
        assert "No machine" not in listed.out

        found = await sandbox.run_command("orphans", "--json")
        assert found.code == 6, found.err
        (orphan,) = [item for item in found.data["orphans"] if item["kind"] == "lost-lease"]
        assert (orphan["lease"], orphan["ref"]) == (lease.id, lease.ref)
        assert orphan["is_ours"]
        assert orphan["is_listed"]

        async with sandbox.open_application(user) as application:
            assert any(lease.id in event.text for event in user.events), "said before anything is spent"
            with pytest.raises(Declined) as caught:
                await application.trips.rent(MISTGPU)
            assert caught.value.burning == (lease.id,)
            assert len(list(sandbox.cloud.burning())) == 1, "no second machine was rented"

            adopted = await application.orphan_commands.adopt_orphan(lease.ref)
            assert adopted.id == lease.id
            assert adopted.state is LeaseState.READY
            there = await application.machine_commands.run_command(lease.id, "echo hello")
            assert there.stdout == "hello\n"
            assert (await application.orphan_search.find_orphans()).exit_code == 0
            await application.releases.release_lease(lease.id)
        assert list(sandbox.cloud.burning()) == []
        assert (await find_orphans(sandbox)).orphans == ()


async def test_a_second_machine_is_rented_beside_a_lost_one_only_if_the_user_agrees(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        get_journal(sandbox).unlink()
        async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
            other = await application.trips.rent(MISTGPU)
            assert other.id != lease.id
            assert len(list(sandbox.cloud.burning())) == 2
            await application.releases.release_lease(other.id)
            await application.releases.release_lease(lease.id)
        assert list(sandbox.cloud.burning()) == [], "a lost lease can be released by its id at once"


async def test_a_damaged_journal_names_what_burns(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        get_journal(sandbox).write_bytes(b"not a database, for sure" * 100)
        damaged = await sandbox.run_command("ls", "--json")
        error = json.loads(damaged.out)["error"]
        assert damaged.code == 13
        assert error["burning"] == [lease.id]
        assert lease.ref in error["hint"]
        assert "gpurent orphans" in error["hint"]
        get_journal(sandbox).rename(tmp_path / "damaged")
        released = await sandbox.run_command("-y", "release", lease.id)
        assert released.code == 0, released.err
        assert list(sandbox.cloud.burning()) == []


async def test_the_copies_are_private_and_hold_no_secret(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            password = application.secrets.get_vault("mistgpu").get(lease.password_ref)
            assert password is not None
            files = get_copy_files(sandbox)
            assert len(files) == 2
            for file in files:
                assert file.stat().st_mode & 0o777 == 0o600
                assert lease.ref in file.read_text()
                assert password.reveal() not in file.read_text()
                assert "student-pass" not in file.read_text()
            files[0].write_text("{")
            (copy,) = application.lease_copies.list_copies()
            assert (copy.lease, copy.ref, copy.account) == (lease.id, lease.ref, "student")
            files[1].unlink()
            assert application.lease_copies.list_copies() == []
            await application.leases.refresh_lease(lease.id)
            await application.leases.save_lease(await application.leases.get_lease(lease.id))
            (copy,) = application.lease_copies.list_copies()
            assert copy.ref == lease.ref, "what was lost is written again"
            await application.releases.release_lease(lease.id)
            assert application.lease_copies.list_copies() == []


async def test_a_data_folder_restored_from_an_old_backup_does_not_hide_the_machine(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        shutil.copytree(sandbox.home / "state", tmp_path / "backup")
        async with sandbox.open_application() as application:
            lease = await application.trips.rent(MISTGPU)
        shutil.rmtree(sandbox.home / "state")
        shutil.copytree(tmp_path / "backup", sandbox.home / "state")
        assert lease.id in (await sandbox.run_command("ls")).err, "known without the vault"
        # The vault is an old one: that it was the user who restored it is asked once.
        restorer = ScriptedUser(answers={"Type yes": "yes"})
        async with sandbox.open_application(restorer) as application:
            orphan = get_only_machine(await application.orphan_search.find_orphans())
        assert (orphan.kind, orphan.lease, orphan.ref) == (OrphanKind.LOST_LEASE, lease.id, lease.ref)
        user = ScriptedUser({"Release": "release"})
        async with sandbox.open_application(user) as application:
            # The vault was restored as well, so the machine's password is gone; it can be released all the same.
            await application.orphan_commands.release_orphan(lease.id)
        assert list(sandbox.cloud.burning()) == []


async def test_a_journal_from_the_middle_of_an_order_places_it_no_second_time(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)

        def back_up(event: object) -> None:
            if getattr(event, "step", "") == "leg0.confirm" and not (tmp_path / "backup").exists():
                shutil.copy(get_journal(sandbox), tmp_path / "backup")

        user.watchers.append(back_up)
        async with sandbox.open_application(user) as application:
            lease = await application.trips.rent(MISTGPU)
        shutil.copy(tmp_path / "backup", get_journal(sandbox))
        async with sandbox.open_application() as application:
            (trip,) = await application.open_trips.list_open_trips()
            with pytest.raises(InputRequired, match="older than the last order"):
                await application.trips.resume(trip.id)
            assert len(list(sandbox.cloud.burning())) == 1
            adopted = await application.orphan_commands.adopt_orphan(lease.id)
            assert (adopted.id, adopted.ref, adopted.state) == (lease.id, lease.ref, LeaseState.READY)
            await application.releases.release_lease(lease.id)
            assert await application.open_trips.list_open_trips() == []
        assert list(sandbox.cloud.burning()) == []


async def test_two_computers_on_one_account_leave_each_others_machines_alone(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        other = TripSandbox(sandbox.cloud, tmp_path / "other")
        await log_in_at_mistgpu(other, "1")
        user = ScriptedUser()
        async with other.open_application(user) as application:
            report = await application.orphan_search.find_orphans()
            orphan = get_only_machine(report)
            assert (orphan.kind, orphan.ref) == (OrphanKind.UNKNOWN_MACHINE, lease.ref)
            assert not orphan.is_ours
            assert report.exit_code == 0
            assert [x.kind for x in report.others] == [OrphanKind.UNEXPLAINED_CHARGE]
            await application.orphan_watch.search_if_due()
            warned = [event.text for event in user.events if event.kind is EventKind.WARNING]
            assert len([text for text in warned if "may belong to another computer" in text]) == 1
            with pytest.raises(Declined):
                await application.orphan_commands.release_orphan(lease.ref)
            assert len(list(sandbox.cloud.burning())) == 1
            with pytest.raises(UsageError):
                await application.orphan_commands.adopt_orphan("no-such-ref")
        listed = await other.run_command("orphans")
        assert listed.code == 0
        assert "may belong to another computer" in listed.out
        user.confirms = True
        async with other.open_application(user) as application:
            await application.orphan_commands.release_orphan(lease.ref)
        assert list(sandbox.cloud.burning()) == [], "it was named and confirmed"


async def test_an_answer_that_says_nothing_is_not_called_free_of_orphans(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        await sandbox.cloud.faults.add(ODD_ANSWERS["maintenance-page"])
        listed = await sandbox.run_command("orphans")
        assert listed.code == 8, listed.out
        assert "unknown" in listed.out
        assert "known here" not in listed.out
        get_journal(sandbox).unlink()
        report = await find_orphans(sandbox)
        assert get_only_machine(report).lease == lease.id
        assert get_only_machine(report).is_listed is None
        assert report.exit_code == 6
        await sandbox.cloud.faults.clear()
        async with sandbox.open_application() as application:
            await application.releases.release_lease(lease.id)
        assert list(sandbox.cloud.burning()) == []


async def test_a_machine_that_is_listed_after_its_trip_was_closed_is_a_lease_again(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        await log_in_at_mistgpu(sandbox)
        lease_id = await rent_and_die(sandbox)
        async with sandbox.open_application() as application:
            await application.releases.release_lease(lease_id)
            ended = await application.leases.get_lease(lease_id)
            assert (ended.state, ended.ref) == (LeaseState.CANCELLED, "")
            assert (await application.orphan_search.find_orphans()).machines == ()
            show_servers(sandbox)
            orphan = get_only_machine(await application.orphan_search.find_orphans())
            assert (orphan.kind, orphan.lease) == (OrphanKind.REVIVED_LEASE, lease_id)
            assert (await application.orphan_search.find_orphans()).machines == ()
            assert (await application.leases.get_lease(lease_id)).state is LeaseState.READY
            await application.releases.release_lease(lease_id)
        assert list(sandbox.cloud.burning()) == []


async def rent_and_die(sandbox: TripSandbox) -> str:
    """Rent at MISTGPU, which does not list the server, and die while waiting for it; return the lease's id."""
    user = ScriptedUser()

    def die(event: Event) -> None:
        if event.kind is EventKind.WAITING and event.step == "leg0.confirm":
            raise Killed

    user.watchers.append(die)
    hide_servers(sandbox)
    async with sandbox.open_application(user) as application:
        with pytest.raises(Killed):
            await application.trips.rent(MISTGPU)
        (trip,) = await application.open_trips.list_open_trips()
        return trip.lease


async def test_a_foreign_machine_on_the_offer_of_a_closed_order_is_not_taken(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=600, machines=1, settings={"mistgpu.taken": "0"}) as sandbox:
        await log_in_at_mistgpu(sandbox)
        lease_id = await rent_and_die(sandbox)
        async with sandbox.open_application() as application:
            await application.releases.release_lease(lease_id)
            show_servers(sandbox)
            state = sandbox.get_simulator_state("mistgpu")
            (server,) = state.servers.values()
            await state.shut_down_by_user("student", server.id)
            await state.delete_server("student", server.id)
            await state.create_server("student", server.machine.id, "somebody-elses-1")
            report = await application.orphan_search.find_orphans()
            assert get_only_machine(report).kind is OrphanKind.UNKNOWN_MACHINE
            assert not get_only_machine(report).is_ours
            assert (await application.leases.get_lease(lease_id)).state is LeaseState.CANCELLED


async def test_the_machine_of_an_order_that_was_lost_in_between_is_adopted_only_with_its_password(
    tmp_path: Path,
) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        await log_in_at_mistgpu(sandbox)
        lease_id = await rent_and_die(sandbox)
        show_servers(sandbox)
        get_journal(sandbox).unlink()
        state = sandbox.get_simulator_state("mistgpu")
        (server,) = state.servers.values()
        async with sandbox.open_application() as application:
            orphan = get_only_machine(await application.orphan_search.find_orphans())
            assert (orphan.kind, orphan.lease, orphan.ref) == (OrphanKind.LOST_LEASE, lease_id, server.id)
            assert "unfinished order" in orphan.reason
            adopted = await application.orphan_commands.adopt_orphan(server.id)
            assert (adopted.id, adopted.state) == (lease_id, LeaseState.READY)
            await application.releases.release_lease(lease_id)
        assert list(sandbox.cloud.burning()) == []


async def test_the_user_may_name_the_machine_of_such_an_order_to_release_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        await log_in_at_mistgpu(sandbox)
        lease_id = await rent_and_die(sandbox)
        show_servers(sandbox)
        get_journal(sandbox).unlink()
        (server,) = sandbox.get_simulator_state("mistgpu").servers.values()
        user = ScriptedUser()

        async def reject(*_arguments: object) -> None:
            raise AuthError("rejected")

        monkeypatch.setattr(SshConnector, "check_password", reject)
        async with sandbox.open_application(user) as application:
            for command in (
                application.orphan_commands.adopt_orphan,
                application.orphan_commands.release_orphan,
            ):
                with pytest.raises((ForeignMachine, Declined)):
                    await command(server.id)
            assert len(list(sandbox.cloud.burning())) == 1
            user.confirms = True
            receipt = await application.orphan_commands.release_orphan(server.id)
            assert receipt.lease == lease_id
        assert list(sandbox.cloud.burning()) == []


async def test_the_guard_warns_of_a_lost_lease_once(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        get_journal(sandbox).unlink()
        async with sandbox.open_application(user) as application:
            user.events.clear()
            await application.orphan_watch.search_if_due()
            searched_at = await application.store.find_orphan_search_time()
            assert await application.store.swap_orphan_search_time(
                searched_at, datetime(2000, 1, 1, tzinfo=UTC)
            )
            await application.orphan_watch.search_if_due()
            warned = [event.text for event in user.events if event.kind is EventKind.WARNING]
            assert len([text for text in warned if "rented from here" in text]) == 1
            await application.releases.release_lease(lease.id)


async def test_a_refreshed_list_tells_of_what_is_not_in_it(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            ended = await application.leases.get_lease(lease.id)
            await application.leases.save_lease(ended.with_state(LeaseState.GONE))
        listed = await sandbox.run_command("ls", "--refresh", "--json")
        assert [item["id"] for item in listed.data] == [lease.id], "its end was revised"
        assert "was taken for ended" in listed.err
        get_journal(sandbox).unlink()
        listed = await sandbox.run_command("ls", "--refresh")
        assert f"mistgpu {lease.ref}" in listed.err
        assert "No machine" not in listed.out
