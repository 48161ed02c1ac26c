"""Secrets that a job is given, and the backup that has all of them: who cannot get at them."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.job import Job
from gpurent.domain.secret import Secret
from gpurent.domain.trip_fields import PROJECT_FILE
from gpurent.domain.trip_values import make_trip_spec
from gpurent.errors import InputRequired, StorageError, UsageError
from gpurent.infra.config.project_file import read_project_file
from gpurent.infra.platform.posix.local_files import PosixFiles
from gpurent.infra.redact import Redactor
from gpurent.ports.services import SecretStore
from gpurent.remote.job_secrets import PIPE_NAME, deliver_command, make_delivery
from gpurent.remote.jobs import make_run_script, write_script_command
from gpurent.testing.fakes import MemoryVault
from gpurent.testing.shared_sandbox import CommandLineResult
from gpurent.testing.ssh_fixture import MachineFixture, machine_fixture
from gpurent.workflow.connection.job_variables import JobVariables
from tests.command_line import run_command
from tests.security.attacks import Adversary, Outcome, attack

CANARY = "canary-job-4c1e"
PASSPHRASE = "a passphrase of a backup"


class EmptySecrets(SecretStore):
    def get_vault(self, scope: str) -> MemoryVault:
        return MemoryVault()

    async def unlock(self, *, create: bool = False) -> None:
        """There is nothing to unlock."""


@pytest.fixture
async def any_machine(tmp_path: Path) -> AsyncIterator[MachineFixture]:
    async with machine_fixture(tmp_path / "machine") as found:
        yield found


@attack(
    Adversary.MACHINE_OWNER,
    "another user of the machine looks for a job's secrets: arguments of programs, files, the pipe",
    Outcome.REFUSED,
)
async def test_other_users_of_a_machine_find_no_secret(any_machine: MachineFixture) -> None:
    connection = await any_machine.connect()
    job = Job(name="job", command="sleep 2", secrets={"TOKEN": Secret(CANARY)})
    written = await connection.run(write_script_command(job), input=Secret(make_run_script(job)))
    assert written.exit_status == 0, written.stderr
    room = any_machine.home / job.state_dir
    assert stat.S_IMODE(room.stat().st_mode) == 0o700
    assert stat.S_IMODE((room / PIPE_NAME).stat().st_mode) == 0o600
    text = make_delivery(job.secrets)
    async with asyncio.TaskGroup() as group:
        group.create_task(connection.run(deliver_command(job.state_dir), input=text))
        running = group.create_task(connection.run(f"sh {job.state_dir}/run.sh"))
        seen = b""
        while not running.done():
            seen += _read_arguments()
            await asyncio.sleep(0.2)
    assert b"run.sh" in seen
    assert CANARY.encode() not in seen
    assert [path for path in any_machine.home.rglob("*") if CANARY.encode() in _read(path)] == []


def _read_arguments() -> bytes:
    """Return the command lines of all processes; the machine's are among them."""
    return b"".join(_read(path) for path in Path("/proc").glob("[0-9]*/cmdline"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else b""
    except OSError:
        return b""


def run_gpurent(folder: Path, *arguments: str, input_text: str = "") -> CommandLineResult:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder.parent),
        "GPURENT_HOME": str(folder.parent / "state"),
        "GPURENT_BACKUP_PASSPHRASE": PASSPHRASE,
        "LANG": "C.UTF-8",
    }
    return run_command(*arguments, environment=environment, folder=folder, input_text=input_text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "repository"
    made.mkdir()
    return made


@attack(
    Adversary.REPOSITORY,
    "the project file of a clone gives secrets of the vault to its job, which sends them away",
    Outcome.ASKED,
)
def test_a_project_file_gets_no_secret_unasked(folder: Path) -> None:
    assert run_gpurent(folder, "vault", "put", "TOKEN", "--stdin", input_text=CANARY).code == 0
    (folder / PROJECT_FILE).write_text(
        'provider = ["mistgpu"]\ncommand = ["curl"]\nsecret = ["X=TOKEN"]\nenv_file = ".env"\n'
    )
    result = run_gpurent(folder, "-y", "run")
    assert result.code == InputRequired.exit_code
    assert 'secret = ["X=TOKEN"]' in result.err
    assert 'env_file = ".env"' in result.err


@attack(
    Adversary.REPOSITORY,
    "env_file of a project leads through a link to a file of the user, such as ~/.netrc",
    Outcome.REFUSED,
)
@pytest.mark.parametrize("path", ["linked.env", "linked/netrc", "../netrc"])
def test_variables_are_read_through_no_link_of_a_project(folder: Path, path: str) -> None:
    (folder.parent / "netrc").write_text(f"A={CANARY}\n")
    (folder / "linked.env").symlink_to(folder.parent / "netrc")
    (folder / "linked").symlink_to(folder.parent)
    (folder / PROJECT_FILE).write_text(f'command = ["true"]\nenv_file = "{path}"\n')
    with pytest.raises(UsageError) as caught:
        _read_variables(folder)
    assert CANARY not in str(caught.value)


def test_variables_of_a_project_are_read_from_its_own_file(folder: Path) -> None:
    (folder / PROJECT_FILE).write_text('command = ["true"]\nenv_file = "own.env"\n')
    (folder / "own.env").write_text("A=1\n")
    assert _read_variables(folder) == {"A": "1"}


def _read_variables(folder: Path) -> dict[str, str]:
    file = read_project_file(folder / PROJECT_FILE, datetime.now(UTC), folder.parent / "home")
    job = make_trip_spec(file.values).job
    job = evolve(job, env_file=str(folder / job.env_file), env_root=str(folder))
    found = JobVariables(PosixFiles(), EmptySecrets(), Redactor()).read_secret(job)
    return {name: secret.reveal() for name, secret in found.items()}


@attack(
    Adversary.LOCAL_USER,
    "who finds a backup reads it, or changes it before it is restored",
    Outcome.REFUSED,
)
def test_a_backup_is_of_no_use_to_others(folder: Path) -> None:
    assert run_gpurent(folder, "vault", "put", "TOKEN", "--stdin", input_text=CANARY).code == 0
    assert run_gpurent(folder, "backup", "made").code == 0
    content = bytearray((folder / "made").read_bytes())
    assert stat.S_IMODE((folder / "made").stat().st_mode) == 0o600
    for text in (CANARY, "TOKEN", "journal.sqlite", "vault.json"):
        assert text.encode() not in content
    content[len(content) // 2] ^= 1
    (folder / "changed").write_bytes(content)
    refused = run_gpurent(folder, "-y", "restore", "changed")
    assert refused.code == StorageError.exit_code, refused.err
    assert "Nothing was changed" in refused.err
    assert list((folder.parent / "state").glob("before-restore-*")) == []
    assert run_gpurent(folder, "vault", "list").out == "TOKEN\n"
