"""A transfer backend that fails before its first byte gives way to the next, whatever it raises about itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest
from attrs import define, frozen

from gpurent.domain.transfer import PullRequest, PushRequest, TransferReport
from gpurent.errors import (
    GpurentError,
    HostKeyChanged,
    PluginError,
    RemoteError,
    TransferError,
    TransferUnsupported,
)
from gpurent.infra.platform.posix import system
from gpurent.infra.transferred_files import TransferredFileNotes
from gpurent.ports.connection import SshConnection
from gpurent.ports.terminal import Progress
from gpurent.roles.machine import TransferBackend
from gpurent.testing.fakes import CountingProgress, FakePluginContext, ManualClock
from gpurent.testing.fakes.questions import MemoryQuestions, ScriptedPrompter
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.sandbox_harness import installed_plugins
from gpurent.workflow.connection.known_files import KnownFilesMaker
from gpurent.workflow.connection.local_names import LocalNamesMaker
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.connection.transfers import FileTransfers, LocalSide
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.questions import Questions

REPORT = TransferReport(files=1, total=1, sent=1, resumed=0, seconds=0.0)


@define
class ScriptedBackend(TransferBackend):
    """Transfers ``first_bytes``, then raises ``error`` if there is one."""

    error: GpurentError | None = None
    first_bytes: int = 0
    calls: int = 0

    async def push(
        self, connection: SshConnection, request: PushRequest, progress: Progress
    ) -> TransferReport:
        self.calls += 1
        if self.first_bytes:
            progress.advance(self.first_bytes, "f")
        if self.error is not None:
            raise self.error
        return REPORT

    async def pull(
        self, connection: SshConnection, request: PullRequest, progress: Progress
    ) -> TransferReport:
        raise AssertionError("nothing is pulled")


@frozen
class OneConnection:
    lease_id: str = "lease-1"

    async def ensure_open(self) -> None:
        return None

    async def run_helper(
        self, action: Callable[[SshConnection], Awaitable[TransferReport]]
    ) -> TransferReport:
        return await action(cast(SshConnection, None))


@frozen
class QuietDisplay:
    def show_output(self, data: bytes) -> None:
        raise AssertionError("no job runs here")

    def start_progress(self, title: str) -> Progress:
        return CountingProgress()


async def upload(tmp_path: Path, *backends: ScriptedBackend) -> TransferReport:
    plugins = Plugins(installed_plugins(), lambda entry, _auth: FakePluginContext(entry))
    transfers = FileTransfers(
        plugins,
        EventEmitter(ManualClock()),
        QuietDisplay(),
        LocalSide(
            LOCAL_FILES,
            LocalNamesMaker(system, Path.home()),
            KnownFilesMaker(TransferredFileNotes(tmp_path / "transferred")),
        ),
        Questions(MemoryQuestions(), ScriptedPrompter([]), ManualClock()),
    )
    push = PushRequest(sources=(tmp_path,), target="w")
    return await transfers.upload(cast(ReconnectingConnection, OneConnection()), push, backends=backends)


@pytest.mark.parametrize(
    "error",
    [TransferUnsupported("no"), PluginError("it raised OverflowError"), RemoteError("the shell ran nothing")],
)
async def test_the_next_backend_is_used_if_nothing_was_transferred(
    tmp_path: Path, error: GpurentError
) -> None:
    first, second = ScriptedBackend(error), ScriptedBackend()
    assert await upload(tmp_path, first, second) == REPORT
    assert (first.calls, second.calls) == (1, 1)


@pytest.mark.parametrize(
    ("error", "first_bytes"),
    [
        (PluginError("later"), 1),
        (RemoteError("later"), 1),
        (TransferError("the disk is full"), 0),
        (HostKeyChanged("another machine"), 0),
    ],
)
async def test_what_another_backend_would_meet_too_is_raised(
    tmp_path: Path, error: GpurentError, first_bytes: int
) -> None:
    second = ScriptedBackend()
    with pytest.raises(type(error), match=error.message):
        await upload(tmp_path, ScriptedBackend(error, first_bytes), second)
    assert second.calls == 0


async def test_without_another_backend_its_own_error_is_raised(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="broken"):
        await upload(tmp_path, ScriptedBackend(PluginError("broken")))
