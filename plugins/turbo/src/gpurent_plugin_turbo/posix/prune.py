"""Deletes extraneous files on a machine without Python: selected here, deleted by its shell."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from gpurent.api import PushRequest, SourceFiles, TransferError, escape_name
from gpurent_plugin_turbo import _
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.errors import printable_name
from gpurent_plugin_turbo.near.prune import ExtraneousFilter, RemoteEntry, raise_prune_failures
from gpurent_plugin_turbo.posix.listing import iter_listing, make_list_script
from gpurent_plugin_turbo.posix.machine_tools import MachineTools
from gpurent_plugin_turbo.posix.scripts import (
    PRUNE_FUNCTIONS,
    batch_words,
    quote_path,
    quote_word,
    split_name,
)
from gpurent_plugin_turbo.posix.shell import PosixShell, reporting_violations
from gpurent_plugin_turbo.shared.wire import FOLDER, MISSING


class PosixPruner:
    """Deletes extraneous files. `run` blocks and returns their names; `stop` ends it from any thread."""

    def __init__(
        self,
        request: PushRequest,
        sources: SourceFiles,
        open_connection: Callable[[bool], CommandConnection],
    ) -> None:
        self._filter, self._dry_run = ExtraneousFilter(request, sources), request.dry_run
        self._shell = PosixShell(open_connection)
        self._target = request.target.encode() or b"."

    def stop(self) -> None:
        self._shell.stop()

    def run(self) -> tuple[str, ...]:
        with reporting_violations():
            if not MachineTools.probe(self._shell).can_list:
                raise TransferError(
                    _("the machine has no find or stat that can list its files"),
                    hint=_("Omit --delete, or install python3 on the machine."),
                )
            entries = self._filter.select_entries(self._list_entries())
            if not self._dry_run:
                self._delete_entries(entries)
        return tuple(printable_name(entry.name) for entry in entries)

    def _list_entries(self) -> list[RemoteEntry]:
        enter = b"cd -- %s 2>/dev/null || report_missing\n" % quote_path(self._target)
        entries: list[RemoteEntry] = []
        for words in batch_words(quote_path(name) if name else b"." for name, _path in self._filter.folders):
            entries.extend(
                RemoteEntry(entry.name, entry.kind == FOLDER)
                for entry in iter_listing(self._shell, make_list_script(words, enter))
                if entry.kind < MISSING
            )
        return entries

    def _delete_entries(self, entries: list[RemoteEntry]) -> None:
        groups = groupby(entries, key=lambda entry: (split_name(entry.name)[0], entry.is_folder))
        lines = [
            b"prune %s %s %s\n" % (b"folder" if is_folder else b"file", quote_word(above), b" ".join(words))
            for (above, is_folder), group in groups
            for words in batch_words(quote_path(split_name(entry.name)[1]) for entry in group)
        ]
        start = PRUNE_FUNCTIONS + b"cd -- %s || fail\nfind_root\n" % quote_path(self._target)
        failures: list[bytes] = []
        for some in batch_words(lines):
            answer = self._shell.run_script(start + b"".join(some))
            failures += answer.raise_if_failed(self._target).find_all(b"lost")
        raise_prune_failures([escape_name(why.decode("utf-8", "replace")) for why in failures])
