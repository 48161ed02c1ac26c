"""What a machine cannot do is told before anything moves, and the next way is taken."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from attrs import frozen

from gpurent.api import Pull, Push, SshConnection, TransferReport, TransferUnsupported
from gpurent.ports.terminal import Progress
from gpurent.roles.machine import TransferBackend
from gpurent.testing.contracts.transfer import TransferContract
from gpurent.testing.contracts.trees import plant, tree
from gpurent.testing.fakes import CountingProgress, FakePluginContext, ManualClock
from gpurent.testing.sandbox_harness import installed_plugins
from gpurent.testing.ssh_fixture import MachineFixture, machine_fixture
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.connection.transfers import FileTransfers
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins
from gpurent_plugin_turbo.backend import Turbo


@frozen
class GivenConnection:
    """Nothing is dropped here: what is done goes over this one connection."""

    ssh: SshConnection

    async def do(self, action: Callable[[SshConnection], Awaitable[TransferReport]]) -> TransferReport:
        return await action(self.ssh)


@frozen
class GivenDisplay:
    """Everything is shown by one progress."""

    progress: Progress

    def show_output(self, data: bytes) -> None:
        raise AssertionError("no job runs here")

    def start_progress(self, title: str) -> Progress:
        return self.progress


class Auto(TransferBackend):
    """As core chooses."""

    async def push(self, link: SshConnection, cargo: Push, progress: Progress) -> TransferReport:
        return await transfers(progress).upload(given(link), cargo, "auto")

    async def pull(self, link: SshConnection, cargo: Pull, progress: Progress) -> TransferReport:
        return await transfers(progress).download(given(link), cargo, "auto")


def transfers(progress: Progress) -> FileTransfers:
    plugins = Plugins(installed_plugins(), lambda entry, _auth: FakePluginContext(entry))
    return FileTransfers(plugins, EventEmitter(ManualClock()), GivenDisplay(progress))


def given(link: SshConnection) -> ReconnectingConnection:
    return cast(ReconnectingConnection, GivenConnection(link))


class TestPythonAndTarHidden(TransferContract):
    changes: ClassVar[dict[str, Any]] = {"missing": ("python3", "tar")}

    def backend(self) -> Auto:
        return Auto()

    async def test_a_file_that_vanishes_is_told(self, place: MachineFixture, tmp_path: Path) -> None:
        """Its thief strikes while the first way is being tried: for the second the file was never there."""


async def test_without_python_and_tar_turbo_says_so_before_anything_moves(tmp_path: Path) -> None:
    source = plant(tmp_path / "source", files=3, large=0)
    async with machine_fixture(tmp_path, missing=("python3", "tar")) as place:
        link = await place.connect()
        with pytest.raises(TransferUnsupported, match="python3"):
            await Turbo({}).push(link, Push(sources=(source,), target="w", content=True), CountingProgress())
        with pytest.raises(TransferUnsupported, match="python3"):
            await Turbo({}).pull(link, Pull(sources=("w",), target=tmp_path / "home"), CountingProgress())
        assert not (place.home / "w").exists()


async def test_without_a_local_ssh_channels_carry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpurent_plugin_turbo.backend.has_ssh", lambda: False)
    source = plant(tmp_path / "source", large=16_000_000)
    async with machine_fixture(tmp_path) as place:
        link = await place.connect()
        await Turbo({}).push(link, Push(sources=(source,), target="w", content=True), CountingProgress())
        assert tree(place.home / "w") == tree(source)
        await Turbo({}).pull(link, Pull(sources=("w",), target=tmp_path / "home"), CountingProgress())
        assert tree(tmp_path / "home" / "w") == tree(source)


async def test_a_limit_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_bytes(os.urandom(3_000_000))
    async with machine_fixture(tmp_path) as place:
        link = await place.connect()
        cargo = Push(sources=(source,), target="w", content=True, limit=2_000_000)
        report = await Turbo({}).push(link, cargo, CountingProgress())
        assert report.seconds > 0.5
        assert report.sent <= report.seconds * 2_000_000 + 1_600_000


async def test_full_verification_believes_no_size_and_time(tmp_path: Path) -> None:
    source = plant(tmp_path / "source", files=5)
    async with machine_fixture(tmp_path) as place:
        link = await place.connect()
        cargo = Push(sources=(source,), target="w", content=True, verify="full")
        await Turbo({}).push(link, cargo, CountingProgress())
        for name in ("part0/file000.txt", "large.bin"):
            there, stamp = place.home / "w" / name, (source / name).stat().st_mtime_ns
            there.chmod(0o644)
            there.write_bytes(bytes(there.stat().st_size))
            os.utime(there, ns=(stamp, stamp))
        await Turbo({}).push(link, cargo, CountingProgress())
        assert {k: v[-1] for k, v in tree(place.home / "w").items()} == {
            k: v[-1] for k, v in tree(source).items()
        }
        home = Pull(sources=("w",), target=tmp_path / "home", verify="full")
        await Turbo({}).pull(link, home, CountingProgress())
        assert {k: v[-1] for k, v in tree(tmp_path / "home" / "w").items()} == {
            k: v[-1] for k, v in tree(source).items()
        }
