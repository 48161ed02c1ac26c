"""Files that change or vanish while they are read: tried once more, told, and never torn."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from threading import Event, Thread

import pytest

from gpurent.domain.transfer import Pull, Push
from gpurent.errors import TransferError
from gpurent.testing.contracts.place import TransferPlace
from gpurent.testing.contracts.trees import plant, tree
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.ssh_fixture import MachineFixture


class Once(CountingProgress):
    """Does something as soon as it is known what there is, before it is read."""

    def __init__(self, what: Callable[[], object]) -> None:
        super().__init__()
        self._what: Callable[[], object] | None = what

    def total(self, files: int, size: int) -> None:
        if files and (what := self._what) is not None:
            self._what = None
            what()


@contextmanager
def never_still(path: Path, size: int) -> Iterator[None]:
    """Another process's file, as it were: it is written to all the time, whatever we do."""
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


class ChangingFilesContract(TransferPlace):
    """What becomes of files that do not stand still."""

    async def test_a_file_that_vanishes_is_told(self, place: MachineFixture, tmp_path: Path) -> None:
        source = plant(tmp_path / "source", files=5, large=0)
        gone = source / "gone.bin"
        gone.write_bytes(b"x" * 3_000_000)

        class Thief(CountingProgress):
            def total(self, files: int, size: int) -> None:
                gone.unlink(missing_ok=True)

        cargo = Push(sources=(source,), target="work", content=True)
        with pytest.raises(TransferError, match="gone"):
            await self.backend().push(await place.connect(), cargo, Thief())
        assert not (place.home / "work" / "gone.bin").exists()

    async def test_a_file_that_changes_is_never_torn(self, place: MachineFixture, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        moving = source / "moving.bin"
        moving.write_bytes(b"a" * 4_000_000)
        changes = iter(b"bcdefghijklmnopqrstuvwxyz" * 40)

        class Writer(CountingProgress):
            def advance(self, size: int, name: str = "") -> None:
                moving.write_bytes(bytes([next(changes)]) * 4_000_000)

        cargo = Push(sources=(source,), target="work", content=True)
        try:
            await self.backend().push(await place.connect(), cargo, Writer())
        except TransferError as error:
            assert "moving.bin" in error.message
        there = place.home / "work" / "moving.bin"
        if there.exists():
            content = there.read_bytes()
            assert len(set(content)) == 1
            assert len(content) == 4_000_000

    async def test_a_file_there_that_changes_once_comes_as_it_is_then(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        out = plant(place.home / "out", files=4)

        def change() -> None:
            for name in ("large.bin", "part0/file000.txt", "part1/file001.txt"):
                (out / name).write_bytes(
                    os.urandom((out / name).stat().st_size + 2_000_000 * (name[0] == "l"))
                )
            (out / "part2" / "file002.txt").write_bytes(os.urandom(3_000_000))

        cargo = Pull(sources=("out",), target=tmp_path / "home")
        await self.backend().pull(await place.connect(), cargo, Once(change))
        assert tree(tmp_path / "home" / "out") == tree(out)

    async def test_a_change_in_the_same_second_comes_home(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        second = int(time.time()) + 3600  # not over yet when it is fetched
        log = place.home / "out" / "log"
        log.parent.mkdir()
        link = await place.connect()
        for text, part in (("58\n", 0.2), ("71\n", 0.9)):
            log.write_text(text)
            os.utime(log, (second + part, second + part))
            await self.backend().pull(
                link, Pull(sources=("out",), target=tmp_path / "home"), CountingProgress()
            )
            assert (tmp_path / "home" / "out" / "log").read_text() == text

    async def test_a_file_there_that_vanishes_is_told(self, place: MachineFixture, tmp_path: Path) -> None:
        out = plant(place.home / "out", files=4)

        def change() -> None:
            (out / "large.bin").unlink()
            (out / "part1" / "file001.txt").unlink()

        cargo = Pull(sources=("out",), target=tmp_path / "home")
        with pytest.raises(TransferError, match="vanished") as caught:
            await self.backend().pull(await place.connect(), cargo, Once(change))
        assert "out/large.bin" in caught.value.message
        assert "out/part1/file001.txt" in caught.value.message
        assert tree(tmp_path / "home" / "out") == tree(out)

    async def test_a_file_there_that_never_stands_still_is_never_torn(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        out, size = place.home / "out", 9_000_000
        out.mkdir()
        (out / "a still one").write_text("still")
        (out / "moving.bin").write_bytes(b"a" * size)
        cargo = Pull(sources=("out",), target=tmp_path / "home")
        link = await place.connect()
        with (
            never_still(out / "moving.bin", size),
            pytest.raises(TransferError, match=r"moving\.bin changed"),
        ):
            await self.backend().pull(link, cargo, CountingProgress())
        assert (tmp_path / "home" / "out" / "a still one").read_text() == "still"
        assert not (tmp_path / "home" / "out" / "moving.bin").exists()
