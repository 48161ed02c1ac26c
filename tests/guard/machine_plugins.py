"""A transfer backend and a session backend that need nothing of a machine but its shell, and a mailbox in memory."""

from __future__ import annotations

import base64
import io
import shlex
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
    Pull,
    Push,
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
    """A tar archive as the input or the output of one command."""

    async def push(self, link: SshConnection, cargo: Push, progress: Progress) -> TransferReport:
        packed, sizes = io.BytesIO(), list[int]()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for source in cargo.sources:
                names = sorted(source.iterdir()) if cargo.content else [source]
                for name in names:
                    archive.add(name, arcname=name.name)
            sizes += [member.size for member in archive.getmembers() if member.isfile()]
        target = shlex.quote(cargo.target)
        ran = await link.run(
            f"mkdir -p {target} && base64 -d | tar xf - -C {target}",
            input=base64.b64encode(packed.getvalue()).decode(),
        )
        return _report(ran.status, ran.err, sizes)

    async def pull(self, link: SshConnection, cargo: Pull, progress: Progress) -> TransferReport:
        sizes = list[int]()
        for source in map(Path, cargo.sources):
            parent, name = shlex.quote(str(source.parent)), shlex.quote(source.name)
            ran = await link.run(f"tar cf - -C {parent} {name} | base64")
            packed = base64.b64decode(ran.out)
            if not packed or ran.err:
                raise TransferError(f"{source}: {ran.err}")
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(cargo.target, filter="data")
                sizes += [member.size for member in archive.getmembers() if member.isfile()]
        return _report(0, "", sizes)


def _report(status: int, error: str, sizes: Sequence[int]) -> TransferReport:
    if status:
        raise TransferError(error)
    return TransferReport(files=len(sizes), total=sum(sizes), sent=sum(sizes), resumed=0, seconds=0.0)


class DetachedSession(SessionBackend):
    """A process group of its own; nobody can attach to it."""

    def probe(self) -> str:
        return "true"

    def install(self, prefix: str) -> str:
        return "true"

    def start(self, name: str, script: str) -> str:
        return f"setsid sh {script} </dev/null >/dev/null 2>&1 &"

    def listing(self) -> str:
        return "true"

    def parse(self, output: str) -> Sequence[SessionInfo]:
        return ()

    def attach(self, session: SessionInfo) -> str:
        return "false"

    def stop(self, session: SessionInfo) -> str:
        return "true"


@frozen
class MailboxInMemory(Mailbox):
    """The test's own mailbox as a plugin."""

    mailbox: FakeMailbox

    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        return await self.mailbox.search(since=since, sender=sender, subject=subject)


def plugin_module(mailbox: FakeMailbox) -> ModuleType:
    """The module of a plugin that brings all three; a user who names no other gets these."""

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
        return MailboxInMemory(mailbox)

    @hookimpl
    def gpurent_register_mailbox() -> Sequence[MailboxEntry]:
        return [MailboxEntry(name="memory", summary="a list", build=open_mailbox)]

    module = ModuleType("gpurent_test_machines")
    for hook in (gpurent_register_transfer, gpurent_register_session, gpurent_register_mailbox):
        setattr(module, hook.__name__, hook)
    return module
