"""A machine does not fill the disk: what it says is compared with free space, and what arrives with what travelled."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from attrs import frozen

from gpurent.domain.transfer import PullRequest, SkipKind, SkippedFile, TransferLimits, TransferReport
from gpurent.errors import ExpandingDownload, TransferError
from gpurent.infra.platform.posix.local_files import PosixFileTree
from gpurent.roles.transfer_errors import expanding_download_error
from gpurent.testing.fakes import CountingProgress, ManualClock
from gpurent.testing.fakes.questions import MemoryQuestions, ScriptedPrompter
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.ssh_fixture import MachineFixture
from gpurent.workflow.connection.left_out import archive_refused_files
from gpurent.workflow.connection.transfers import FileTransfers
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.questions import Questions
from gpurent_plugin_sftp.backend import SftpBackend
from tests.security.attacks import Adversary, Outcome, attack
from tests.security.transfer_ways import BACKENDS, list_files

MIB, TIB = 1 << 20, 1 << 40


@pytest.fixture
def machine(machine: MachineFixture) -> MachineFixture:
    (machine.home / "out").mkdir()
    return machine


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PosixFileTree, "measure_free_bytes", lambda tree: 3 * MIB)


def make_sparse(path: Path, size: int, data: bytes = b"") -> None:
    path.write_bytes(data)
    os.truncate(path, size)


async def pull(machine: MachineFixture, way: str, target: Path, **limits: int) -> TransferReport:
    request = PullRequest(sources=("out",), target=target, limits=TransferLimits(**limits))
    return await BACKENDS[way]().pull(await machine.connect(), request, CountingProgress())


@attack(
    Adversary.MACHINE_OWNER,
    "the listed files together are larger than the free space here",
    Outcome.REFUSED,
    kind="S9",
)
@pytest.mark.usefixtures("small_disk")
async def test_more_than_the_disk_holds_is_not_begun(
    machine: MachineFixture, way: str, tmp_path: Path
) -> None:
    (machine.home / "out" / "large").write_bytes(os.urandom(2 * MIB))
    for number in range(4):
        (machine.home / "out" / f"small{number}").write_bytes(os.urandom(MIB // 2))
    with pytest.raises(TransferError, match=r"not enough disk space on this computer: 4\.\d+ MB needed"):
        await pull(machine, way, tmp_path / "home")
    assert list_files(tmp_path / "home") == []
    (machine.home / "out" / "small0").unlink()
    (machine.home / "out" / "small1").unlink()
    (machine.home / "out" / "small2").unlink()
    report = await pull(machine, way, tmp_path / "home")
    assert report.files == 2


@attack(
    Adversary.MACHINE_OWNER,
    "the files for the archive beside the results are larger than the free space here",
    Outcome.REFUSED,
    kind="S9",
)
@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize("way", ["turbo"])
async def test_the_archive_is_not_begun_either(machine: MachineFixture, tmp_path: Path) -> None:
    (machine.home / "out" / "config").write_bytes(bytes(2 * MIB))
    refused = SkippedFile(
        name="a", reason="b", kind=SkipKind.NAME, remote_path=quote_from_bytes(b"out/config"), size=2 * MIB
    )
    report = TransferReport(files=0, total=0, sent=0, resumed=0, seconds=0.0, skipped=(refused,))
    request = PullRequest(sources=("out",), target=tmp_path / "home")
    connection = await machine.connect()
    with pytest.raises(TransferError, match="not enough disk space on this computer"):
        await archive_refused_files(LOCAL_FILES, connection, request, report, "o", CountingProgress())
    assert list_files(tmp_path / "home") == []


@attack(
    Adversary.MACHINE_OWNER,
    "empty files for the archive beside the results: nothing travels, and the disk here is full",
    Outcome.ASKED_ONCE,
    kind="S9",
)
@pytest.mark.parametrize("way", ["turbo"])
@pytest.mark.parametrize("sizes", [(20 * MIB,), (200 << 10,) * 100], ids=["large", "many"])
@pytest.mark.parametrize("answers", [["yes"], ["no"]])
async def test_the_archive_does_not_expand_unasked(
    machine: MachineFixture, tmp_path: Path, sizes: tuple[int, ...], answers: list[str]
) -> None:
    (machine.home / "out" / ".git").mkdir()
    for number, size in enumerate(sizes):
        make_sparse(machine.home / "out" / ".git" / str(number), size)
    limits = TransferLimits(free_expansion=MIB)
    request = PullRequest(sources=("out",), target=tmp_path / "home", limits=limits)
    connection: Any = OneConnection(ssh=await machine.connect())
    report = await BACKENDS["turbo"]().pull(connection.ssh, request, CountingProgress())
    transfers = make_transfers(ScriptedPrompter(list(answers)))
    if answers == ["no"]:
        with pytest.raises(ExpandingDownload, match="nearly all of it is empty"):
            await transfers.archive_refused(connection, request, report)
        assert list_files(tmp_path / "home") == []
    else:
        done = await transfers.archive_refused(connection, request, report)
        assert (done.files, done.total) == (len(sizes), sum(sizes))


@attack(
    Adversary.MACHINE_OWNER,
    "a sparse file of 7 TB: nothing travels, and it is there and verified",
    Outcome.REFUSED,
    kind="S9",
)
async def test_a_sparse_bomb_is_refused(machine: MachineFixture, way: str, tmp_path: Path) -> None:
    make_sparse(machine.home / "out" / "bomb", 7 * TIB, b"data")
    (machine.home / "out" / "result").write_text("mine")
    expected = ExpandingDownload if way == "turbo" else TransferError
    with pytest.raises(expected, match=r"files of 7\d{3}\.\d GB|7\d{3}\.\d GB needed"):
        await pull(machine, way, tmp_path / "home")
    assert "out/bomb" not in list_files(tmp_path / "home")


@attack(
    Adversary.MACHINE_OWNER,
    "data that shrinks to nothing on its way fills the disk here",
    Outcome.ASKED_ONCE,
    kind="S9",
)
@pytest.mark.parametrize("way", ["turbo"])
async def test_what_grows_on_its_way_is_stopped(machine: MachineFixture, way: str, tmp_path: Path) -> None:
    (machine.home / "out" / "zeros").write_bytes(bytes(40 * MIB))
    with pytest.raises(ExpandingDownload):
        await pull(machine, way, tmp_path / "home", max_expansion=2, free_expansion=MIB)
    assert list_files(tmp_path / "home" / "out") == []
    report = await pull(machine, way, tmp_path / "home", max_expansion=0)
    assert (report.files, (tmp_path / "home" / "out" / "zeros").stat().st_size) == (1, 40 * MIB)


@pytest.mark.parametrize("way", ["turbo"])
@pytest.mark.usefixtures("small_disk")
async def test_holes_take_no_space(machine: MachineFixture, way: str, tmp_path: Path) -> None:
    make_sparse(machine.home / "out" / "memmap", 500 * MIB, os.urandom(2 * MIB))
    report = await pull(machine, way, tmp_path / "home")
    assert report.total == 500 * MIB
    assert (tmp_path / "home" / "out" / "memmap").stat().st_blocks * 512 < 3 * MIB


async def test_a_full_disk_leaves_no_half_file(
    machine: MachineFixture, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.home / "out" / "large").write_bytes(os.urandom(3 * MIB))
    (tmp_path / "home" / "out").mkdir(parents=True)
    (tmp_path / "home" / "out" / "large").write_text("the version before")
    real: Callable[[int, bytes, int], int] = os.pwrite

    def fail_late(handle: int, data: bytes, at: int) -> int:
        if at + len(data) > 2 * MIB:
            raise OSError(28, "No space left on device")
        return real(handle, data, at)

    monkeypatch.setattr(os, "pwrite", fail_late)
    with pytest.raises(TransferError, match="the disk of this computer is full"):
        await pull(machine, way, tmp_path / "home")
    monkeypatch.undo()
    assert (tmp_path / "home" / "out" / "large").read_text() == "the version before"
    await pull(machine, way, tmp_path / "home")
    assert (tmp_path / "home" / "out" / "large").stat().st_size == 3 * MIB


@frozen
class OneConnection:
    """Implements of `ReconnectingConnection` what a download uses."""

    lease_id: str = "lease-1"
    ssh: Any = None

    async def ensure_open(self) -> None: ...

    async def run_helper(self, work: Callable[[Any], Awaitable[TransferReport]]) -> TransferReport:
        return await work(self.ssh)


def make_transfers(prompter: ScriptedPrompter) -> FileTransfers:
    questions = Questions(MemoryQuestions(), prompter, ManualClock())
    display: Any = SimpleNamespace(start_progress=lambda _title: CountingProgress())
    local: Any = SimpleNamespace(files=LOCAL_FILES)
    nothing: Any = None
    return FileTransfers(nothing, EventEmitter(ManualClock()), display, local, questions)


class ExpandingBackend(SftpBackend):
    """A backend whose downloads expand."""

    async def pull(self, connection: object, request: PullRequest, progress: object) -> TransferReport:
        if request.limits.max_expansion:
            raise expanding_download_error(7 * TIB, MIB)
        return TransferReport(files=1, total=7 * TIB, sent=MIB, resumed=0, seconds=0.0)


@pytest.mark.parametrize("answers", [["yes"], ["no"], []])
async def test_what_expands_is_asked_about_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    agreed, transfers = answers == ["yes"], make_transfers(ScriptedPrompter(list(answers)))
    monkeypatch.setattr(
        FileTransfers, "iter_backends", lambda self, name="": iter([ExpandingBackend(LOCAL_FILES)])
    )
    connection: Any = OneConnection()
    request = PullRequest(sources=("out",), target=tmp_path)
    if agreed:
        assert (await transfers.download_usable(connection, request)).files == 1
    else:
        with pytest.raises(ExpandingDownload, match="nearly all of it is empty"):
            await transfers.download_usable(connection, request)
