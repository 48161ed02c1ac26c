"""Files whose names may not be used here arrive in an archive, whatever the machine lists."""

from __future__ import annotations

import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote_from_bytes

import pytest

from gpurent.domain.secret import Secret
from gpurent.domain.transfer import PullRequest, SkipKind, SkippedFile, TransferLimits, TransferReport
from gpurent.errors import TransferError
from gpurent.ports.connection import CommandResult
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.fakes.connection import FakeConnection
from gpurent.testing.fakes.machine import FakeMachine
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.sandbox.machines.model import MachineSpec
from gpurent.workflow.connection.left_out import PIECE_BYTES, SMALL_FILE_BYTES, archive_refused_files

SPEC = MachineSpec(user="root", password="pw", hostname="far", data="x")
ODD_NAMES = (
    b"a\nb\n",
    b"\xff\xfe.bin",
    b"$(touch owned)`id`'\"\\n",
    b"-n",
    b"%s%n\\0101",
    "x\u202egpj".encode(),
)


def make_report(*items: SkippedFile) -> TransferReport:
    return TransferReport(files=0, total=0, sent=0, resumed=0, seconds=0.0, skipped=items)


def make_item(path: bytes, size: int) -> SkippedFile:
    return SkippedFile(
        name="shown", reason="its name", kind=SkipKind.NAME, remote_path=quote_from_bytes(path), size=size
    )


def write_odd_files(folder: Path) -> None:
    for name in ODD_NAMES:
        (folder / os.fsdecode(name)).write_bytes(b"content of " + name)


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[FakeConnection]:
    """A connection to a machine with a folder ``out`` of files with odd names."""
    machine = FakeMachine(root=tmp_path / "machine", spec=SPEC)
    made = await machine.connect()
    (machine.home / "out").mkdir()
    write_odd_files(machine.home / "out")
    yield made
    await machine.kill()


async def archive(
    connection: FakeConnection, target: Path, *items: SkippedFile, origin: str = "mine", **limits: int
) -> TransferReport:
    pull = PullRequest(sources=("out",), target=target, limits=TransferLimits(**limits))
    return await archive_refused_files(
        LOCAL_FILES, connection, pull, make_report(*items), origin, CountingProgress()
    )


async def test_odd_names_arrive_in_the_archive(connection: FakeConnection, tmp_path: Path) -> None:
    home = tmp_path / "home"
    items = [make_item(b"out/" + name, len(b"content of " + name)) for name in ODD_NAMES]
    report = await archive(connection, home, *items)
    assert [item.kind for item in report.skipped] == [SkipKind.ARCHIVED] * len(ODD_NAMES)
    assert not any(item.is_missing for item in report.skipped)
    path = home / "left-out.tar"
    assert report.archive == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.iterdir()] == ["left-out.tar"]
    with tarfile.open(path, errors="surrogateescape") as found:
        for name in ODD_NAMES:
            member = found.extractfile(os.fsdecode(b"out/" + name))
            assert member is not None
            assert member.read() == b"content of " + name


async def test_many_files_need_few_commands(tmp_path: Path) -> None:
    """As many as a repository has; one that is large is read in pieces."""
    machine = FakeMachine(root=tmp_path / "machine", spec=SPEC)
    await machine.connect()
    connection = CountingConnection(machine)
    try:
        objects = machine.home / "out" / ".git" / "objects"
        objects.mkdir(parents=True)
        sizes = dict.fromkeys((f"{number:040x}" for number in range(120)), 100) | {"large": SMALL_FILE_BYTES}
        for name, size in sizes.items():
            (objects / name).write_bytes(name.encode()[:1] * size)
        items = [make_item(b"out/.git/objects/" + name.encode(), size) for name, size in sizes.items()]
        report = await archive(connection, tmp_path / "home", *items)
    finally:
        await machine.kill()
    assert report.files == len(sizes)
    assert not any(item.is_missing for item in report.skipped)
    assert connection.commands <= 3
    with tarfile.open(report.archive) as found:
        assert {member.size for member in found.getmembers()} == {100, SMALL_FILE_BYTES}


async def test_a_file_of_the_users_own_is_never_replaced(connection: FakeConnection, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "left-out.tar").write_text("mine")
    (home / "left-out-2.tar").symlink_to(tmp_path / "elsewhere")
    item = make_item(b"out/-n", 13)
    for _again in range(2):
        assert (await archive(connection, home, item)).archive == str(home / "left-out-3.tar")
    assert (await archive(connection, home, item, origin="other")).archive == str(home / "left-out-4.tar")
    assert (home / "left-out.tar").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()


async def test_what_changed_or_vanished_stays_missing(connection: FakeConnection, tmp_path: Path) -> None:
    home = tmp_path / "home"
    longer, gone = make_item(b"out/-n", 5), make_item(b"out/gone", 13)
    report = await archive(connection, home, longer, gone)
    assert [item.kind for item in report.skipped] == [SkipKind.NAME] * 2
    assert report.archive == ""
    assert [path.name for path in home.iterdir()] == []


async def test_the_limits_hold(connection: FakeConnection, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="limit"):
        await archive(connection, tmp_path / "home", make_item(b"out/-n", 101), max_total_bytes=100)
    assert not (tmp_path / "home").exists()


class CountingConnection(FakeConnection):
    """Counts the commands."""

    commands = 0

    async def run(self, command: str, *, input: str | Secret = "", timeout: float = 60.0) -> CommandResult:  # noqa: A002
        self.commands += 1
        return await super().run(command, input=input, timeout=timeout)


class LyingConnection(FakeConnection):
    """Answers every command with more than it was asked for."""

    answer: ClassVar[str] = "gpurent-file " + "QUFB" * 1_000_000 + ".\n"

    async def run(self, command: str, *, input: str | Secret = "", timeout: float = 60.0) -> CommandResult:  # noqa: A002
        return CommandResult(0, self.answer, "")


async def test_a_machine_that_sends_more_than_requested_gets_nothing_written(tmp_path: Path) -> None:
    connection = LyingConnection(FakeMachine(root=tmp_path / "machine", spec=SPEC))
    report = await archive(
        connection, tmp_path / "home", make_item(b"out/x", 12), make_item(b"y", PIECE_BYTES)
    )
    assert report.archive == ""
    assert [path.name for path in (tmp_path / "home").iterdir()] == []


async def test_an_unwritable_folder_is_a_transfer_error(connection: FakeConnection, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file in the way")
    with pytest.raises(TransferError, match="cannot be written"):
        await archive(connection, tmp_path / "home", make_item(b"out/-n", 13))
