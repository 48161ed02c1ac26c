"""Trips and releases on a computer that is itself the problem; nothing is simulated but the provider."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import JobSpec, ResultsSpec, TripSpec, UploadSpec
from gpurent.errors import StorageError
from gpurent.infra.sqlite.database import Database
from gpurent.infra.sqlite.older_programs import register_as_newer
from gpurent.infra.sqlite.store import SqliteStore
from tests.broken_computer import FULL_DISK, few_files, read_only, run_under
from tests.workflow.test_detach_resume import make_job
from tests.workflow.test_failures import check_nothing_burns, log_in_with_money
from tests.workflow.test_stop_signals import read_until
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

SPEC = TripSpec(provider="mistgpu", requirements=Requirements(gpus=1))
STORAGE = StorageError.exit_code


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60) as made:
        yield made


async def rent(sandbox: TripSandbox) -> str:
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        return (await application.trips.rent(SPEC)).id


def burning(sandbox: TripSandbox) -> int:
    return len(sandbox.cloud.burning())


@pytest.mark.parametrize("problem", ["full", pytest.param("read-only", marks=pytest.mark.nightly)])
async def test_release_works_where_nothing_can_be_written(sandbox: TripSandbox, problem: str) -> None:
    lease = await rent(sandbox)
    prefix = FULL_DISK if problem == "full" else read_only(sandbox.home / "state")
    result = await run_under(sandbox, prefix, "-y", "release", lease, "--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert document["data"]["recorded"] is False
    assert document["data"]["totals"]
    assert "not recorded" in result.err
    assert "gpurent ls --refresh" in result.err
    check_nothing_burns(sandbox)
    # The hint is right: the next look brings the state on disk up to date.
    assert (await sandbox.run_command("ls", "--refresh", "--json")).data == []


@pytest.mark.nightly
async def test_why_a_full_disk_hides_what_runs_on_a_machine_is_said_plainly(sandbox: TripSandbox) -> None:
    lease = await rent(sandbox)
    result = await run_under(sandbox, FULL_DISK, "release", lease, "--json")
    error = json.loads(result.out)["error"]
    assert "no folder for temporary files can be written" in error["message"]
    assert "internal error" not in error["message"]
    assert burning(sandbox) == 1


@pytest.mark.parametrize("problem", ["full", pytest.param("read-only", marks=pytest.mark.nightly)])
async def test_no_money_leaves_if_the_intent_cannot_be_written(sandbox: TripSandbox, problem: str) -> None:
    lease = await rent(sandbox)
    prefix = FULL_DISK if problem == "full" else read_only(sandbox.home / "state")
    result = await run_under(sandbox, prefix, "rent", "-p", "mistgpu", "--json")
    assert result.code == STORAGE, result.err
    error = json.loads(result.out)["error"]
    assert (error["code"], error["burning"]) == ("storage", [lease])
    assert burning(sandbox) == 1, "the one from before"
    shown = await run_under(sandbox, prefix, "rent", "-p", "mistgpu")
    assert f"gpurent release {lease}" in shown.err
    assert "internal error" not in shown.err


async def test_without_free_descriptors_the_living_leases_are_named(sandbox: TripSandbox) -> None:
    lease = await rent(sandbox)
    for count in (6, 7, 8):
        result = await run_under(sandbox, few_files(count), "--json", "balance", "mistgpu")
        if result.code:
            error = json.loads(result.out)["error"]
            assert (error["code"], error["burning"]) == ("storage", [lease]), count
            assert "ulimit -n" in error["hint"]
            break
    else:
        pytest.fail("eight descriptors were enough")


async def test_a_machine_on_which_another_process_works_is_not_named_for_a_release(
    sandbox: TripSandbox,
) -> None:
    lease = await rent(sandbox)
    with closing(SqliteStore(sandbox.home / "state" / "journal.sqlite", lambda: datetime.now(UTC))) as store:
        trip = await store.begin_trip("t1-other", "run", TripSpec(), lease)
    holding = await hold_in_another_process(sandbox, trip.id)
    try:
        assert await list_named_leases(sandbox) == []
    finally:
        holding.kill()
        await holding.wait()
    assert await list_named_leases(sandbox) == [lease], "nobody works there any more"


async def list_named_leases(sandbox: TripSandbox) -> Any:
    result = await run_under(sandbox, FULL_DISK, "rent", "-p", "mistgpu", "--json")
    assert result.code == STORAGE, result.err
    return json.loads(result.out)["error"]["burning"]


async def hold_in_another_process(sandbox: TripSandbox, trip: str) -> asyncio.subprocess.Process:
    file = sandbox.home / "state" / "locks" / f"{trip}.lock"
    code = f"import fcntl; held = open({str(file)!r}, 'w'); fcntl.flock(held, 2); print(flush=True); input()"
    holding = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert holding.stdout is not None
    await holding.stdout.readline()
    return holding


def cut_pages(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:300] + b"x" * 5000 + data[5300:])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no database": lambda path: path.write_bytes(b"not a database at all" * 100),
    "pages": cut_pages,
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize(
    "damage",
    [name if name == "pages" else pytest.param(name, marks=pytest.mark.nightly) for name in DAMAGES],
)
async def test_release_works_with_a_damaged_journal(sandbox: TripSandbox, damage: str) -> None:
    lease = await rent(sandbox)
    journal = sandbox.home / "state" / "journal.sqlite"
    DAMAGES[damage](journal)
    if damage != "empty":  # that is a new journal, which is filled with the copies of the leases
        result = await sandbox.run_command("trips", "--json")
        assert result.code == STORAGE
        error = json.loads(result.out)["error"]
        assert error["burning"] == [lease]
        assert "away" in error["hint"]
    result = await sandbox.run_command("release", lease)
    assert result.code == 0, result.err
    check_nothing_burns(sandbox)


async def test_a_damaged_row_is_reported_and_the_machine_released(sandbox: TripSandbox) -> None:
    lease = await rent(sandbox)
    with closing(sqlite3.connect(sandbox.home / "state" / "journal.sqlite")) as database:
        register_as_newer(database)
        database.execute("UPDATE lease_records SET value = '{'")
        database.commit()
    result = await sandbox.run_command("ls", "--json")
    assert json.loads(result.out)["error"]["burning"] == [lease]
    result = await sandbox.run_command("release", lease)
    assert result.code == 0, result.err
    check_nothing_burns(sandbox)


async def test_release_without_the_vaults_key_asks_for_the_login(sandbox: TripSandbox) -> None:
    lease = await rent(sandbox)
    (sandbox.home / "state" / "vault" / "vault.key").unlink()
    result = await sandbox.run_command("balance", "mistgpu", "--json")
    assert result.code == STORAGE
    assert json.loads(result.out)["error"]["burning"] == [lease]
    sandbox.extra_environment = {
        "GPURENT_MISTGPU_USERNAME": "student",
        "GPURENT_MISTGPU_PASSWORD": "student-pass",
    }
    result = await sandbox.run_command("-y", "release", lease)
    assert result.code == 0, result.err
    check_nothing_burns(sandbox)


async def test_a_locked_journal_says_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    database, other = Database(path), sqlite3.connect(path, isolation_level=None)
    with closing(database), closing(other):
        database.execute("PRAGMA busy_timeout=0")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match="another program") as caught:
            database.fetch_rows("SELECT 1 FROM lease_records")
        assert caught.value.retryable
        with pytest.raises(StorageError, match="another program"), database.write_transaction():
            pass


@pytest.mark.nightly
async def test_a_disk_that_fills_during_the_job_keeps_the_machine_and_the_trip(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
    folder = make_job(tmp_path, 1)
    process = await sandbox.start_command(
        *("-y", "run", "-p", "mistgpu", "--no-project", "--results", "result.txt", "--", "train.py"),
        folder=folder,
    )
    early = await read_until(process.stderr, b"running the job")
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    _out, late = await process.communicate()
    shown = (early + late).decode()
    assert process.returncode == STORAGE, shown
    (trip,) = (await sandbox.run_command("trips", "--json")).data
    assert trip["outcome"] == ""
    assert f"gpurent resume {trip['id']}" in shown
    assert f"gpurent release {trip['lease']}" in shown
    assert burning(sandbox) == 1, "a problem here says nothing about the machine"
    result = await sandbox.run_command("resume", trip["id"], folder=folder)
    assert result.code == 0, result.err
    assert (folder / "result.txt").read_text() == "done"
    check_nothing_burns(sandbox)


async def test_a_journal_that_is_damaged_during_the_job_keeps_the_machine_and_the_trip(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "train.py").write_text("import time; time.sleep(1); open('out.txt', 'w').write('1')")
    spec = TripSpec(
        provider="mistgpu",
        upload=UploadSpec(folder=str(folder)),
        job=JobSpec(command=("train.py",)),
        results=ResultsSpec(paths=("out.txt",)),
    )
    journal = sandbox.home / "state" / "journal.sqlite"
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        good = make_unreadable_at(application, user, journal)
        with pytest.raises(StorageError) as caught:
            await application.trips.run(spec)
        assert "gpurent resume" in caught.value.hint
    assert burning(sandbox) == 1, "a problem here says nothing about the machine"
    journal.write_bytes(good[0])
    async with sandbox.open_application() as application:
        end = await application.trips.resume()
        assert end.exit_code == 0
    assert (folder / "out.txt").read_text() == "1"
    check_nothing_burns(sandbox)


@pytest.mark.nightly
async def test_a_data_folder_that_is_deleted_during_the_job_is_named_as_that(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    sandbox.extra_environment["GPURENT_STATE_HOME"] = str(tmp_path / "copies")
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
    process = await sandbox.start_command(
        *("-y", "run", "-p", "mistgpu", "--no-project", "--results", "result.txt", "--", "train.py"),
        folder=make_job(tmp_path, 1),
    )
    early = await read_until(process.stderr, b"running the job")
    shutil.rmtree(sandbox.home / "state")
    _out, late = await process.communicate()
    shown = (early + late).decode()
    assert process.returncode == STORAGE, shown
    assert "was moved or deleted while it was in use" in shown
    assert "gpurent resume" not in shown, "nothing knows the trip any more"
    async with sandbox.open_application() as application:
        await application.account_commands.log_in(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
    found = await sandbox.run_command("orphans", "--json")
    (orphan,) = [item for item in found.data["orphans"] if item["kind"] == "lost-lease"]
    assert f"gpurent release {orphan['lease']}" in shown
    assert (await sandbox.run_command("-y", "release", orphan["lease"])).code == 0
    check_nothing_burns(sandbox)


def make_unreadable_at(application: Application, user: ScriptedUser, journal: Path) -> list[bytes]:
    """Damage the journal as soon as the job runs; return a list that then holds its content before."""
    kept: list[bytes] = []

    def damage(event: object) -> None:
        if getattr(event, "kind", None) is EventKind.JOB_STARTED and not kept:
            kept.append(journal.read_bytes())
            journal.write_bytes(b"x" * 8192)

    user.watchers.append(damage)
    return kept


async def test_the_users_own_keys_are_never_read(sandbox: TripSandbox) -> None:
    """One is unreadable; reading any of the others would wait for ever, since nobody writes to them."""
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
    own = sandbox.home / ".ssh"
    make_pipes(own, "id_rsa", "id_ecdsa", "config", "known_hosts")
    (own / "id_ed25519").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nunreadable\n")
    # In a process whose home folder it is: the first login, with the password, is its own.
    rented = await sandbox.run_command("-y", "rent", "-p", "mistgpu", "--json")
    assert rented.code == 0, rented.err
    lease = rented.data["id"]
    result = await sandbox.run_command("exec", lease, "echo there")
    assert result.out.strip() == "there", result.err
    assert (await sandbox.run_command("release", lease)).code == 0


def make_pipes(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o700)
    for name in names:
        os.mkfifo(folder / name)
