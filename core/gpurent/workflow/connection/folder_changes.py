"""Watches the folders of a push for changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

from gpurent.domain.transfer import PushRequest
from gpurent.errors import PluginError, UsageError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error

QUIET_MS = 200  # debounce: send changes after this many ms without another
MAX_GATHER_MS = 2000  # but never hold changes back longer than this (ms)
UNWATCHED_NAMES = frozenset({".git", ".gpurent", ".gpurent-part", "__pycache__"})


@define
class FolderChanges:
    """Watches ``folders`` for changes. ``awatch`` is the function of watchfiles."""

    folders: Sequence[Path]
    awatch: Callable[..., Any]
    _changed: asyncio.Event = field(factory=asyncio.Event)

    async def watch(self) -> None:
        """Watch until cancelled; returns early only by raising an error."""
        try:
            async for _changes in self.awatch(
                *self.folders,
                watch_filter=self._is_watched,
                debounce=MAX_GATHER_MS,
                step=QUIET_MS,
                recursive=True,
            ):
                self._changed.set()
        except OSError as error:
            raise UsageError(
                _("the folder cannot be watched: {why}").format(why=describe_error(error)),
                hint=_("If there are very many folders, omit --watch or raise fs.inotify.max_user_watches."),
            ) from error
        finally:
            self._changed.set()

    async def wait_for_change(self, watching: asyncio.Task[None]) -> None:
        """Wait for a change since the last call. Raises an error if ``watching`` (the task of `watch`) has ended."""
        await self._changed.wait()
        if watching.done():
            watching.result()
            raise UsageError(_("the folder can no longer be watched"))
        self._changed.clear()

    def _is_watched(self, _change: Any, path: str) -> bool:
        """Check only the path components below the watched folder, not the folder's own path."""
        found = Path(path)
        return any(
            not UNWATCHED_NAMES.intersection(found.relative_to(folder).parts)
            for folder in self.folders
            if found.is_relative_to(folder)
        )


def watched_folders(push: PushRequest) -> list[Path]:
    for source in push.sources:
        if not source.is_dir():
            raise UsageError(_("{name} is not a folder; only folders can be watched").format(name=source))
    return [source.resolve() for source in push.sources]


def load_awatch() -> Callable[..., Any]:
    """Import watchfiles, which is an optional dependency."""
    try:
        from watchfiles import awatch
    except ImportError as error:
        raise PluginError(
            _("gpurent push --watch needs {name}, which is not installed").format(name="watchfiles"),
            hint="pip install 'gpurent[watch]'",
        ) from error
    return awatch
