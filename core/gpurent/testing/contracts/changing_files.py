"""Contract tests for files that change or vanish during a transfer: retried once, reported, never torn."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from threading import Event, Thread

import pytest

from gpurent.domain.transfer import PullRequest, PushRequest
from gpurent.errors import TransferError
from gpurent.testing.contracts.file_trees import make_tree, read_tree
from gpurent.testing.contracts.transfer_base import TransferContractBase
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.ssh_fixture import MachineFixture


class CallOnceProgress(CountingProgress):
    """Progress that calls a function once, when the file list is known and before any file is read."""

    def __init__(self, action: Callable[[], object]) -> None:
        super().__init__()
        self._what: Callable[[], object] | None = action

    def set_total(self, files: int, size: int) -> None:
        if files and (action := self._what) is not None:
            self._what = None
            action()


@contextmanager
def keep_changing(path: Path, size: int) -> Iterator[None]:
    """Keep rewriting ``path`` from a thread while the block runs, as another process would."""
    over = Event()

    def write() -> None:
        with path.open("r+b") as file:
            for byte in cycle(b"bcdefghijklmnopqrstuvwxyz"):
                file.seek(0)
                file.write(bytes([byte]) * size)
                file.flush()
                if over.wait(0.002):
                    return

    writer = Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


class ChangingFilesContract(TransferContractBase):
    """Contract tests of a transfer backend for files that change or vanish during a transfer."""

    async def test_a_vanishing_local_file_is_reported(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source", files=5, large=0)
        gone = source / "gone.bin"
        gone.write_bytes(b"x" * 3_000_000)

        class FileDeleter(CountingProgress):
            def set_total(self, files: int, size: int) -> None:
                gone.unlink(missing_ok=True)

        request = PushRequest(sources=(source,), target="work", contents_only=True)
        with pytest.raises(TransferError, match="gone"):
            await self.make_backend().push(await remote.connect(), request, FileDeleter())
        assert not (remote.home / "work" / "gone.bin").exists()

    async def test_a_changing_local_file_is_never_torn(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        moving = source / "moving.bin"
        moving.write_bytes(b"a" * 4_000_000)
        changes = iter(b"bcdefghijklmnopqrstuvwxyz" * 40)

        class Writer(CountingProgress):
            def advance(self, size: int, name: str = "") -> None:
                moving.write_bytes(bytes([next(changes)]) * 4_000_000)

        request = PushRequest(sources=(source,), target="work", contents_only=True)
        try:
            await self.make_backend().push(await remote.connect(), request, Writer())
        except TransferError as error:
            assert "moving.bin" in error.message
        target = remote.home / "work" / "moving.bin"
        if target.exists():
            content = target.read_bytes()
            assert len(set(content)) == 1
            assert len(content) == 4_000_000

    async def test_a_remote_file_that_changes_once_is_pulled_again(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        out = make_tree(remote.home / "out", files=4)

        def change() -> None:
            for name in ("large.bin", "part0/file000.txt", "part1/file001.txt"):
                (out / name).write_bytes(
                    os.urandom((out / name).stat().st_size + 2_000_000 * (name[0] == "l"))
                )
            (out / "part2" / "file002.txt").write_bytes(os.urandom(3_000_000))

        request = PullRequest(sources=("out",), target=tmp_path / "home")
        await self.make_backend().pull(await remote.connect(), request, CallOnceProgress(change))
        assert read_tree(tmp_path / "home" / "out") == read_tree(out)

    async def test_a_change_in_the_same_second_is_pulled(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        second = int(time.time()) + 3600  # in the future, so the file is pulled before this second is over
        log = remote.home / "out" / "log"
        log.parent.mkdir()
        connection = await remote.connect()
        for text, part in (("58\n", 0.2), ("71\n", 0.9)):
            log.write_text(text)
            os.utime(log, (second + part, second + part))
            await self.make_backend().pull(
                connection, PullRequest(sources=("out",), target=tmp_path / "home"), CountingProgress()
            )
            assert (tmp_path / "home" / "out" / "log").read_text() == text

    async def test_a_vanishing_remote_file_is_reported(self, remote: MachineFixture, tmp_path: Path) -> None:
        out = make_tree(remote.home / "out", files=4)

        def change() -> None:
            (out / "large.bin").unlink()
            (out / "part1" / "file001.txt").unlink()

        request = PullRequest(sources=("out",), target=tmp_path / "home")
        with pytest.raises(TransferError, match=r"vanished|no longer exists") as caught:
            await self.make_backend().pull(await remote.connect(), request, CallOnceProgress(change))
        assert "out/large.bin" in caught.value.message
        assert "out/part1/file001.txt" in caught.value.message
        assert read_tree(tmp_path / "home" / "out") == read_tree(out)

    async def test_an_always_changing_remote_file_is_never_torn(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        out, size = remote.home / "out", 9_000_000
        out.mkdir()
        (out / "a still one").write_text("still")
        (out / "moving.bin").write_bytes(b"a" * size)
        request = PullRequest(sources=("out",), target=tmp_path / "home")
        connection = await remote.connect()
        with (
            keep_changing(out / "moving.bin", size),
            pytest.raises(TransferError, match=r"moving\.bin: changed"),
        ):
            await self.make_backend().pull(connection, request, CountingProgress())
        assert (tmp_path / "home" / "out" / "a still one").read_text() == "still"
        assert not (tmp_path / "home" / "out" / "moving.bin").exists()
