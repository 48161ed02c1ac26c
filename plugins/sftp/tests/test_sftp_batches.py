"""Small files are pulled together: few commands, and what goes wrong with one file is no matter of the others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import define, field

from gpurent.api import CommandResult, PullRequest, PushRequest, SshConnection, TransferError, TransferReport
from gpurent.roles.shell_door import make_run
from gpurent.testing.contracts.file_trees import PARTIALS_FOLDER, read_tree
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.load_timeouts import load_factor
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.sandbox.fault_plan import FaultPlan
from gpurent.testing.ssh_fixture import MachineFixture, machine_fixture
from gpurent_plugin_sftp import sftp_client
from gpurent_plugin_sftp.backend import SftpBackend
from gpurent_plugin_sftp.batches import MAX_BATCH_BYTES, MAX_BATCH_FILES, MAX_IN_FLIGHT, make_batches
from gpurent_plugin_sftp.remote_hasher import parse_digests
from gpurent_plugin_sftp.remote_walk import SftpRemoteFile

MAX_LINE = 128 << 10  # bytes of one argument, as Linux has it
OPEN_FILES = Path("/proc/self/fd")


@define
class RecordedConnection:
    """A connection that keeps the commands; ``before_digests`` is called once, before the first digests."""

    connection: SshConnection
    before_digests: Callable[[], object] = lambda: None
    commands: list[str] = field(factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    @property
    def digest_commands(self) -> list[str]:
        return [command for command in self.commands if command.startswith("sha256sum ")]

    async def run(self, command: str, **options: Any) -> CommandResult:
        self.commands.append(command)
        if len(self.digest_commands) == 1 and command == self.digest_commands[0]:
            self.before_digests()
        return await self.connection.run(command, **options)


@pytest.fixture
async def remote(tmp_path: Path) -> AsyncIterator[MachineFixture]:
    async with machine_fixture(tmp_path) as found:
        yield found


def make_files(folder: Path, count: int, size: int = 1000) -> Path:
    for number in range(count):
        path = folder / f"part{number % 3}" / f"{number:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        os.utime(path, (10**9, 10**9 + number))
    return folder


async def pull(
    connection: SshConnection | RecordedConnection,
    target: Path,
    *sources: str,
    progress: CountingProgress | None = None,
) -> TransferReport:
    request = PullRequest(sources=sources or ("out",), target=target)
    return await SftpBackend(LOCAL_FILES).pull(
        cast(SshConnection, connection), request, progress or CountingProgress()
    )


async def test_many_files_take_few_commands(remote: MachineFixture, tmp_path: Path) -> None:
    out = make_files(remote.home / "out", MAX_BATCH_FILES + 20)
    connection, progress = RecordedConnection(await remote.connect()), CountingProgress()
    report = await pull(connection, tmp_path / "home", progress=progress)
    assert read_tree(tmp_path / "home" / "out") == read_tree(out)
    assert len(connection.digest_commands) == 2
    assert len(connection.commands) <= 5
    assert report.sent == report.total == progress.size == progress.moved
    assert sorted(progress.done) == sorted(
        f"out/{path.relative_to(out)}" for path in out.rglob("*") if path.is_file()
    )
    assert not (tmp_path / "home" / PARTIALS_FOLDER).exists()


@pytest.mark.parametrize("size", [1000, 1400], ids=["the same size", "larger"])
async def test_a_file_that_changes_meanwhile_is_pulled_again_alone(
    remote: MachineFixture, tmp_path: Path, size: int
) -> None:
    out = make_files(remote.home / "out", 30)
    connection = RecordedConnection(
        await remote.connect(), lambda: (out / "part1" / "007").write_bytes(os.urandom(size))
    )
    progress = CountingProgress()
    report = await pull(connection, tmp_path / "home", progress=progress)
    assert read_tree(tmp_path / "home" / "out") == read_tree(out)
    assert len(connection.digest_commands) == 2
    assert connection.digest_commands[1].split()[1:] == ["./out/part1/007"]
    assert report.sent == 30_000 + size
    assert progress.moved == progress.size == 29_000 + size
    assert len(progress.done) == 30


async def test_a_file_that_vanishes_meanwhile_is_reported(remote: MachineFixture, tmp_path: Path) -> None:
    out = make_files(remote.home / "out", 30)
    connection = RecordedConnection(await remote.connect(), (out / "part1" / "007").unlink)
    with pytest.raises(TransferError, match=r"vanished|no longer exists") as caught:
        await pull(connection, tmp_path / "home")
    assert "out/part1/007" in caught.value.message
    assert "006" not in caught.value.message
    assert read_tree(tmp_path / "home" / "out") == read_tree(out)
    assert len(connection.digest_commands) == 1


async def test_a_damaged_partial_is_pulled_again_alone(remote: MachineFixture, tmp_path: Path) -> None:
    out, partials = make_files(remote.home / "out", 12), tmp_path / "home" / PARTIALS_FOLDER
    partials.mkdir(parents=True)
    for number, data in ((4, b"not what it was"), (6, (out / "part0" / "006").read_bytes()[:400])):
        found = find_remote_file(out, out / f"part{number % 3}" / f"{number:03}")
        (partials / found.partial_name.decode()).write_bytes(data)
    connection, progress = RecordedConnection(await remote.connect()), CountingProgress()
    report = await pull(connection, tmp_path / "home", progress=progress)
    assert read_tree(tmp_path / "home" / "out") == read_tree(out)
    assert [len(command.split()) - 1 for command in connection.digest_commands] == [12, 1]
    assert connection.digest_commands[1].endswith("part1/004")
    assert (report.sent, report.resumed) == (12_000 - 415 + 1000, 415)
    assert progress.moved == progress.size


def find_remote_file(out: Path, path: Path) -> SftpRemoteFile:
    status, name = path.stat(), str(path.relative_to(out.parent))
    return SftpRemoteFile(
        path=name,
        name=tuple(name.split("/")),
        size=status.st_size,
        mode=status.st_mode & 0o777,
        mtime=int(status.st_mtime),
    )


async def test_long_names_stay_within_a_line(remote: MachineFixture, tmp_path: Path) -> None:
    out, part = remote.home / "out", "数据'" * 25
    (out / part / part).mkdir(parents=True)
    for number in range(60):
        (out / part / part / f"{part}{number}").write_text(str(number))
    connection = RecordedConnection(await remote.connect())
    await pull(connection, tmp_path / "home")
    assert read_tree(tmp_path / "home" / "out") == read_tree(out)
    lines = [make_run("mist", command).line for command in connection.digest_commands]
    assert len(lines) < 20
    assert max(map(len, lines)) < MAX_LINE


async def test_a_file_that_two_sources_have_is_pulled_to_both(remote: MachineFixture, tmp_path: Path) -> None:
    out = make_files(remote.home / "out", 9)
    report = await pull(await remote.connect(), tmp_path / "home", "out", "out/part1/004", "out/part1")
    assert read_tree(tmp_path / "home" / "out") == read_tree(out)
    assert read_tree(tmp_path / "home" / "part1") == read_tree(out / "part1")
    assert (tmp_path / "home" / "004").read_bytes() == (out / "part1" / "004").read_bytes()
    assert report.sent == report.total == 13_000


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="open files are not listed here")
async def test_few_files_are_open_at_a_time(remote: MachineFixture, tmp_path: Path) -> None:
    make_files(remote.home / "out", 80)
    seen: list[int] = []

    class HandleCounter(CountingProgress):
        def advance(self, size: int, name: str = "") -> None:
            seen.append(count_open_partials())

    await pull(await remote.connect(), tmp_path / "home", progress=HandleCounter())
    assert 1 < max(seen) <= MAX_IN_FLIGHT
    assert count_open_partials() == 0


def count_open_partials() -> int:
    opened = 0
    for link in OPEN_FILES.iterdir() if OPEN_FILES.exists() else ():
        try:
            opened += f"/{PARTIALS_FOLDER}/" in str(link.readlink())
        except OSError:
            continue
    return opened


async def test_a_cancelled_batch_is_resumed(remote: MachineFixture, tmp_path: Path) -> None:
    out, home = make_files(remote.home / "out", 40, 30_000), tmp_path / "home"
    connection, half = await remote.connect(), asyncio.Event()

    class HalfReporter(CountingProgress):
        def advance(self, size: int, name: str = "") -> None:
            super().advance(size, name)
            if self.moved > self.size // 2:
                half.set()

    remote.machine.proxy.plan = FaultPlan(rate=2_000_000)
    task = asyncio.ensure_future(pull(connection, home, progress=HalfReporter()))
    await half.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert count_open_partials() == 0
    files = [path for path in out.rglob("*") if path.is_file()]
    contents = {find_remote_file(out, path).partial_name.decode(): path.read_bytes() for path in files}
    partials = {path.name: path.read_bytes() for path in (home / PARTIALS_FOLDER).iterdir()}
    assert all(contents[name].startswith(data) for name, data in partials.items())
    remote.machine.proxy.plan = FaultPlan()
    report = await pull(connection, home)
    assert report.resumed == sum(map(len, partials.values())) > report.total // 2
    assert report.sent + report.resumed == report.total
    assert read_tree(home / "out") == read_tree(out)


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_cancelled_batch_does_not_wait_for_a_silent_machine(
    remote: MachineFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: str
) -> None:
    monkeypatch.setattr(sftp_client, "CLOSE_TIMEOUT", 0.1)
    out = make_files(remote.home / "out", 20, 30_000)
    connection, started = await remote.connect(), asyncio.Event()

    class Silencer(CountingProgress):
        def advance(self, size: int, name: str = "") -> None:
            remote.machine.proxy.plan = FaultPlan(stall=True)
            started.set()

    if direction == "down":
        work = pull(connection, tmp_path / "home", progress=Silencer())
    else:
        request = PushRequest(sources=(out,), target="work", contents_only=True)
        work = SftpBackend(LOCAL_FILES).push(connection, request, Silencer())
    task = asyncio.ensure_future(work)
    await started.wait()
    await asyncio.sleep(0.2)
    task.cancel()
    done, _pending = await asyncio.wait({task}, timeout=10 * load_factor())
    assert done
    assert task.cancelled()


async def test_digests_that_are_read_back_are_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with machine_fixture(tmp_path, missing=("sha256sum",)) as remote:
        out = make_files(remote.home / "out", 6, 200_000)
        connection = RecordedConnection(await remote.connect())
        remote.machine.proxy.plan = FaultPlan(rate=int(1_000_000 / load_factor()))
        monkeypatch.setattr(sftp_client, "MAX_SILENCE", 0.7 * load_factor())
        await pull(connection, tmp_path / "home")
        assert read_tree(tmp_path / "home" / "out") == read_tree(out)
        assert not connection.digest_commands


DIGESTS = ["0" * 64, "1" * 64, "2" * 64]
PRINTED = {
    "all": (("a", "/b c", "-d"), "{0}  ./a\n{1}  /b c\n{2}  ./-d\n", (0, 1, 2)),
    "one is gone": (("a", "b", "c"), "{0}  ./a\n{2}  ./c\n", (0, None, 2)),
    "binary": (("a",), "{0} *./a\n", (0,)),
    "escaped": (("a\nb", "a\\nb", "a\\b"), "\\{0}  ./a\\nb\n\\{1}  ./a\\\\nb\n\\{2}  ./a\\\\b\n", (0, 1, 2)),
    "other line breaks": (("a\x85b", "c\u2028"), "{0}  ./a\x85b\n{1}  ./c\u2028\n", (0, 1)),
    "cut off": (("a", "b"), "{0}  ./a\n11111", (0, None)),
    "nothing": (("a",), "", (None,)),
    "no digest": (("a",), "sha256sum: ./a: no\n\n" + "x" * 64 + "  ./a\n", (None,)),
}


@pytest.mark.parametrize(("paths", "said", "expected"), PRINTED.values(), ids=PRINTED)
def test_digests_are_found_by_name(paths: Sequence[str], said: str, expected: Sequence[int | None]) -> None:
    found = parse_digests(said.format(*DIGESTS), paths)
    assert found == ["" if number is None else DIGESTS[number] for number in expected]


def test_batches_keep_the_order_and_the_limits() -> None:
    def make(path: str, size: int) -> SftpRemoteFile:
        return SftpRemoteFile(path=path, name=(path,), size=size, mode=0o644, mtime=0)

    def batch_paths(*files: SftpRemoteFile) -> list[list[str]]:
        return [[file.path for file in batch] for batch in make_batches(files, lambda file: file.path)]

    large = MAX_BATCH_BYTES + 1
    assert batch_paths() == []
    assert batch_paths(make("a", 1), make("b", large), make("c", 0)) == [["a"], ["b"], ["c"]]
    assert batch_paths(make("a", large - 2), make("b", 1), make("c", 1)) == [["a", "b"], ["c"]]
    assert batch_paths(make("a", 1), make("a", 1), make("b", 1)) == [["a"], ["a", "b"]]
    many = [make(f"{number}", 1) for number in range(2 * MAX_BATCH_FILES + 1)]
    assert list(map(len, batch_paths(*many))) == [MAX_BATCH_FILES, MAX_BATCH_FILES, 1]
