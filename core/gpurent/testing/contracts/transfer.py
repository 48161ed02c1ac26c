"""The promises of `gpurent.roles.machine.TransferBackend`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from gpurent.domain.transfer import Limits, Pull, Push, TransferReport
from gpurent.errors import GpurentError, TransferError, TransferUnsupported, UsageError
from gpurent.testing.contracts.changing_files import ChangingFilesContract
from gpurent.testing.contracts.links import LinkContract
from gpurent.testing.contracts.trees import ODD, ROOM, in_the_end, plant, tree
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.sandbox.faults import Plan
from gpurent.testing.ssh_fixture import MachineFixture


class TransferContract(LinkContract, ChangingFilesContract):
    """Every promise that any machine shows."""

    # whole ways

    async def test_a_tree_goes_up_and_comes_home_as_it_is(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        source, tally = plant(tmp_path / "source"), CountingProgress()
        link = await place.connect()
        cargo = Push(sources=(source,), target="deep/er/work", content=True)
        report = await self.backend().push(link, cargo, tally)
        assert tree(place.home / "deep" / "er" / "work") == tree(source)
        assert (report.files, report.skipped) == (41, ())
        assert tally.moved == tally.size == report.total
        assert sorted(tally.done) == sorted(name for name, what in tree(source).items() if what[0] == "file")
        home = await self.backend().pull(
            link, Pull(sources=("deep/er/work",), target=tmp_path / "home"), CountingProgress()
        )
        assert tree(tmp_path / "home" / "work") == tree(source)
        assert home.files == 41
        assert not (tmp_path / "home" / ROOM).exists()

    async def test_what_is_there_does_not_travel_again(self, place: MachineFixture, tmp_path: Path) -> None:
        source = plant(tmp_path / "source")
        await self.push(place, source)
        (place.home / "work" / "result").write_text("the job's own")
        again = await self.push(place, source)
        assert again.sent == 0
        assert again.resumed == again.total
        assert (place.home / "work" / "result").exists()

    async def test_only_what_changed_travels(self, place: MachineFixture, tmp_path: Path) -> None:
        source = plant(tmp_path / "source")
        await self.push(place, source)
        (source / "part1" / "file001.txt").write_text("another text")
        report = await self.push(place, source)
        assert report.sent <= 20_000
        assert tree(place.home / "work") == tree(source)

    async def test_several_sources_keep_their_names(self, place: MachineFixture, tmp_path: Path) -> None:
        one, two = plant(tmp_path / "one", files=3, large=0), plant(tmp_path / "two", 2, files=3, large=0)
        single = tmp_path / "single"
        single.write_text("1")
        await self.push(place, one, two, single, target=".")
        assert tree(place.home / "one") == tree(one)
        assert tree(place.home / "two") == tree(two)
        assert (place.home / "single").read_text() == "1"

    async def test_ignore_files_are_honoured(self, place: MachineFixture, tmp_path: Path) -> None:
        source = plant(tmp_path / "source", files=5, large=0)
        (source / ".gitignore").write_text("*.log\n!keep.log\n")
        for name in ("a.log", "keep.log", "__pycache__/x.pyc", ".git/config"):
            path = source / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(name)
        await self.push(place, source)
        names = set(tree(place.home / "work"))
        assert "keep.log" in names
        assert not names & {"a.log", "__pycache__", ".git"}
        await self.push(place, source, ignore=False, target="all")
        assert {"a.log", "__pycache__/x.pyc", ".git/config"} <= set(tree(place.home / "all"))

    async def test_delete_takes_away_what_is_not_here_and_nothing_else(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        source = plant(tmp_path / "source", files=5, large=0)
        (source / ".gitignore").write_text("*.log\n/out/\n")
        work = await self._pushed_and_littered(place, source)
        gone = {"old.txt", "older", "older/deep", "older/deep/x", "link", "mixed/y"}
        try:
            told = await self.push(place, source, delete=True, dry_run=True)
        except TransferUnsupported:
            assert (work / "old.txt").exists()
            return
        assert set(told.deleted) == gone
        assert all(os.path.lexists(work / name) for name in gone)
        report = await self.push(place, source, delete=True)
        assert set(report.deleted) == gone
        assert set(tree(work)) == {*tree(source), "job.log", "out", "out/result", "mixed", "mixed/z.log"}
        assert (place.home / "beside" / "kept").exists()
        assert not (await self.push(place, source, delete=True)).deleted

    async def _pushed_and_littered(self, place: MachineFixture, source: Path) -> Path:
        await self.push(place, source)
        work = place.home / "work"
        for name in (
            "old.txt",
            "older/deep/x",
            "job.log",
            "out/result",
            "mixed/y",
            "mixed/z.log",
            "../beside/kept",
        ):
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(name)
        (work / "link").symlink_to(place.home / "beside")
        return work

    async def test_delete_leaves_alone_what_lies_below_a_link_here(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        source = plant(tmp_path / "source", files=3, large=0)
        (source / "data").symlink_to(tmp_path)  # a link out of the folder: it is not carried
        data = place.home / "work" / "data" / "set"
        data.parent.mkdir(parents=True)
        data.write_text("a folder there")
        with contextlib.suppress(TransferUnsupported):
            await self.push(place, source, delete=True)
        assert data.exists()

    async def test_delete_stays_below_what_was_carried(self, place: MachineFixture, tmp_path: Path) -> None:
        source = plant(tmp_path / "source", files=3, large=0)
        (place.home / "mine").write_text("not of this push")
        with contextlib.suppress(TransferUnsupported):
            await self.push(place, source, target=".", content=False, delete=True)
        with pytest.raises((UsageError, TransferUnsupported)):
            await self.push(place, source, target=".", delete=True)
        assert (place.home / "mine").exists()

    # odd things

    async def test_odd_names(self, place: MachineFixture, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        for name in ODD:
            (source / name).write_text(name)
        await self.push(place, source)
        assert tree(place.home / "work") == tree(source)

    async def test_a_name_that_is_no_utf8_travels_or_is_told(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        source = plant(tmp_path / "source", files=3, large=0)
        Path(os.fsdecode(os.fsencode(source) + b"/bad\xff")).write_text("x")
        report = await self.push(place, source)
        there = os.fsencode(place.home / "work") + b"/bad\xff"
        assert os.path.exists(there) or report.skipped
        assert (place.home / "work" / "part0" / "file000.txt").exists()

    async def test_a_sparse_file(self, place: MachineFixture, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        with (source / "sparse").open("wb") as file:
            file.seek(6_000_000)
            file.write(b"end")
        await self.push(place, source)
        assert tree(place.home / "work") == tree(source)

    # refusals

    async def test_a_source_that_is_not_there(self, place: MachineFixture, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="nothing"):
            await self.push(place, tmp_path / "nothing")
        plant(place.home / "out", files=3, large=0)
        with pytest.raises(TransferError, match="absent"):
            await self.pull(place, "absent", "out", to=tmp_path / "home")
        assert tree(tmp_path / "home" / "out") == tree(place.home / "out")

    async def test_limits(self, place: MachineFixture, tmp_path: Path) -> None:
        source = plant(tmp_path / "source", files=20, large=0)
        for limits in (Limits(files=5), Limits(total=10), Limits(depth=0)):
            with pytest.raises(TransferError):
                await self.push(place, source, limits=limits)
        plant(place.home / "out", files=20, large=0)
        for limits in (Limits(files=5), Limits(total=10), Limits(depth=0)):
            with pytest.raises(TransferError):
                await self.pull(place, "out", to=tmp_path / "home", limits=limits)

    async def test_something_else_in_the_way(self, place: MachineFixture, tmp_path: Path) -> None:
        source = plant(tmp_path / "source", files=3, large=0)
        (place.home / "work").write_text("a file where the folder should be")
        with pytest.raises(TransferError):
            await self.push(place, source)
        plant(place.home / "out", files=3, large=0)
        home = tmp_path / "home"
        home.mkdir()
        (home / "out").symlink_to(tmp_path)
        with pytest.raises(TransferError):
            await self.pull(place, "out", to=home)
        assert not (tmp_path / "part0").exists()

    # cuts

    async def test_a_cut_line_is_taken_up_again(self, place: MachineFixture, tmp_path: Path) -> None:
        source = plant(tmp_path / "source", large=6_000_000)
        size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
        sent: list[int] = []
        await place.connect()
        place.machine.line.plan = Plan(cut_up=size // 3, times=1)

        async def attempt() -> TransferReport:
            report = await self.push(place, source)
            sent.append(report.sent)
            return report

        await in_the_end(attempt)
        assert tree(place.home / "work") == tree(source)
        assert sent[0] <= size

    async def test_a_task_that_is_cancelled_leaves_nothing_torn(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        source = plant(tmp_path / "source", large=8_000_000)
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        class Told(CountingProgress):
            def advance(self, size: int, name: str = "") -> None:
                loop.call_soon_threadsafe(begun.set)

        link = await place.connect()
        place.machine.line.plan = Plan(rate=4_000_000)
        cargo = Push(sources=(source,), target="work", content=True)
        task = asyncio.ensure_future(self.backend().push(link, cargo, Told()))
        await begun.wait()
        task.cancel()
        with pytest.raises((asyncio.CancelledError, GpurentError)):
            await task
        whole = tree(source)
        for name, what in tree(place.home / "work").items():
            assert what == whole[name] or what[0] == "folder"
        place.machine.line.plan = Plan()
        await self.push(place, source)
        assert tree(place.home / "work") == whole
