"""The near side of taking away: judges what lies there by what is here. Nothing here: away, unless ignored here."""

from __future__ import annotations

import os
import posixpath
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from threading import Timer
from typing import TYPE_CHECKING

from gpurent.api import Push, TransferError, UsageError, shown
from gpurent_plugin_turbo.near.connection import stream_pool
from gpurent_plugin_turbo.near.connection.ssh_process import Wire
from gpurent_plugin_turbo.near.push.push_queue import text
from gpurent_plugin_turbo.near.push.scan import IGNORE_FILES, Scan
from gpurent_plugin_turbo.shared import wire
from gpurent_plugin_turbo.shared.errors import Broken, Ended
from gpurent_plugin_turbo.shared.wire import FOLDER

if TYPE_CHECKING:
    from gpurent_plugin_turbo.near.push.scan import Rules

Row = tuple[int, int, int, int, bytes, bytes]
MANY = 2048  # names in a frame
OURS = b".gpurent"  # jobs and notes of ours: never taken away


def tops_of(cargo: Push) -> list[tuple[bytes, bytes]]:
    """The folders that are kept in step: their name below the target, and their path here.

    A home or a root is refused as such a folder: `UsageError`.
    """
    content = cargo.content and len(cargo.sources) == 1
    tops = [
        (b"" if content else os.fsencode(source.resolve().name), os.fsencode(source))
        for source in cargo.sources
        if source.is_dir() and not source.is_symlink()
    ]
    place = posixpath.normpath(cargo.target or ".").strip("/")
    if any(not top for top, _ in tops) and place.split("/")[0] in ("", ".", "..", "~"):
        raise UsageError(f"nothing is deleted in {cargo.target or '.'} itself; name a folder below it")
    return tops


class Weeder:
    """`run` blocks and gives the names; `stop` ends it from any thread."""

    def __init__(self, cargo: Push, dial: Callable[[bool], Wire]) -> None:
        self._cargo, self._wire = cargo, dial(True)
        self._scan, self._tops = Scan(cargo), tops_of(cargo)
        self._known: dict[bytes, Rules] = {}

    def stop(self) -> None:
        self._wire.end()

    def run(self) -> tuple[str, ...]:
        mute = Timer(stream_pool.GREETING, self.stop)
        mute.daemon = True
        mute.start()
        try:
            self._wire.line.header()
            mute.cancel()
            rows = self._chosen(self._listed())
            if not self._cargo.dry_run:
                self._remove(rows)
        except Ended:
            raise self._wire.why() from None
        except (Broken, struct.error, zlib.error) as error:
            raise TransferError(f"the machine's helper says what it may not say: {error}") from None
        finally:
            mute.cancel()
            self._wire.close()
        return tuple(shown(text(row[4])) for row in rows)

    def _listed(self) -> Iterator[Row]:
        while True:
            kind, _, size = self._wire.line.header()
            body = zlib.decompress(self._wire.line.take(size)) if size else b""
            if kind == ord("Z"):
                return
            yield from wire.rows(body)[0]

    # what goes

    def _chosen(self, listed: Iterator[Row]) -> list[Row]:
        """Content before its folder; a folder stays with anything that stays in it."""
        rows = list(listed)
        away = {row[4] for row in rows if self._goes(row)}
        for row in rows:
            if row[4] not in away:
                folder = os.path.dirname(row[4])
                while folder in away:
                    away.discard(folder)
                    folder = os.path.dirname(folder)
        return sorted((row for row in rows if row[4] in away), key=lambda row: row[4], reverse=True)

    def _goes(self, row: Row) -> bool:
        for top, path in self._tops:
            if not top or row[4].startswith(top + b"/"):
                inside = row[4][len(top) + 1 :] if top else row[4]
                return not _is_here(path, inside) and not self._protected(path, inside, row[0] == FOLDER)
        return False

    def _protected(self, path: bytes, inside: bytes, is_folder: bool) -> bool:
        """Whether it, or a folder that it lies in, is left out of what is carried."""
        parts = inside.split(b"/")
        if OURS in parts:
            return True
        rules = self._rules(path, b"")
        for index, name in enumerate(parts):
            below = b"/".join(parts[: index + 1])
            folder = is_folder or index + 1 < len(parts)
            if self._scan.ignored(name, below, folder, rules):
                return True
            if index + 1 < len(parts):
                rules = (*rules, *self._rules(os.path.join(path, below), below + b"/"))
        return False

    def _rules(self, folder: bytes, inside: bytes) -> Rules:
        if not self._cargo.ignore:
            return ()
        if folder not in self._known:
            self._known[folder] = tuple(self._scan.rules(folder, inside, set(IGNORE_FILES)))
        return self._known[folder]

    def _remove(self, rows: list[Row]) -> None:
        lost: list[Row] = []
        for at in range(0, len(rows), MANY):
            body = zlib.compress(wire.table(rows[at : at + MANY]), 1)
            self._wire.line.send(ord("D"), b"", body)
            _, _, size = self._wire.line.header()
            lost += wire.rows(self._wire.line.take(size))[0]
        if lost:
            told = "; ".join(
                f"{shown(text(row[4]))}: {row[5].decode('utf-8', 'replace')}" for row in lost[:5]
            )
            raise TransferError(f"not deleted on the machine: {told}", hint="Everything else is in step.")


def _is_here(path: bytes, inside: bytes) -> bool:
    """Whatever is no clear no counts as a yes: what cannot be read, and what lies below a link or a file here."""
    at = path
    for name in inside.split(b"/"):
        try:
            if not stat.S_ISDIR(os.lstat(at).st_mode) and at != path:
                return True
            at = os.path.join(at, name)
            os.lstat(at)
        except FileNotFoundError:
            return at == path  # without the folder itself nothing is said of what was in it
        except OSError:
            return True
    return True
