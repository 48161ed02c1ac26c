"""Progress of a transfer: a bar with rate and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from time import monotonic

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

EVERY = 5.0


class Bars:
    """Implements `gpurent.roles.machine.Progress`."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._files = self._done_files = self._size = self._done = 0
        self._begun = self._told = monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("  {task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[files]}"),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._task = self._bar.add_task(title, total=None, files="")
            self._bar.start()

    def total(self, files: int, size: int) -> None:
        self._files, self._size = files, size
        if self._bar is not None:
            self._bar.update(self._task, total=max(size, 1))

    def advance(self, size: int, name: str = "") -> None:
        self._done += size
        if self._bar is not None:
            self._bar.update(self._task, advance=size)
        elif monotonic() - self._told > EVERY:
            self._told = monotonic()
            click.echo(f"  {self._line()}", err=True)

    def file_done(self, name: str) -> None:
        self._done_files += 1
        if self._bar is not None:
            self._bar.update(self._task, files=f"{self._done_files}/{self._files}")

    def _line(self) -> str:
        seconds = max(monotonic() - self._begun, 0.001)
        percent = 100 * self._done // max(self._size, 1)
        return (
            f"{self._title}: {self._done_files}/{self._files}, {_size(self._done)} ({percent} %), "
            f"{_size(int(self._done / seconds))}/s"
        )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._files:
            click.echo(f"  {self._line()}", err=True)


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return ""
