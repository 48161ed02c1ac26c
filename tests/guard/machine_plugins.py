"""A transfer backend and a session backend that need only a machine's shell, and a mailbox in memory."""

from __future__ import annotations

import base64
import io
import shlex
import subprocess
import tarfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType

from attrs import frozen

from gpurent.api import (
    Mail,
    Mailbox,
    MailboxEntry,
    PluginContext,
    Progress,
    PullRequest,
    PushRequest,
    SessionBackend,
    SessionEntry,
    SessionInfo,
    SshConnection,
    TransferBackend,
    TransferEntry,
    TransferError,
    TransferReport,
    hookimpl,
)
from gpurent.testing.fakes.mail import FakeMailbox


class ShellTransfer(TransferBackend):
    """Transfers a tar archive as the input or the output of one command."""

    async def push(
        self, connection: SshConnection, request: PushRequest, progress: Progress
    ) -> TransferReport:
        packed, sizes = io.BytesIO(), list[int]()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for source in request.sources:
                names = sorted(source.iterdir()) if request.contents_only else [source]
                for name in names:
                    archive.add(name, arcname=name.name)
            sizes += [member.size for member in archive.getmembers() if member.isfile()]
        target = shlex.quote(request.target)
        ran = await connection.run(
            f"mkdir -p {target} && base64 -d | tar xf - -C {target}",
            input=base64.b64encode(packed.getvalue()).decode(),
        )
        return _make_report(ran.exit_status, ran.stderr, sizes)

    async def pull(
        self, connection: SshConnection, request: PullRequest, progress: Progress
    ) -> TransferReport:
        sizes = list[int]()
        for source in map(Path, request.sources):
            parent, name = shlex.quote(str(source.parent)), shlex.quote(source.name)
            ran = await connection.run(f"tar cf - -C {parent} {name} | base64")
            packed = base64.b64decode(ran.stdout)
            if not packed or ran.stderr:
                raise TransferError(f"{source}: {ran.stderr}")
            sizes += _unpack(packed, request.target / request.folder)
        return _make_report(0, "", sizes)


def _unpack(packed: bytes, target: Path) -> list[int]:
    """Return the sizes of the files. Debian's Python 3.11 has no filters of tarfile, so that tar itself unpacks."""
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["tar", "-xf", "-", "-C", str(target)], input=packed, check=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return [member.size for member in archive.getmembers() if member.isfile()]


def _make_report(status: int, error: str, sizes: Sequence[int]) -> TransferReport:
    if status:
        raise TransferError(error)
    return TransferReport(files=len(sizes), total=sum(sizes), sent=sum(sizes), resumed=0, seconds=0.0)


class DetachedSession(SessionBackend):
    """Runs a job in a process group of its own; nobody can attach to it."""

    def probe_command(self) -> str:
        return "true"

    def install_command(self, prefix: str) -> str:
        return "true"

    def start_command(self, name: str, script: str) -> str:
        return f"setsid sh {script} </dev/null >/dev/null 2>&1 &"

    def list_command(self) -> str:
        return "true"

    def parse_sessions(self, output: str) -> Sequence[SessionInfo]:
        return ()

    def attach_command(self, session: SessionInfo) -> str:
        return "false"

    def stop_command(self, session: SessionInfo) -> str:
        return "true"


@frozen
class MemoryMailbox(Mailbox):
    """The test's own mailbox as a plugin."""

    mailbox: FakeMailbox

    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        return await self.mailbox.search(since=since, sender=sender, subject=subject)


def make_plugin_module(mailbox: FakeMailbox) -> ModuleType:
    """Return a plugin module that registers all three; they are used unless the user names others."""

    @hookimpl
    def gpurent_register_transfer() -> Sequence[TransferEntry]:
        return [
            TransferEntry(name="shell", summary="tar", build=lambda context: ShellTransfer(), rank=10_000)
        ]

    @hookimpl
    def gpurent_register_session() -> Sequence[SessionEntry]:
        return [
            SessionEntry(
                name="detached", summary="setsid", build=lambda context: DetachedSession(), rank=10_000
            )
        ]

    def open_mailbox(context: PluginContext) -> Mailbox:
        return MemoryMailbox(mailbox)

    @hookimpl
    def gpurent_register_mailbox() -> Sequence[MailboxEntry]:
        return [MailboxEntry(name="memory", summary="a list", build=open_mailbox)]

    module = ModuleType("gpurent_test_machines")
    for hook in (gpurent_register_transfer, gpurent_register_session, gpurent_register_mailbox):
        setattr(module, hook.__name__, hook)
    return module
