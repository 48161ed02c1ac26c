"""Contract tests for `gpurent.roles.machine.TransferBackend`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from gpurent.domain.transfer import PullRequest, PushRequest, TransferLimits, TransferReport
from gpurent.errors import GpurentError, TransferError, TransferUnsupported, UsageError
from gpurent.testing.contracts.changing_files import ChangingFilesContract
from gpurent.testing.contracts.file_trees import (
    ODD_NAMES,
    PARTIALS_FOLDER,
    make_tree,
    read_tree,
    retry_until_done,
)
from gpurent.testing.contracts.kept_files import KeptFilesContract
from gpurent.testing.contracts.left_out import LeftOutContract
from gpurent.testing.contracts.links import LinkContract
from gpurent.testing.contracts.odd_times import OddTimesContract
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.sandbox.fault_plan import FaultPlan
from gpurent.testing.ssh_fixture import MachineFixture


class TransferContract(
    LinkContract, ChangingFilesContract, LeftOutContract, OddTimesContract, KeptFilesContract
):
    """Contract tests of a transfer backend that run on any machine."""

    # complete transfers

    async def test_a_tree_is_pushed_and_pulled_unchanged(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        source, progress = make_tree(tmp_path / "source"), CountingProgress()
        connection = await remote.connect()
        request = PushRequest(sources=(source,), target="deep/er/work", contents_only=True)
        report = await self.make_backend().push(connection, request, progress)
        assert read_tree(remote.home / "deep" / "er" / "work") == read_tree(source)
        assert (report.files, report.skipped) == (41, ())
        assert progress.moved == progress.size == report.total
        assert sorted(progress.done) == sorted(
            name for name, entry in read_tree(source).items() if entry[0] == "file"
        )
        home = await self.make_backend().pull(
            connection, PullRequest(sources=("deep/er/work",), target=tmp_path / "home"), CountingProgress()
        )
        assert read_tree(tmp_path / "home" / "work") == read_tree(source)
        assert home.files == 41
        assert not (tmp_path / "home" / PARTIALS_FOLDER).exists()

    async def test_unchanged_files_are_not_sent_again(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source")
        await self.push(remote, source)
        (remote.home / "work" / "result").write_text("the job's own")
        again = await self.push(remote, source)
        assert again.sent == 0
        assert again.resumed == again.total
        assert (remote.home / "work" / "result").exists()

    async def test_only_changed_files_are_sent(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source")
        await self.push(remote, source)
        (source / "part1" / "file001.txt").write_text("another text")
        report = await self.push(remote, source)
        assert report.sent <= 20_000
        assert read_tree(remote.home / "work") == read_tree(source)

    async def test_several_sources_keep_their_names(self, remote: MachineFixture, tmp_path: Path) -> None:
        one, two = (
            make_tree(tmp_path / "one", files=3, large=0),
            make_tree(tmp_path / "two", 2, files=3, large=0),
        )
        single = tmp_path / "single"
        single.write_text("1")
        await self.push(remote, one, two, single, target=".")
        assert read_tree(remote.home / "one") == read_tree(one)
        assert read_tree(remote.home / "two") == read_tree(two)
        assert (remote.home / "single").read_text() == "1"

    async def test_ignore_files_are_honoured(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source", files=5, large=0)
        (source / ".gitignore").write_text("*.log\n!keep.log\n")
        for name in ("a.log", "keep.log", "__pycache__/x.pyc", ".git/config"):
            path = source / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(name)
        await self.push(remote, source)
        names = set(read_tree(remote.home / "work"))
        assert "keep.log" in names
        assert not names & {"a.log", "__pycache__", ".git"}
        await self.push(remote, source, use_ignore_files=False, target="all")
        assert {"a.log", "__pycache__/x.pyc", ".git/config"} <= set(read_tree(remote.home / "all"))

    async def test_delete_prunes_extraneous_files_and_nothing_else(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        source = make_tree(tmp_path / "source", files=5, large=0)
        (source / ".gitignore").write_text("*.log\n/out/\n")
        work = await self._push_and_litter(remote, source)
        gone = {"old.txt", "older", "older/deep", "older/deep/x", "link", "mixed/y"}
        try:
            preview = await self.push(remote, source, delete=True, dry_run=True)
        except TransferUnsupported:
            assert (work / "old.txt").exists()
            return
        assert set(preview.deleted) == gone
        assert all(os.path.lexists(work / name) for name in gone)
        report = await self.push(remote, source, delete=True)
        assert set(report.deleted) == gone
        assert set(read_tree(work)) == {
            *read_tree(source),
            "job.log",
            "out",
            "out/result",
            "mixed",
            "mixed/z.log",
        }
        assert (remote.home / "beside" / "kept").exists()
        assert not (await self.push(remote, source, delete=True)).deleted

    async def _push_and_litter(self, remote: MachineFixture, source: Path) -> Path:
        await self.push(remote, source)
        work = remote.home / "work"
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
        (work / "link").symlink_to(remote.home / "beside")
        return work

    async def test_delete_keeps_what_lies_below_a_local_link(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        source = make_tree(tmp_path / "source", files=3, large=0)
        (source / "data").symlink_to(tmp_path)  # a link that leads out of the folder: not transferred
        data = remote.home / "work" / "data" / "set"
        data.parent.mkdir(parents=True)
        data.write_text("a folder there")
        with contextlib.suppress(TransferUnsupported):
            await self.push(remote, source, delete=True)
        assert data.exists()

    async def test_delete_stays_below_what_was_pushed(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source", files=3, large=0)
        (remote.home / "mine").write_text("not of this push")
        with contextlib.suppress(TransferUnsupported):
            await self.push(remote, source, target=".", contents_only=False, delete=True)
        with pytest.raises((UsageError, TransferUnsupported)):
            await self.push(remote, source, target=".", delete=True)
        assert (remote.home / "mine").exists()

    # odd names

    async def test_odd_names(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        for name in ODD_NAMES:
            (source / name).write_text(name)
        await self.push(remote, source)
        assert read_tree(remote.home / "work") == read_tree(source)

    async def test_a_name_that_is_no_utf8_is_sent_or_reported(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        source = make_tree(tmp_path / "source", files=3, large=0)
        Path(os.fsdecode(os.fsencode(source) + b"/bad\xff")).write_text("x")
        report = await self.push(remote, source)
        remote_name = os.fsencode(remote.home / "work") + b"/bad\xff"
        assert os.path.exists(remote_name) or report.skipped
        assert (remote.home / "work" / "part0" / "file000.txt").exists()

    async def test_a_sparse_file(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        with (source / "sparse").open("wb") as file:
            file.seek(6_000_000)
            file.write(b"end")
        await self.push(remote, source)
        assert read_tree(remote.home / "work") == read_tree(source)

    # errors

    async def test_a_missing_source(self, remote: MachineFixture, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="nothing"):
            await self.push(remote, tmp_path / "nothing")
        make_tree(remote.home / "out", files=3, large=0)
        with pytest.raises(TransferError, match="absent"):
            await self.pull(remote, "absent", "out", to=tmp_path / "home")
        assert read_tree(tmp_path / "home" / "out") == read_tree(remote.home / "out")

    async def test_limits(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source", files=20, large=0)
        for limits in (
            TransferLimits(max_files=5),
            TransferLimits(max_total_bytes=10),
            TransferLimits(max_depth=0),
        ):
            with pytest.raises(TransferError):
                await self.push(remote, source, limits=limits)
        make_tree(remote.home / "out", files=20, large=0)
        for limits in (
            TransferLimits(max_files=5),
            TransferLimits(max_total_bytes=10),
            TransferLimits(max_depth=0),
        ):
            with pytest.raises(TransferError):
                await self.pull(remote, "out", to=tmp_path / "home", limits=limits)

    async def test_something_else_in_the_way(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source", files=3, large=0)
        (remote.home / "work").write_text("a file where the folder should be")
        with pytest.raises(TransferError):
            await self.push(remote, source)
        make_tree(remote.home / "out", files=3, large=0)
        home = tmp_path / "home"
        home.mkdir()
        (home / "out").symlink_to(tmp_path)
        with pytest.raises(TransferError):
            await self.pull(remote, "out", to=home)
        assert not (tmp_path / "part0").exists()

    # lost connections

    async def test_a_cut_transfer_is_resumed(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source", large=6_000_000)
        size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
        sent: list[int] = []
        await remote.connect()
        remote.machine.proxy.plan = FaultPlan(cut_upload_after=size // 3, times=1)

        async def attempt() -> TransferReport:
            report = await self.push(remote, source)
            sent.append(report.sent)
            return report

        await retry_until_done(attempt)
        assert read_tree(remote.home / "work") == read_tree(source)
        assert sent[0] <= size

    async def test_a_task_that_is_cancelled_leaves_nothing_torn(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        source = make_tree(tmp_path / "source", large=8_000_000)
        started = asyncio.Event()
        loop = asyncio.get_running_loop()

        class StartReporter(CountingProgress):
            def advance(self, size: int, name: str = "") -> None:
                loop.call_soon_threadsafe(started.set)

        connection = await remote.connect()
        remote.machine.proxy.plan = FaultPlan(rate=4_000_000)
        request = PushRequest(sources=(source,), target="work", contents_only=True)
        task = asyncio.ensure_future(self.make_backend().push(connection, request, StartReporter()))
        await started.wait()
        task.cancel()
        with pytest.raises((asyncio.CancelledError, GpurentError)):
            await task
        whole = read_tree(source)
        for name, entry in read_tree(remote.home / "work").items():
            assert entry == whole[name] or entry[0] == "folder"
        remote.machine.proxy.plan = FaultPlan()
        await self.push(remote, source)
        assert read_tree(remote.home / "work") == whole
