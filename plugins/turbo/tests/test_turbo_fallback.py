"""What a machine cannot do is detected before anything is transferred, and the next method is used."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from attrs import frozen

from gpurent.api import PullRequest, PushRequest, SshConnection, TransferReport, TransferUnsupported
from gpurent.infra.platform.posix import system
from gpurent.infra.transferred_files import TransferredFileNotes
from gpurent.ports.terminal import Progress
from gpurent.roles.machine import TransferBackend
from gpurent.testing.contracts.file_trees import make_tree, read_tree
from gpurent.testing.contracts.transfer import TransferContract
from gpurent.testing.fakes import CountingProgress, FakePluginContext, ManualClock
from gpurent.testing.fakes.questions import MemoryQuestions, ScriptedPrompter
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.sandbox_harness import installed_plugins
from gpurent.testing.ssh_fixture import MachineFixture, machine_fixture
from gpurent.workflow.connection.known_files import KnownFilesMaker
from gpurent.workflow.connection.local_names import LocalNamesMaker
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.connection.transfers import FileTransfers, LocalSide
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.questions import Questions
from gpurent_plugin_turbo.backend import TurboBackend


@frozen
class SingleConnection:
    """Does not reconnect: everything runs over this one connection."""

    ssh: SshConnection
    lease_id: str = "lease-1"

    async def ensure_open(self) -> SshConnection:
        return self.ssh

    async def run_helper(
        self, action: Callable[[SshConnection], Awaitable[TransferReport]]
    ) -> TransferReport:
        return await action(self.ssh)


@frozen
class SingleProgressDisplay:
    """Shows everything with one progress."""

    progress: Progress

    def show_output(self, data: bytes) -> None:
        raise AssertionError("no job runs here")

    def start_progress(self, title: str) -> Progress:
        return self.progress


class AutoBackend(TransferBackend):
    """Chooses a backend as core does."""

    async def push(
        self, connection: SshConnection, request: PushRequest, progress: Progress
    ) -> TransferReport:
        return await make_transfers(connection, progress).upload(wrap_connection(connection), request, "auto")

    async def pull(
        self, connection: SshConnection, request: PullRequest, progress: Progress
    ) -> TransferReport:
        return await make_transfers(connection, progress).download_usable(
            wrap_connection(connection), request, "auto"
        )


def make_transfers(connection: SshConnection, progress: Progress) -> FileTransfers:
    plugins = Plugins(installed_plugins(), lambda entry, _auth: FakePluginContext(entry))
    names = LocalNamesMaker(system, Path.home())
    known = KnownFilesMaker(TransferredFileNotes(connection.key_file.parent / "transferred"))
    return FileTransfers(
        plugins,
        EventEmitter(ManualClock()),
        SingleProgressDisplay(progress),
        LocalSide(LOCAL_FILES, names, known),
        Questions(MemoryQuestions(), ScriptedPrompter([]), ManualClock()),
    )


def wrap_connection(connection: SshConnection) -> ReconnectingConnection:
    return cast(ReconnectingConnection, SingleConnection(connection))


@pytest.mark.nightly
class TestWithoutPythonAndTar(TransferContract):
    spec_changes: ClassVar[dict[str, Any]] = {"missing": ("python3", "tar")}

    def make_backend(self) -> AutoBackend:
        return AutoBackend()

    async def test_a_vanishing_local_file_is_reported(self, remote: MachineFixture, tmp_path: Path) -> None:
        """The file vanishes while the first method is tried, so the second never sees it."""

    async def test_a_push_takes_note_of_the_local_files(self, remote: MachineFixture, tmp_path: Path) -> None:
        """Core has its own notes of what it pushes."""


async def test_without_python_and_tar_turbo_fails_before_any_transfer(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", files=3, large=0)
    async with machine_fixture(tmp_path, missing=("python3", "tar")) as remote:
        connection = await remote.connect()
        with pytest.raises(TransferUnsupported, match="python3"):
            await TurboBackend({}, LOCAL_FILES).push(
                connection, PushRequest(sources=(source,), target="w", contents_only=True), CountingProgress()
            )
        with pytest.raises(TransferUnsupported, match="python3"):
            await TurboBackend({}, LOCAL_FILES).pull(
                connection, PullRequest(sources=("w",), target=tmp_path / "home"), CountingProgress()
            )
        assert not (remote.home / "w").exists()


async def test_without_a_local_ssh_channels_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpurent_plugin_turbo.backend.has_ssh", lambda: False)
    source = make_tree(tmp_path / "source", large=16_000_000)
    async with machine_fixture(tmp_path) as remote:
        connection = await remote.connect()
        await TurboBackend({}, LOCAL_FILES).push(
            connection, PushRequest(sources=(source,), target="w", contents_only=True), CountingProgress()
        )
        assert read_tree(remote.home / "w") == read_tree(source)
        await TurboBackend({}, LOCAL_FILES).pull(
            connection, PullRequest(sources=("w",), target=tmp_path / "home"), CountingProgress()
        )
        assert read_tree(tmp_path / "home" / "w") == read_tree(source)


async def test_bandwidth_limit_is_respected(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_bytes(os.urandom(3_000_000))
    async with machine_fixture(tmp_path) as remote:
        connection = await remote.connect()
        request = PushRequest(sources=(source,), target="w", contents_only=True, bandwidth_limit=2_000_000)
        report = await TurboBackend({}, LOCAL_FILES).push(connection, request, CountingProgress())
        assert report.seconds > 0.5
        assert report.sent <= report.seconds * 2_000_000 + 1_600_000


async def test_full_verification_ignores_size_and_time(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", files=5)
    async with machine_fixture(tmp_path) as remote:
        connection = await remote.connect()
        request = PushRequest(sources=(source,), target="w", contents_only=True, verify="full")
        await TurboBackend({}, LOCAL_FILES).push(connection, request, CountingProgress())
        for name in ("part0/file000.txt", "large.bin"):
            remote_path, stamp = remote.home / "w" / name, (source / name).stat().st_mtime_ns
            remote_path.chmod(0o644)
            remote_path.write_bytes(bytes(remote_path.stat().st_size))
            os.utime(remote_path, ns=(stamp, stamp))
        await TurboBackend({}, LOCAL_FILES).push(connection, request, CountingProgress())
        assert {k: v[-1] for k, v in read_tree(remote.home / "w").items()} == {
            k: v[-1] for k, v in read_tree(source).items()
        }
        home = PullRequest(sources=("w",), target=tmp_path / "home", verify="full")
        await TurboBackend({}, LOCAL_FILES).pull(connection, home, CountingProgress())
        assert {k: v[-1] for k, v in read_tree(tmp_path / "home" / "w").items()} == {
            k: v[-1] for k, v in read_tree(source).items()
        }
