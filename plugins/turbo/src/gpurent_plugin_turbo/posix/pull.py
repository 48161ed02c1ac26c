"""A pull from a machine without Python. The far side is hostile here too: judged names, own limits, open folders."""

from __future__ import annotations

import posixpath
from contextlib import closing
from time import monotonic

from gpurent.api import Progress, Pull, TransferReport, TransferUnsupported
from gpurent_plugin_turbo.near.pull.name_policy import NamePolicy
from gpurent_plugin_turbo.near.pull.pull_items import RemoteFile
from gpurent_plugin_turbo.near.pull.safe_dir import Name, SafeDir
from gpurent_plugin_turbo.posix.fetch import FileFetcher
from gpurent_plugin_turbo.posix.listing import ListedEntry, iter_listing, make_list_script, read_links
from gpurent_plugin_turbo.posix.machine_tools import MachineTools
from gpurent_plugin_turbo.posix.scripts import quote_path
from gpurent_plugin_turbo.posix.shell import PosixShell, reporting_violations
from gpurent_plugin_turbo.shared.pull_frames import UNREADABLE
from gpurent_plugin_turbo.shared.wire import LINK, ProtocolViolation


class PosixPuller:
    """One pull. `run` blocks; `stop` ends it from any thread. Holds all names that come in memory."""

    def __init__(
        self, spec: Pull, progress: Progress, shell: PosixShell, *, full_verify: bool = False
    ) -> None:
        self._progress, self._shell, self._full_verify = progress, shell, full_verify
        self._sources = [posixpath.normpath(source).encode() for source in spec.sources]
        self._policy, self._target = NamePolicy(spec), SafeDir(spec.target)
        self._links: list[tuple[bytes, Name]] = []  # of one source
        self.resumed = 0

    def stop(self) -> None:
        self._shell.stop()

    def run(self) -> TransferReport:
        """Fetch everything; a source that is missing is reported at the end, after the others came."""
        begun = monotonic()
        with closing(self._target), reporting_violations():
            failures = self._fetch_sources()
            self._policy.create_links(self._target)
        self._policy.raise_failures(failures)
        return TransferReport(
            files=self._policy.files,
            total=self._policy.size,
            sent=self._shell.read_bytes,
            resumed=self.resumed,
            seconds=monotonic() - begun,
            skipped=tuple(self._policy.skipped),
        )

    def _fetch_sources(self) -> list[tuple[str, str]]:
        """What could not be fetched, and why."""
        self._policy.check_sources()
        tools = MachineTools.probe(self._shell)
        if not tools.can_list:
            raise TransferUnsupported(
                "the machine has no python3, and no find and stat that say what is there"
            )
        wanted = [self._list_source(number) for number in range(len(self._sources))]
        fetcher = FileFetcher(self._shell, self._target, self._progress, tools, self._policy)
        failures: list[tuple[str, str]] = []
        for number, files in enumerate(wanted):
            failures += fetcher.fetch_files(self._enter_folder(number), files)
        self.resumed += fetcher.resumed
        return failures

    def _list_source(self, number: int) -> list[RemoteFile]:
        """What is to be fetched of one source, in order, without what is here already."""
        base = quote_path(posixpath.basename(self._sources[number]))
        before = self._enter_folder(number) + b"[ -e %s ] || [ -L %s ] || report_missing\n" % (base, base)
        found: list[ListedEntry] = []
        with closing(iter_listing(self._shell, make_list_script([base], before, unreadable=True))) as listing:
            for entry in listing:
                self._policy.count_entry(entry.kind, entry.size, entry.name)
                found.append(entry)
        if not found:
            raise ProtocolViolation("nothing of what is there")
        wanted = []
        for entry in sorted(found, key=lambda entry: (entry.name.split(b"/"), entry.kind == UNREADABLE)):
            file = self._accept_entry(number, entry)
            if file is not None and not self._is_here(file):
                wanted.append(file)
        self._accept_links(number)
        self._progress.total(self._policy.files, self._policy.size)
        return wanted

    def _accept_links(self, number: int) -> None:
        """Learn where the links of a source lead; they are made at the end."""
        links, self._links = self._links, []
        targets = read_links(self._shell, self._enter_folder(number), [raw for raw, _ in links])
        for (raw, name), target in zip(links, targets, strict=True):
            if target is None:
                self._policy.skip_name(raw, "is a link, and the machine does not say where to")
            else:
                self._policy.accept_link(name, target)

    def _enter_folder(self, number: int) -> bytes:
        above = posixpath.dirname(self._sources[number]) or b"."
        return b"cd -- %s 2>/dev/null || report_missing\n" % quote_path(above)

    def _accept_entry(self, number: int, entry: ListedEntry) -> RemoteFile | None:
        name = self._policy.accept_entry(self._target, number, entry.kind, entry.size, entry.name)
        if name is None:
            return None
        if entry.kind == LINK:
            self._links.append((entry.name, name))
            return None
        self._policy.files += 1
        return RemoteFile(entry.name, name, entry.size, entry.mode & 0o777, entry.time)

    def _is_here(self, file: RemoteFile) -> bool:
        if self._full_verify or not self._target.has_file(file.name, file.size, file.time):
            return False
        self.resumed += file.size
        self._progress.advance(file.size, file.printable)
        self._progress.file_done(file.printable)
        return True
