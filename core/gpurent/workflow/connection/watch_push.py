"""A folder that is kept in step on a machine while it is edited here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpurent.domain.events import EventKind
from gpurent.domain.transfer import Push, TransferReport
from gpurent.errors import PluginError, TransferError, TransferUnsupported, UsageError
from gpurent.locale import _
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.steps.transfer_files import upload

QUIET = 200  # ms without a change after which what changed is sent
LONGEST = 2000  # ms that changes are gathered where there is no such pause
UNWATCHED = frozenset({".git", ".gpurent", ".gpurent-part", "__pycache__"})


class Mirror:
    """One push at a time; what changes meanwhile makes one more."""

    def __init__(self, desk: Desk, cargo: Push, transfer: str = "") -> None:
        self._desk, self._cargo, self._transfer = desk, cargo, transfer
        self._folders = [source.resolve() for source in cargo.sources]
        self._changed = asyncio.Event()
        self._awatch = _watcher()
        for source in cargo.sources:
            if not source.is_dir():
                raise UsageError(_("{name} is not a folder; only folders can be watched").format(name=source))

    async def run(self, given: str, told: Callable[[TransferReport], None]) -> None:
        """Until it is cancelled. ``told``: after the first push, and after each that carried something.

        A first push that fails is an error; later ones are told and tried again with the next change.
        """
        line = ReconnectingConnection(self._desk, self._desk.lease(given).id)
        watching = asyncio.ensure_future(self._watch())
        await asyncio.sleep(0)  # the watch begins before the first push: nothing falls between them
        try:
            await line.look()
            told(await self._push(line))
            while True:
                await self._change(watching)
                await self._once_more(line, told)
        finally:
            watching.cancel()
            await asyncio.wait({watching})
            await line.close()

    async def _push(self, line: ReconnectingConnection) -> TransferReport:
        return await upload(self._desk, line, self._cargo, self._transfer)

    async def _once_more(self, line: ReconnectingConnection, told: Callable[[TransferReport], None]) -> None:
        try:
            report = await self._push(line)
        except TransferUnsupported:
            raise
        except TransferError as error:
            self._desk.tell(EventKind.WARNING, error.message, lease=line.lease.id)
            return
        if report.sent or report.deleted:
            told(report)

    async def _change(self, watching: asyncio.Future[None]) -> None:
        waiting = asyncio.ensure_future(self._changed.wait())
        either: set[asyncio.Future[Any]] = {waiting, watching}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if watching.done():
            watching.result()
            raise UsageError(_("the folder can be watched no longer"))
        self._changed.clear()

    async def _watch(self) -> None:
        try:
            async for _changes in self._awatch(
                *self._folders, watch_filter=self._matters, debounce=LONGEST, step=QUIET, recursive=True
            ):
                self._changed.set()
        except OSError as error:
            raise UsageError(
                _("the folder cannot be watched: {why}").format(why=error),
                hint=_("With very many folders: leave --watch out, or raise fs.inotify.max_user_watches."),
            ) from error

    def _matters(self, _change: Any, path: str) -> bool:
        """Only what lies between a watched folder and the path counts, not where the folder itself lies."""
        found = Path(path)
        return any(
            not UNWATCHED.intersection(found.relative_to(folder).parts)
            for folder in self._folders
            if found.is_relative_to(folder)
        )


def _watcher() -> Any:
    """What tells of changes; an extra of the distribution."""
    try:
        from watchfiles import awatch
    except ImportError as error:
        raise PluginError(
            _("gpurent push --watch needs {name}, which is not installed").format(name="watchfiles"),
            hint="pip install 'gpurent[watch]'",
        ) from error
    return awatch
