"""Deletes remote files that do not exist locally, unless they are ignored locally."""

from __future__ import annotations

import os
import posixpath
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gpurent.api import (
    IgnoreRules,
    LocalSource,
    PushRequest,
    SourceFiles,
    TransferError,
    UsageError,
    exclusion_reason,
    summarize_texts,
)
from gpurent_plugin_turbo import _
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.errors import decode_error_rows, printable_name, protocol_violation_error
from gpurent_plugin_turbo.near.push.scan import SourceScan
from gpurent_plugin_turbo.shared.wire import (
    FILE,
    FOLDER,
    ConnectionEnded,
    FrameKind,
    ProtocolViolation,
    decode_table,
    encode_table,
)

MAX_ROWS = 2048  # per frame
OWN_FOLDER = b".gpurent"  # gpurent's own files (job logs, state): never deleted


class RemoteEntry(NamedTuple):
    """What exists on the machine; ``name`` is below the target."""

    name: bytes
    is_folder: bool


def select_prune_folders(request: PushRequest, sources: SourceFiles) -> list[tuple[bytes, LocalSource]]:
    """Return the folders in which extraneous files are deleted, each as remote name and local source.

    The name is below the target; it is empty if the folder's contents go into the target itself.

    Raises `UsageError` if that would be the home folder or the root folder.
    """
    contents_only = request.contents_only and len(request.sources) == 1
    folders = [
        (b"" if contents_only else os.fsencode(source.path.resolve().name), source)
        for source in sources.open_sources()
        if source.is_folder
    ]
    target = posixpath.normpath(request.target or ".").strip("/")
    if any(not name for name, _path in folders) and target.split("/")[0] in ("", ".", "..", "~"):
        raise UsageError(
            _(
                "--delete would delete everything else in {folder}; give a folder below it as the target"
            ).format(folder=request.target or ".")
        )
    return folders


class ExtraneousFilter:
    """Selects what does not exist locally; ``folders`` are those of `select_prune_folders`."""

    def __init__(self, request: PushRequest, sources: SourceFiles) -> None:
        self._request, self._scan = request, SourceScan(request, sources)
        self.folders = select_prune_folders(request, sources)
        self._rules_by_folder: dict[tuple[bytes, bytes], IgnoreRules] = {}

    def select_entries(self, entries: Sequence[RemoteEntry]) -> list[RemoteEntry]:
        """Return the extraneous entries, contents before their folder; a folder with anything to keep is kept."""
        extraneous = {entry.name for entry in entries if self._is_extraneous(entry)}
        for entry in entries:
            if entry.name not in extraneous:
                folder = os.path.dirname(entry.name)
                while folder in extraneous:
                    extraneous.discard(folder)
                    folder = os.path.dirname(folder)
        return sorted((entry for entry in entries if entry.name in extraneous), reverse=True)

    def _is_extraneous(self, entry: RemoteEntry) -> bool:
        for name, source in self.folders:
            if not name or entry.name.startswith(name + b"/"):
                relative_path = entry.name[len(name) + 1 :] if name else entry.name
                return not (
                    _exists_locally(source, relative_path)
                    or self._is_protected(source, relative_path, entry.is_folder)
                )
        return False

    def _is_protected(self, source: LocalSource, relative_path: bytes, is_folder: bool) -> bool:
        """Return whether the entry, or a folder above it, is ignored, never uploaded, or gpurent's own."""
        parts = relative_path.split(b"/")
        if OWN_FOLDER in parts:
            return True
        rules = self._enter_folder(source, IgnoreRules(source), b"")
        for index, name in enumerate(parts):
            below = b"/".join(parts[: index + 1])
            folder = is_folder or index + 1 < len(parts)
            if self._scan.is_ignored(name, below, folder, rules) or exclusion_reason(os.fsdecode(below), ()):
                return True
            if index + 1 < len(parts):
                rules = self._enter_folder(source, rules, below + b"/")
        return False

    def _enter_folder(self, source: LocalSource, rules: IgnoreRules, prefix: bytes) -> IgnoreRules:
        if not self._request.use_ignore_files:
            return rules
        key = (os.fsencode(source.path), prefix)
        if key not in self._rules_by_folder:
            name = (*source.name, *prefix.split(b"/")[:-1])
            try:
                with source.open_folder(name) as folder:
                    rules = rules.enter_folder(name, prefix, folder)
            except OSError:
                pass  # what is not here has no rules of its own
            self._rules_by_folder[key] = rules
        return self._rules_by_folder[key]


def _exists_locally(source: LocalSource, relative_path: bytes) -> bool:
    """Return whether it exists; True if unknown: it cannot be read, or is below a local link or file."""
    *above, base = relative_path.split(b"/")
    try:
        source.read_status()
    except OSError:
        return True  # without the folder itself its former contents are unknown
    try:
        with source.open_folder((*source.name, *above)) as folder:
            folder.stat_entry(base)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def raise_prune_failures(failures: Sequence[str]) -> None:
    """Raise a `TransferError` if there are any failures."""
    if failures:
        raise TransferError(
            _("not deleted on the machine: {reasons}").format(reasons=summarize_texts(failures)),
            hint=_("All other files were uploaded or deleted."),
        )


class RemotePruner:
    """Deletes extraneous files by means of far/prune.py, which runs on the machine.

    `run` blocks and returns their names; `stop` ends it from any thread.
    """

    def __init__(
        self,
        request: PushRequest,
        sources: SourceFiles,
        open_connection: Callable[[bool], CommandConnection],
    ) -> None:
        self._filter, self._dry_run = ExtraneousFilter(request, sources), request.dry_run
        self._connection = open_connection(True)

    def stop(self) -> None:
        self._connection.abort()

    def run(self) -> tuple[str, ...]:
        timer = self._connection.make_handshake_timer()
        timer.start()
        try:
            self._connection.frames.read_header()
            timer.cancel()
            entries = self._filter.select_entries(list(self._read_listing()))
            if not self._dry_run:
                self._delete_entries(entries)
        except ConnectionEnded:
            raise self._connection.explain_end() from None
        except (ProtocolViolation, struct.error, zlib.error) as error:
            raise protocol_violation_error(error) from None
        finally:
            timer.cancel()
            self._connection.close()
        return tuple(printable_name(entry.name) for entry in entries)

    def _read_listing(self) -> Iterator[RemoteEntry]:
        while True:
            frame_kind, _head, size = self._connection.frames.read_header()
            body = zlib.decompress(self._connection.frames.read(size)) if size else b""
            if frame_kind == FrameKind.FINISHED:
                return
            for kind, _mode, _size, _time, name, _link in decode_table(body)[0]:
                yield RemoteEntry(name, kind == FOLDER)

    def _delete_entries(self, entries: list[RemoteEntry]) -> None:
        failures: list[tuple[bytes, str]] = []
        for start in range(0, len(entries), MAX_ROWS):
            rows = [
                (FOLDER if is_folder else FILE, 0, 0, 0, name, b"")
                for name, is_folder in entries[start : start + MAX_ROWS]
            ]
            body = zlib.compress(encode_table(rows), 1)
            self._connection.frames.send_frame(FrameKind.DELETE, b"", body)
            size = self._connection.frames.read_header()[2]
            failures += decode_error_rows(self._connection.frames.read(size))
        raise_prune_failures([f"{printable_name(name)}: {why}" for name, why in failures])
