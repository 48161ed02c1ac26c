"""A pull from a hostile machine without Python: names are checked, limits are ours, writes use open folders.

Small files come in `tar` archives, large ones by `LargeFileFetcher`.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from time import monotonic

from attrs import evolve

from gpurent.api import (
    FileProblem,
    Progress,
    PullRequest,
    SafeDir,
    SkipKind,
    TransferReport,
    TransferUnsupported,
    describe_bad_link,
)
from gpurent_plugin_turbo import _
from gpurent_plugin_turbo.near.connection.bootstrap import normalize_source
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.pull.name_policy import NamePolicy, RemoteFile
from gpurent_plugin_turbo.near.pull.pull_scheduler import LARGE_FILE
from gpurent_plugin_turbo.posix.large_download import LargeFileFetcher, get_compression_limit, is_unchanged
from gpurent_plugin_turbo.posix.listing import (
    ListedEntry,
    iter_listing,
    make_list_script,
    parse_states,
    read_links,
    read_states,
)
from gpurent_plugin_turbo.posix.machine_tools import MachineTools, compute_checksum
from gpurent_plugin_turbo.posix.scripts import (
    ANSWER_MARK,
    LIST_FUNCTIONS,
    MAX_NAMES_BYTES,
    quote_path,
)
from gpurent_plugin_turbo.posix.shell import PosixShell, ScriptAnswer, ScriptOutput, reporting_violations
from gpurent_plugin_turbo.posix.tar_archives import (
    HEADER_BYTES,
    MAX_BATCH_BYTES,
    MAX_BATCH_FILES,
    MAX_GROWTH,
    LimitedStream,
    TooMuchData,
    read_members,
)
from gpurent_plugin_turbo.shared.files import make_partial_name
from gpurent_plugin_turbo.shared.wire import FILE, LINK, UNREADABLE, ProtocolViolation


class PosixPuller:
    """One pull. `run` blocks; `stop` ends it from any thread. Keeps the names of all files to fetch in memory."""

    def __init__(
        self,
        request: PullRequest,
        target: SafeDir,
        progress: Progress,
        open_connection: Callable[[bool], CommandConnection],
    ) -> None:
        self._progress, self._full_verify = progress, request.verify == "full"
        self._shell = PosixShell(open_connection, request.bandwidth_limit)
        self._tools = MachineTools()
        self._sources = [normalize_source(source).encode() for source in request.sources]
        self._policy, self._target = NamePolicy(request), target
        self.resumed = 0

    def stop(self) -> None:
        self._shell.stop()

    def run(self) -> TransferReport:
        """Download everything; missing sources are reported at the end, after the others have arrived."""
        started_at = monotonic()
        with closing(self._target), reporting_violations():
            failures = self._fetch_sources()
            self._policy.create_links(self._target)
        self._policy.raise_failures(failures)
        return TransferReport(
            files=self._policy.files,
            total=self._policy.size,
            sent=self._shell.bytes_read,
            resumed=self.resumed,
            seconds=monotonic() - started_at,
            skipped=self._policy.skipped,
        )

    def _fetch_sources(self) -> list[tuple[str, str]]:
        """Return what could not be fetched, with reasons."""
        self._policy.check_sources()
        self._tools = MachineTools.probe(self._shell)
        if not self._tools.can_list:
            raise TransferUnsupported(
                _("the machine has no python3, and no find or stat that can list its files")
            )
        wanted = [self._list_source(number) for number in range(len(self._sources))]
        self._target.reserve_space(sum(self._measure_new_bytes(file) for files in wanted for file in files))
        failures: list[tuple[str, str]] = []
        for number, files in enumerate(wanted):
            failures += self._fetch_files(self._make_enter_script(number), files)
        return failures

    # listing

    def _list_source(self, number: int) -> list[RemoteFile]:
        """List one source; return the files to fetch, in order, without those that are already here."""
        # With its slash, a link to a folder is followed.
        slash = b"/" if self._sources[number].endswith(b"/") else b""
        base = quote_path(posixpath.basename(self._sources[number].rstrip(b"/")) + slash)
        before = self._make_enter_script(number) + b"[ -e %s ] || [ -L %s ] || report_missing\n" % (
            base,
            base,
        )
        found: list[ListedEntry] = []
        with closing(iter_listing(self._shell, make_list_script([base], before, unreadable=True))) as listing:
            for listed in listing:
                entry = evolve(listed, name=listed.name.rstrip(b"/"))
                self._policy.count_entry(entry.kind, entry.size, entry.name)
                found.append(entry)
        if not found:
            raise ProtocolViolation("an empty listing")
        wanted, links = [], []
        for entry in sorted(found, key=lambda entry: (entry.name.split(b"/"), entry.kind == UNREADABLE)):
            name = self._policy.accept_entry(self._target, number, entry.kind, entry.size, entry.name)
            if name is None:
                continue
            file = RemoteFile(entry.name, name, entry.size, entry.mode & 0o777, entry.time)
            if entry.kind == LINK:
                links.append(file)
            elif not self._skip_if_downloaded(file):
                wanted.append(file)
        self._accept_links(number, links)
        self._progress.set_total(self._policy.files, self._policy.size)
        return wanted

    def _accept_links(self, number: int, links: list[RemoteFile]) -> None:
        """Read the targets of the links; the links are created at the end."""
        targets = read_links(self._shell, self._make_enter_script(number), [link.path for link in links])
        for link, target in zip(links, targets, strict=True):
            if target is None:
                why = describe_bad_link(_("the machine does not report its target"))
                self._policy.skip_name(link.path, why, SkipKind.LINK)
            else:
                self._policy.accept_link(link.name, target)

    def _make_enter_script(self, number: int) -> bytes:
        above = posixpath.dirname(self._sources[number].rstrip(b"/")) or b"."
        return b"cd -- %s 2>/dev/null || report_missing\n" % quote_path(above)

    def _skip_if_downloaded(self, file: RemoteFile) -> bool:
        if self._full_verify or not file.is_downloaded(self._target):
            return False
        self.resumed += file.size
        self._progress.advance(file.size, file.printable_name)
        self._progress.finish_file(file.printable_name)
        return True

    def _measure_new_bytes(self, file: RemoteFile) -> int:
        """Return how much of the disk the file will need."""
        partial = make_partial_name(b"/".join(file.name), file.size, file.time)
        return max(0, file.size - (self._target.measure_partial(partial) if file.size >= LARGE_FILE else 0))

    # fetching; ``enter_script`` changes to the remote folder that the paths are relative to

    def _fetch_files(self, enter_script: bytes, files: list[RemoteFile]) -> list[tuple[str, str]]:
        """Return what could not be fetched, with reasons; changed files are fetched again in their new state."""
        left = self._try_fetch_files(enter_script, files)
        there = read_states(self._shell, enter_script, [file.path for file in left])
        changed, failures = [], []
        for file in left:
            now = there.get(file.path)
            if now is not None and now.kind == FILE:
                self._target.reserve_space(max(0, now.size - file.size))
                self._policy.update_file(file, now.size, now.time)
                file.mode = now.mode & 0o777
                changed.append(file)
            else:
                closed = now is not None and now.kind == UNREADABLE
                problem = FileProblem.UNREADABLE if closed else FileProblem.CHANGED_OR_VANISHED
                failures.append((file.printable_name, problem.text))
        still_changing = self._try_fetch_files(enter_script, changed)
        why = FileProblem.CHANGED_OR_VANISHED.text
        return failures + [(file.printable_name, why) for file in still_changing]

    def _try_fetch_files(self, enter_script: bytes, files: list[RemoteFile]) -> list[RemoteFile]:
        """Return the files that did not arrive."""
        left = []
        for batch in _make_batches([file for file in files if file.size < LARGE_FILE]):
            left += self._fetch_archive(enter_script, batch)
        large = LargeFileFetcher(self._shell, self._progress, enter_script, self._tools, self._target)
        left += [file for file in files if file.size >= LARGE_FILE and not large.fetch_file(file)]
        self.resumed += large.resumed
        return left

    # small files

    def _fetch_archive(self, enter_script: bytes, batch: list[RemoteFile]) -> list[RemoteFile]:
        """Return the files that did not arrive.

        A file is read twice with its state checked in between; if both reads agree, they are of one state.
        """
        words = b" ".join(quote_path(file.path) for file in batch)
        script = b"%s%sZ=%s; set -- %s\n" % (
            LIST_FUNCTIONS,
            enter_script,
            get_compression_limit(self._tools, self._shell),
            words,
        )
        script += b'choose_compression "$1"\nsums "$@" 2>/dev/null\nsay now\nprint_states "$@"\nsay sums\n'
        script += b'if [ "$how" = gzip ]; then tar -cf - -- "$@" 2>/dev/null | gzip -1\n'
        script += b'else tar -cf - -- "$@" 2>/dev/null; fi\n'
        most = MAX_GROWTH + sum(file.size + HEADER_BYTES for file in batch)
        with self._shell.open_script(script) as output:
            before = output.read_until(b"sums")
            printed, _mark, now = before.partition(ANSWER_MARK + b"now\n")
            there, sums = parse_states(now), _parse_checksums(printed)
            if sum(entry.size for entry in there.values()) > most:
                return batch
            expected = {
                file.path: sums.get(file.path) for file in batch if is_unchanged(file, there.get(file.path))
            }
            stream = LimitedStream(output, b"gzip" in ScriptAnswer.parse(before).lines, most)
            return self._read_archive(output, stream, batch, expected)

    def _read_archive(
        self,
        output: ScriptOutput,
        stream: LimitedStream,
        batch: list[RemoteFile],
        sums: dict[bytes, bytes | None],
    ) -> list[RemoteFile]:
        left = {file.path: file for file in batch}
        try:
            for raw, size, data in read_members(stream, LARGE_FILE):
                name = raw.removeprefix(b"./")
                file = left.get(name)
                if file is None:
                    raise ProtocolViolation("an archive of unrequested files")
                if data is None or size != file.size:
                    continue
                if compute_checksum(self._tools.new_checksum(), data) == sums.get(name):
                    del left[name]
                    self._target.count_arrival(size, self._shell.bytes_read + output.bytes_read)
                    self._target.write_file(file.name, memoryview(data), file.mode, file.time)
                    self._progress.advance(size, file.printable_name)
                    self._progress.finish_file(file.printable_name)
            output.read_rest(MAX_GROWTH)
        except TooMuchData:
            pass
        except (tarfile.TarError, EOFError):
            output.skip_rest()
        return list(left.values())


def _parse_checksums(printed: bytes) -> dict[bytes, bytes]:
    """Return the checksums that `sha256sum` or `cksum` printed, by name. A backslash in a name may be doubled."""
    found = {}
    for line in printed.splitlines():
        checksum, _dot, name = line.removeprefix(b"\\").partition(b"./")
        if line.startswith(b"\\"):
            name = name.replace(b"\\\\", b"\\")
        found[name] = checksum.split(b" ")[0]
    return found


def _make_batches(files: list[RemoteFile]) -> Iterator[list[RemoteFile]]:
    batch: list[RemoteFile] = []
    size = length = 0
    for file in files:
        many = len(batch) >= MAX_BATCH_FILES // 2 or length > MAX_NAMES_BYTES // 3
        if batch and (many or size + file.size > MAX_BATCH_BYTES):
            yield batch
            batch, size, length = [], 0, 0
        batch.append(file)
        size += file.size
        length += len(file.path)
    if batch:
        yield batch
