"""Deletes remote files that no longer exist locally, unless they are ignored locally."""

from __future__ import annotations

import os
import posixpath
import stat
import struct
import zlib
from collections.abc import Callable, Iterator

from gpurent.api import PushRequest, TransferError, UsageError
from gpurent_plugin_turbo import _
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.errors import decode_error_rows, printable_name, protocol_violation_error
from gpurent_plugin_turbo.near.push.scan import IGNORE_FILES, Rules, SourceScan
from gpurent_plugin_turbo.shared.annotations import TableRow
from gpurent_plugin_turbo.shared.wire import (
    FOLDER,
    ConnectionEnded,
    ProtocolViolation,
    decode_table,
    encode_table,
)

MAX_ROWS = 2048  # per frame
OWN_FOLDER = b".gpurent"  # gpurent's own jobs and notes: never deleted


def select_prune_folders(request: PushRequest) -> list[tuple[bytes, bytes]]:
    """Return the folders in which extraneous files are deleted: name below the target, local path.

    Raises `UsageError` if such a folder is a home or a root.
    """
    content = request.contents_only and len(request.sources) == 1
    folders = [
        (b"" if content else os.fsencode(source.resolve().name), os.fsencode(source))
        for source in request.sources
        if source.is_dir() and not source.is_symlink()
    ]
    place = posixpath.normpath(request.target or ".").strip("/")
    if any(not name for name, _path in folders) and place.split("/")[0] in ("", ".", "..", "~"):
        raise UsageError(
            _("--delete does not work on {folder} itself; name a folder below it").format(
                folder=request.target or "."
            )
        )
    return folders


class ExtraneousFilter:
    """Selects what no longer exists locally; ``folders`` are those of `select_prune_folders`."""

    def __init__(self, request: PushRequest) -> None:
        self._request, self._scan = request, SourceScan(request)
        self.folders = select_prune_folders(request)
        self._rules_by_folder: dict[bytes, Rules] = {}

    def select_rows(self, rows: list[TableRow]) -> list[TableRow]:
        """Return the extraneous rows, contents before their folder; a folder is kept if anything in it is kept."""
        extraneous = {row[4] for row in rows if self._is_extraneous(row)}
        for row in rows:
            if row[4] not in extraneous:
                folder = os.path.dirname(row[4])
                while folder in extraneous:
                    extraneous.discard(folder)
                    folder = os.path.dirname(folder)
        return sorted((row for row in rows if row[4] in extraneous), key=lambda row: row[4], reverse=True)

    def _is_extraneous(self, row: TableRow) -> bool:
        for name, path in self.folders:
            if not name or row[4].startswith(name + b"/"):
                inside = row[4][len(name) + 1 :] if name else row[4]
                is_folder = row[0] == FOLDER
                return not (_exists_locally(path, inside) or self._is_protected(path, inside, is_folder))
        return False

    def _is_protected(self, path: bytes, inside: bytes, is_folder: bool) -> bool:
        """Return whether the entry, or a folder above it, is excluded from pushes."""
        parts = inside.split(b"/")
        if OWN_FOLDER in parts:
            return True
        rules = self._read_ignore_rules(path, b"")
        for index, name in enumerate(parts):
            below = b"/".join(parts[: index + 1])
            folder = is_folder or index + 1 < len(parts)
            if self._scan.is_ignored(name, below, folder, rules):
                return True
            if index + 1 < len(parts):
                rules = (*rules, *self._read_ignore_rules(os.path.join(path, below), below + b"/"))
        return False

    def _read_ignore_rules(self, folder: bytes, inside: bytes) -> Rules:
        if not self._request.use_ignore_files:
            return ()
        if folder not in self._rules_by_folder:
            self._rules_by_folder[folder] = tuple(
                self._scan.read_ignore_rules(folder, inside, set(IGNORE_FILES))
            )
        return self._rules_by_folder[folder]


def _exists_locally(path: bytes, inside: bytes) -> bool:
    """Return whether it exists; True if unknown: it cannot be read, or is below a local link or file."""
    at = path
    for name in inside.split(b"/"):
        try:
            if not stat.S_ISDIR(os.lstat(at).st_mode) and at != path:
                return True
            at = os.path.join(at, name)
            os.lstat(at)
        except FileNotFoundError:
            return at == path  # without the folder itself its former contents are unknown
        except OSError:
            return True
    return True


def raise_prune_failures(failures: list[str]) -> None:
    """Raise a `TransferError` if there are any failures."""
    if failures:
        raise TransferError(
            _("not deleted on the machine: {reasons}").format(reasons="; ".join(failures[:5])),
            hint=_("Everything else is up to date."),
        )


class StreamPruner:
    """Deletes extraneous files. `run` blocks and returns their names; `stop` ends it from any thread."""

    def __init__(self, request: PushRequest, open_connection: Callable[[bool], CommandConnection]) -> None:
        self._filter, self._dry_run = ExtraneousFilter(request), request.dry_run
        self._connection = open_connection(True)

    def stop(self) -> None:
        self._connection.abort()

    def run(self) -> tuple[str, ...]:
        timer = self._connection.make_handshake_timer()
        timer.start()
        try:
            self._connection.frames.read_header()
            timer.cancel()
            rows = self._filter.select_rows(list(self._read_listing()))
            if not self._dry_run:
                self._delete_rows(rows)
        except ConnectionEnded:
            raise self._connection.explain_end() from None
        except (ProtocolViolation, struct.error, zlib.error) as error:
            raise protocol_violation_error(error) from None
        finally:
            timer.cancel()
            self._connection.close()
        return tuple(printable_name(row[4]) for row in rows)

    def _read_listing(self) -> Iterator[TableRow]:
        while True:
            kind, _head, size = self._connection.frames.read_header()
            body = zlib.decompress(self._connection.frames.read(size)) if size else b""
            if kind == ord("Z"):
                return
            yield from decode_table(body)[0]

    def _delete_rows(self, rows: list[TableRow]) -> None:
        failures: list[tuple[bytes, str]] = []
        for at in range(0, len(rows), MAX_ROWS):
            body = zlib.compress(encode_table(rows[at : at + MAX_ROWS]), 1)
            self._connection.frames.send_frame(ord("D"), b"", body)
            size = self._connection.frames.read_header()[2]
            failures += decode_error_rows(self._connection.frames.read(size))
        raise_prune_failures([f"{printable_name(name)}: {why}" for name, why in failures])
