"""Backups: complete, private, and restored as a new installation that spends nothing before the user has looked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.orphans import OrphanKind
from gpurent.errors import ConfirmationRequired, RestoredUnchecked
from gpurent.infra.platform.system import make_private_folder
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.reliability.test_orphans import MISTGPU, find_orphans, rent_at_mistgpu
from tests.reliability.test_repeated_commands import log_in_at_mistgpu
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

PASSPHRASE = "several words that nobody guesses"


async def back_up(sandbox: TripSandbox, *options: str, name: str = "backup") -> Path:
    sandbox.extra_environment["GPURENT_BACKUP_PASSPHRASE"] = PASSPHRASE
    path = sandbox.home / name
    made = await sandbox.run_command("backup", str(path), *options)
    assert made.code == 0, made.err
    return path


async def restore(sandbox: TripSandbox, path: Path, *options: str, points: Any = None) -> CommandLineResult:
    return await sandbox.run_command("-y", "restore", str(path), *options, points=points or {})


def list_files(sandbox: TripSandbox) -> dict[str, bytes]:
    """Return what is in the data folder and in the folder outside of it, without locks and reports."""
    folders = [sandbox.home / "state", sandbox.home / "state-copies"]
    return {
        str(path.relative_to(sandbox.home)): path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not {"locks", "crashes", "logs"}.intersection(path.parts)
    }


async def examine(sandbox: TripSandbox) -> None:
    """Look, as the user is told to."""
    assert (await sandbox.run_command("orphans")).code in (0, 6)
    assert (await sandbox.run_command("reconcile")).code in (0, 5)


async def test_a_backup_is_one_private_file_and_gives_nothing_away(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        (sandbox.home / "state" / "config.toml").write_text('[mail]\naddress = "me@example.com"\n')
        path = await back_up(sandbox)
        assert path.stat().st_mode & 0o777 == 0o600
        data = path.read_bytes()
        for secret in (
            lease.id.encode(),
            b"student",
            b"me@example.com",
            b"SQLite",
            b"PRIVATE KEY",
            PASSPHRASE.encode(),
        ):
            assert secret not in data
        assert not list(path.parent.glob(".backup*")), "nothing half is left beside it"
        assert not list((sandbox.home / "state").glob("backing-up-*"))
        again = await sandbox.run_command("backup", str(path), "--json")
        assert json.loads(again.out)["error"]["message"].endswith("backup exists already")
        assert path.read_bytes() == data
        inside = await sandbox.run_command("backup", str(sandbox.home / "state" / "backup"))
        assert "would be lost with it" in inside.err
        replaced = await sandbox.run_command("backup", str(path), "--replace", "--json")
        report = json.loads(replaced.out)["data"]
        assert report["contents"].keys() >= {"journal", "vault", "config", "keys"}
        assert not report["is_of_vault"]
        assert path.read_bytes() != data


async def test_a_restored_state_is_a_new_installation_that_has_to_look_first(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        path = await back_up(sandbox)
        async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
            former = application.lease_copies.get_installation()
            later = await application.trips.rent(MISTGPU)
        restored = await restore(sandbox, path, "--json")
        assert restored.code == 0, restored.err
        report = restored.data
        assert report["former"] == former
        assert report["installation"] != former
        assert set(report["leases"]) == {lease.id, later.id}
        check_kept(Path(report["kept"]))

        rented = await sandbox.run_command("-y", "rent", "-p", "mistgpu", "--json")
        error = json.loads(rented.out)["error"]
        assert (rented.code, error["code"], error["spent"]) == (11, "restored", "no")
        assert error["hint"].splitlines()[1:] == ["gpurent orphans", "gpurent reconcile"]
        assert "Before anything is spent: gpurent orphans; gpurent reconcile" in rented.err
        assert len(list(sandbox.cloud.burning())) == 2

        listed = await sandbox.run_command("orphans", "--json")
        found = {item["lease"]: item["kind"] for item in listed.data["orphans"] if item["lease"]}
        assert found == {lease.id: "former-lease", later.id: "former-lease"}
        assert listed.code == 6
        still = await sandbox.run_command("-y", "rent", "-p", "mistgpu", "--json")
        assert json.loads(still.out)["error"]["hint"].splitlines()[1:] == ["gpurent reconcile"]
        compared = await sandbox.run_command("reconcile")
        assert compared.code in (0, 5), compared.err
        assert "backup was restored" not in compared.out, "the ledger that was named is believed"
        assert "Before anything is spent" not in (await sandbox.run_command("whoami")).err

        async with sandbox.open_application(ScriptedUser(confirms=True)) as application:
            other = await application.trips.rent(MISTGPU)
            adopted = await application.orphan_commands.adopt_orphan(lease.ref)
            assert (adopted.id, adopted.state) == (lease.id, LeaseState.READY)
            assert (
                await application.machine_commands.run_command(lease.id, "echo hello")
            ).stdout == "hello\n"
            report_now = await application.orphan_search.find_orphans()
            assert [(x.orphan.kind, x.orphan.lease) for x in report_now.machines] == [
                (OrphanKind.FORMER_LEASE, later.id)
            ]
            for one in (other.id, lease.id, later.id):
                await application.releases.release_lease(one)
        assert list(sandbox.cloud.burning()) == []
        assert (await find_orphans(sandbox)).exit_code == 0


async def test_the_guard_does_nothing_with_a_lease_of_a_former_installation(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        sandbox.extra_environment["GPURENT_GUARD_IDLE"] = "1s"
        lease = await rent_at_mistgpu(sandbox)
        assert (await restore(sandbox, await back_up(sandbox))).code == 0
        watched = await sandbox.run_command("watch", "--once", "--json")
        assert watched.code == 11
        (row,) = watched.data
        assert (row["lease"], row["guarded"], row["actions"]) == (lease.id, False, [])
        assert f"gpurent orphans --adopt {lease.id}" in row["hint"]
        assert len(list(sandbox.cloud.burning())) == 1
        await examine(sandbox)
        adopted = await sandbox.run_command("orphans", "--adopt", lease.id)
        assert adopted.code == 0, adopted.err
        watched = await sandbox.run_command("watch", "--once", "--json")
        assert [row["guarded"] for row in watched.data] == [True]
        released = await sandbox.run_command("-y", "release", lease.id)
        assert released.code == 0, released.err


async def test_a_trip_that_was_open_orders_nothing_more(tmp_path: Path) -> None:
    """What it ordered after the backup is not known, so that it might be ordered twice."""
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            trip = await application.trip_tracker.begin_trip("rent", evolve(MISTGPU, rent_only=True))
        path = await back_up(sandbox)
        async with sandbox.open_application() as application:
            rented = await application.trips.resume(trip.id)
        other = make_other_computer(sandbox, tmp_path)
        assert (await other.run_command("restore", str(path))).code == 0
        await examine(other)
        async with other.open_application() as application:
            with pytest.raises(RestoredUnchecked, match="was open when the backup was made"):
                await application.trips.resume(trip.id)
        cancelled = await other.run_command("-y", "trips", "cancel", trip.id)
        assert cancelled.code == 0, cancelled.err
        assert len(list(sandbox.cloud.burning())) == 1, "the other one's machine"
        async with sandbox.open_application() as application:
            await application.releases.release_lease(rented.lease_id)


def make_other_computer(sandbox: TripSandbox, folder: Path) -> TripSandbox:
    other = TripSandbox(sandbox.cloud, folder / "other")
    other.home.mkdir(mode=0o700)
    other.extra_environment |= {
        "GPURENT_BACKUP_PASSPHRASE": PASSPHRASE,
        "GPURENT_STATE_HOME": str(other.home / "state-copies"),
    }
    return other


async def test_a_backup_is_restored_on_another_computer(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        logs = make_private_folder(sandbox.home / "state" / "trips")
        (logs / "t1201-abcde.log").write_text("epoch 1\n")
        path = await back_up(sandbox)
        other = make_other_computer(sandbox, tmp_path)
        restored = await other.run_command("restore", str(path), "--json")
        assert restored.code == 0, restored.err
        assert restored.data["kept"] == ""
        assert sorted(found.name for found in (other.home / "state").glob("*restor*")) == []
        assert (other.home / "state" / "trips" / "t1201-abcde.log").read_text() == "epoch 1\n"
        await examine(other)
        async with other.open_application(ScriptedUser(confirms=True)) as application:
            assert await is_former(application.lease_copier, lease)
            mine = await application.trips.rent(MISTGPU)
            await application.releases.release_lease(mine.id)
        async with sandbox.open_application() as application:
            assert not await is_former(application.lease_copier, lease), "here nothing has changed"
            await application.releases.release_lease(lease.id)
        assert list(sandbox.cloud.burning()) == []


def check_kept(folder: Path) -> None:
    assert (folder / "journal.sqlite").exists()
    assert folder.stat().st_mode & 0o777 == 0o700


async def is_former(copier: Any, lease: Lease) -> bool:
    return lease.id in [copy.lease for copy in await copier.list_former_leases()]


@pytest.mark.parametrize("damage", ["cut", "changed", "foreign", "wrong passphrase", "missing", "newer"])
async def test_what_is_no_usable_backup_changes_nothing(damage: str, tmp_path: Path) -> None:
    expected = {
        "cut": (13, "backup is damaged or incomplete"),
        "changed": (13, "backup is damaged or incomplete"),
        "foreign": (2, "backup is not a backup of gpurent"),
        "wrong passphrase": (4, "the passphrase is wrong, or backup was tampered with"),
        "missing": (11, "only its passphrase opens a backup"),
        "newer": (2, "backup was written by a newer gpurent (format 7, this one reads up to 1)"),
    }
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        path = await back_up(sandbox)
        data = path.read_bytes()
        match damage:
            case "cut":
                path.write_bytes(data[: len(data) // 2])
            case "changed":
                path.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
            case "foreign":
                path.write_bytes(b"PK\x03\x04")
            case "newer":
                path.write_bytes(data.replace(b'"format": 1', b'"format": 7'))
            case "wrong passphrase":
                sandbox.extra_environment["GPURENT_BACKUP_PASSPHRASE"] = "another one, quite long"
            case _:
                del sandbox.extra_environment["GPURENT_BACKUP_PASSPHRASE"]
        before = list_files(sandbox)
        ran = await restore(sandbox, path, "--json")
        error = json.loads(ran.out)["error"]
        assert (ran.code, error["message"]) == expected[damage]
        assert list_files(sandbox) == before
        assert (await sandbox.run_command("whoami", "--json")).data[0]["account"] == "student"


async def test_a_restore_asks_before_it_replaces_and_waits_for_nobody(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        path = await back_up(sandbox)
        before = list_files(sandbox)
        asked = await sandbox.run_command("restore", str(path), "--json")
        error = json.loads(asked.out)["error"]
        assert (asked.code, error["code"]) == (ConfirmationRequired.exit_code, "input-required")
        assert "What was rented, paid and recorded since is not in it." in error["hint"]
        assert list_files(sandbox) == before
        async with sandbox.open_application() as application, application.store.hold_lock("guard"):
            busy = await restore(sandbox, path, "--json")
        assert json.loads(busy.out)["error"]["message"] == "other gpurent commands are at work here: guard"
        assert list_files(sandbox).keys() == before.keys()


async def test_a_damaged_journal_does_not_prevent_a_restore(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        lease = await rent_at_mistgpu(sandbox)
        path = await back_up(sandbox)
        (sandbox.home / "state" / "journal.sqlite").write_bytes(b"not a database" * 100)
        assert (await sandbox.run_command("ls")).code == 13
        restored = await restore(sandbox, path, "--json")
        assert restored.data["leases"] == [lease.id]
        released = await sandbox.run_command("-y", "release", lease.id)
        assert released.code == 0, released.err
        assert list(sandbox.cloud.burning()) == []


def describe_state(files: dict[str, bytes]) -> tuple[str, ...]:
    """Return what tells the old state from the new one: the vault, and the marks of the journal and its copies."""
    installations = {
        json.loads(data)["installation"]
        for name, data in files.items()
        if name.endswith("living-leases.json") and "before-restore" not in name
    }
    journal = files["state/journal.sqlite"]
    return (str(b"@restored" in journal), *sorted(installations))


async def check_kill(sandbox: TripSandbox, path: Path, number: int) -> bool:
    """Kill a restore at a rename; return whether it was. Then the state is the old one or the new one, and whole."""
    before = list_files(sandbox)
    killed = await restore(
        sandbox, path, points={"kill": {"kind": "rename", "number": number, "what": "kill"}}
    )
    # Any command completes it, or forgets it.
    whoami = await sandbox.run_command("whoami", "--json")
    assert whoami.data[0]["account"] == "student", whoami.err
    after = list_files(sandbox)
    assert not [name for name in after if name.startswith("state/restoring")]
    is_restored, *installations = describe_state(after)
    assert len(installations) == 1, "both copies are of one installation"
    if is_restored == "False":
        assert {name: data for name, data in after.items() if "before-restore" not in name} == before
    else:
        (kept,) = (sandbox.home / "state").glob("before-restore-*")
        for name in ("journal.sqlite", "vault/vault.json", "living-leases.json"):
            assert (kept / name).read_bytes() == before[f"state/{name}"]
        checked = await sandbox.run_command("reconcile", "--json")
        assert "damaged" not in checked.out
        put_back(sandbox, before)
    return killed.code == -9


def put_back(sandbox: TripSandbox, files: dict[str, bytes]) -> None:
    for name in list_files(sandbox):
        (sandbox.home / name).unlink()
    for folder in (sandbox.home / "state").glob("before-restore-*"):
        for place, _folders, _files in os.walk(folder, topdown=False):
            Path(place).rmdir()
    for name, data in files.items():
        path = sandbox.home / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)


async def kill_at_renames(tmp_path: Path, numbers: range) -> int:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        (sandbox.home / "state" / "config.toml").write_text('[mail]\naddress = "me@example.com"\n')
        path = await back_up(sandbox)
        count = 0
        for number in numbers:
            if not await check_kill(sandbox, path, number):
                break
            count += 1
        return count


async def test_a_kill_during_a_restore_leaves_the_old_state_or_the_new_one(tmp_path: Path) -> None:
    assert await kill_at_renames(tmp_path, range(5, 30, 9)) == 3


@pytest.mark.nightly
async def test_a_kill_at_any_rename_of_a_restore(tmp_path: Path) -> None:
    assert await kill_at_renames(tmp_path, range(1, 100)) > 25
