"""A push to a machine without Python: files are listed, small ones sent in archives, large ones appended."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from secrets import token_hex
from time import monotonic

from gpurent.api import (
    Progress,
    PushRequest,
    SourceFiles,
    TransferError,
    TransferReport,
    escape_name,
    find_own_folders,
    foreign_folder_error,
    small_disk_error,
)
from gpurent_plugin_turbo import _
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.errors import decode_name, printable_name, raise_push_failures
from gpurent_plugin_turbo.near.push.scan import LARGE_FILE, SourceEntry, SourceScan
from gpurent_plugin_turbo.posix.large_upload import LargeFileSender
from gpurent_plugin_turbo.posix.listing import ListedEntry, iter_listing, make_list_script
from gpurent_plugin_turbo.posix.machine_tools import MachineTools, add_file_data
from gpurent_plugin_turbo.posix.scripts import (
    LIST_FUNCTIONS,
    OWN_FUNCTION,
    PROBE_SCRIPT,
    WRITE_FUNCTIONS,
    batch_words,
    make_enter_script,
    quote_folder,
    quote_path,
    quote_word,
    split_name,
)
from gpurent_plugin_turbo.posix.shell import PosixShell, ScriptAnswer, reporting_violations
from gpurent_plugin_turbo.posix.tar_archives import TarBatch
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER, HARD_LINK, LINK, PARTIALS_DIR

MAX_TOP_NAMES = 500  # with more top-level names, the whole target is listed


class PosixPusher:
    """One push. `run` blocks; `stop` ends it from any thread. Keeps the names of all entries in memory."""

    def __init__(
        self,
        request: PushRequest,
        sources: SourceFiles,
        progress: Progress,
        open_connection: Callable[[bool], CommandConnection],
    ) -> None:
        self._scan, self._progress, self._full_verify = (
            SourceScan(request, sources),
            progress,
            request.verify == "full",
        )
        self._shell = PosixShell(open_connection, request.bandwidth_limit)
        self._target = request.target.encode() or b"."
        self._enter_script = make_enter_script(self._target, token_hex(6).encode())
        self._remote_entries: dict[bytes, ListedEntry] = {}
        self._partial_sizes: dict[bytes, int] = {}
        self._tools = MachineTools()
        self._failures: list[tuple[bytes, str]] = []
        self.resumed = 0

    def stop(self) -> None:
        self._shell.stop()

    def run(self) -> TransferReport:
        """Send everything; files that could not be sent are reported at the end."""
        started_at = monotonic()
        self._scan.check_sources()
        entries = list(self._scan.iter_entries())
        with reporting_violations():
            self._probe_machine()
            if self._tools.can_list:
                self._list_target({entry.name for entry in entries})
            self._progress.set_total(self._scan.files, self._scan.size)
            self._send_entries(entries)
            self._finish_entries(entries)
        raise_push_failures(self._failures)
        return TransferReport(
            files=self._scan.files,
            total=self._scan.size,
            sent=self._shell.bytes_sent,
            resumed=self.resumed,
            seconds=monotonic() - started_at,
            skipped=tuple(self._scan.skipped),
        )

    # listing

    def _probe_machine(self) -> None:
        """Create the target; find out what tools and disk space the machine has."""
        own = [
            b"own %s\n" % quote_path(folder.encode()) for folder in find_own_folders(self._target.decode())
        ]
        probe = b"%s\n%s%smkdir -p -- %s || fail\n%s" % (
            PROBE_SCRIPT,
            OWN_FUNCTION,
            b"".join(own),
            quote_path(self._target),
            self._enter_script,
        )
        probe += b"df -Pk . 2>/dev/null | { read -r a; read -r a b c d e; say free $d; }\n"
        answer = self._shell.run_script(probe)
        for folder in answer.find_all(b"foreign"):
            raise foreign_folder_error(printable_name(folder))
        self._tools = MachineTools.parse(answer.raise_if_failed(self._target))

    def _list_target(self, wanted: set[bytes]) -> None:
        """List what exists of the wanted names, and the partials."""
        roots = [quote_path(top) for top in sorted({name.partition(b"/")[0] for name in wanted})]
        if self._scan.request.contents_only and len(roots) > MAX_TOP_NAMES:
            roots = [b"."]
        for words in batch_words(roots):
            for found in iter_listing(self._shell, make_list_script(words, self._enter_script)):
                if found.name in wanted:
                    self._remote_entries[found.name] = found
        script = b"echo; find ./%s -name 's*' -prune -o -type f " % PARTIALS_DIR
        script += b"-exec stat -c '@gpurent part %s %n' {} + 2>/dev/null\n"
        answer = self._shell.run_script(LIST_FUNCTIONS + self._enter_script + script, most=1 << 26)
        for line in answer.find_all(b"part"):
            size, _space, name = line.partition(b" ")
            self._partial_sizes[split_name(name)[1]] = int(size) if size.isdigit() else 0

    # sending

    def _send_entries(self, entries: list[SourceEntry]) -> None:
        self._make_folders([entry for entry in entries if entry.kind == FOLDER])
        files = [entry for entry in entries if entry.kind == FILE]
        have = {entry.name for entry in files if self._is_up_to_date(entry)}
        if self._full_verify:
            have = set(self._iter_verified_names([entry for entry in files if entry.name in have]))
        needed = [entry for entry in files if entry.name not in have]
        self._check_disk_space(needed)
        for entry in files:
            if entry.name in have:
                self.resumed += entry.size
                self._record_arrival(entry)
        for batch in self._make_batches(needed):
            self._send_batch(batch)
        sender = LargeFileSender(self._shell, self._progress, self._enter_script, self._tools)
        for entry in needed:
            if entry.size >= LARGE_FILE and (why := sender.send_file(entry, self._get_partial_size(entry))):
                self._failures.append((entry.name, why))
        self.resumed += sender.resumed

    def _is_up_to_date(self, entry: SourceEntry) -> bool:
        found = self._remote_entries.get(entry.name)
        return found is not None and found.has_state(entry.size, entry.time)

    def _record_arrival(self, entry: SourceEntry) -> None:
        self._progress.advance(entry.size, decode_name(entry.name))
        self._progress.finish_file(decode_name(entry.name))

    def _make_folders(self, folders: list[SourceEntry]) -> None:
        missing = [
            quote_path(entry.name)
            for entry in folders
            if (found := self._remote_entries.get(entry.name)) is None or found.kind != FOLDER
        ]
        for words in batch_words(missing):
            self._run_script(b"mkdir -p -- %s || fail\n" % b" ".join(words))

    def _run_script(self, script: bytes, payload: tuple[bytes, ...] = ()) -> ScriptAnswer:
        answer = self._shell.run_script(WRITE_FUNCTIONS + self._enter_script + script, payload)
        return answer.raise_if_failed(self._target)

    def _iter_verified_names(self, entries: list[SourceEntry]) -> Iterator[bytes]:
        """Yield the names whose remote content equals the local content."""
        by_word = {quote_path(entry.name): entry for entry in entries}
        for words in batch_words(by_word):
            loop = b'for f in %s; do say sum "$(sum <"$f")"; done\n' % b" ".join(words)
            sums = self._run_script(loop).find_all(b"sum")
            for word, theirs in zip(words, sums, strict=False):
                if theirs == self._checksum_file(by_word[word]):
                    yield by_word[word].name

    def _checksum_file(self, entry: SourceEntry) -> bytes:
        checksum = self._tools.new_checksum()
        try:
            with os.fdopen(entry.file.open_file(), "rb") as file:
                add_file_data(checksum, file.fileno(), entry.size)
        except OSError:
            return b""
        return checksum.to_tool_output()

    def _check_disk_space(self, needed: list[SourceEntry]) -> None:
        size = sum(max(0, entry.measure_disk_usage() - self._get_partial_size(entry)) for entry in needed)
        if size > self._tools.free_bytes >= 0:
            raise small_disk_error(self._tools.free_bytes, size)

    def _get_partial_size(self, entry: SourceEntry) -> int:
        return self._partial_sizes.get(entry.partial_name, 0)

    def _make_batches(self, needed: list[SourceEntry]) -> Iterator[TarBatch]:
        batch = TarBatch()
        for entry in needed:
            if entry.size < LARGE_FILE and (why := batch.add_file(entry)):
                self._failures.append((entry.name, why))
            if batch.is_full:
                yield batch
                batch = TarBatch()
        if batch.contents:
            yield batch

    def _send_batch(self, batch: TarBatch) -> None:
        archive = batch.build_archive(b"gnu" in self._tools.tool_names)
        compressed = self._tools.compress(archive, self._shell.rate)
        data = archive if compressed is None else compressed
        script = batch.build_script(len(data), compressed is not None, self._tools)
        for _try in range(3):
            answer = self._run_script(script, (data,))
            if b"bad" not in answer.lines:
                break
        else:
            raise TransferError(_("files arrived corrupted on the machine"), hint=_("Upload again."))
        failures = _parse_failures(answer)
        for number, index, entry in batch.iter_entries():
            if why := failures.get((number, index)) or failures.get((number, -1)):
                self._failures.append((entry.name, why))
            else:
                self._record_arrival(entry)

    # end of the push

    def _finish_entries(self, entries: list[SourceEntry]) -> None:
        """Create links, set the modes of folders, remove the transfer's own files."""
        links = [entry for entry in entries if entry.kind in (LINK, HARD_LINK)]
        lines = [_make_link_command(number, entry) for number, entry in enumerate(links)]
        for some in batch_words(lines):
            for (number, _index), why in _parse_failures(self._run_script(b"".join(some))).items():
                self._failures.append((links[number].name, why))
        for entry in links:
            if entry.kind == HARD_LINK:
                self._record_arrival(entry)
        modes: dict[int, list[bytes]] = {}
        for entry in entries:
            found = self._remote_entries.get(entry.name)
            if entry.kind == FOLDER and (found is None or found.mode != entry.mode | stat.S_IRWXU):
                modes.setdefault(entry.mode | stat.S_IRWXU, []).append(quote_path(entry.name))
        for mode, names in modes.items():
            for words in batch_words(names):
                self._run_script(b"chmod %o %s || fail\n" % (mode, b" ".join(words)))
        self._run_script(b"rm -rf %s/s*; rmdir %s 2>/dev/null\n" % (PARTIALS_DIR, PARTIALS_DIR))


def _parse_failures(answer: ScriptAnswer) -> dict[tuple[int, int], str]:
    """Return reasons by (folder number, entry number within it); entry -1 stands for the whole folder."""
    found = {}
    for line in answer.find_all(b"lost"):
        number, index, *why = line.split(b" ", 2)
        text = escape_name(b"".join(why).decode("utf-8", "replace"))
        found[int(number), -1 if index == b"all" else int(index)] = text or _(
            "the machine did not report a reason"
        )
    return found


def _make_link_command(number: int, entry: SourceEntry) -> bytes:
    above, base = split_name(entry.name)
    place = b"%d %s %s" % (number, quote_folder(above), quote_word(base))
    if entry.kind == LINK:
        return b"make_symlink %s %s\n" % (place, quote_word(entry.link))
    return b"make_hardlink %s %s\n" % (place, quote_path(entry.link))
