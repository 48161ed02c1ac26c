"""Down from a machine without Python. The far side is hostile, as ever: judged names, own limits, open folders."""

from __future__ import annotations

import posixpath
from contextlib import closing
from time import monotonic

from gpurent.api import Progress, Pull, TransferError, TransferReport, TransferUnsupported, objection, shown
from gpurent_plugin_turbo.near.pull.name_policy import Far, Judge
from gpurent_plugin_turbo.near.pull.safe_dir import Name, Shelf
from gpurent_plugin_turbo.posix.fetch import Fetcher
from gpurent_plugin_turbo.posix.listing import Found, listed, pointed, script
from gpurent_plugin_turbo.posix.scripts import PROBE, WORDS, path
from gpurent_plugin_turbo.posix.shell import Shell
from gpurent_plugin_turbo.posix.tar_batch import Means
from gpurent_plugin_turbo.posix.tar_stream import ODD
from gpurent_plugin_turbo.shared.errors import Broken
from gpurent_plugin_turbo.shared.files import same
from gpurent_plugin_turbo.shared.pull_frames import MISSING, UNREADABLE
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER, LINK


class PlainPuller:
    """One pull. `run` blocks; `stop` ends it from any thread. Holds all names that come in memory."""

    def __init__(self, cargo: Pull, progress: Progress, shell: Shell, *, whole: bool = False) -> None:
        self._cargo, self._progress, self._shell, self._whole = cargo, progress, shell, whole
        self._sources = [posixpath.normpath(source).encode() for source in cargo.sources]
        self._judge, self._shelf = Judge(cargo), Shelf(cargo.target)
        self._means = Means(frozenset())
        self._lost: list[tuple[str, str]] = []
        self._links: list[tuple[bytes, Name]] = []  # of one source
        self.resumed = 0

    def stop(self) -> None:
        self._shell.stop()

    def run(self) -> TransferReport:
        """Bring everything; a source that is missing is told at the end, after the others came."""
        begun = monotonic()
        try:
            for source in self._sources:
                why = objection(posixpath.basename(source).decode(), self._cargo.limits.name)
                if why:
                    raise TransferError(f"{shown(source.decode())} cannot be brought home: its name {why}")
            self._means = Means(frozenset(self._shell.ask(WORDS + PROBE + b"say done\n").all(b"has")))
            if not self._means.lists:
                raise TransferUnsupported(
                    "the machine has no python3, and no find and stat that say what is there"
                )
            wanted = [self._listing(number) for number in range(len(self._sources))]
            fetcher = Fetcher(self._shell, self._shelf, self._progress, self._means, self._judge)
            for number, files in enumerate(wanted):
                self._lost += fetcher.bring(self._go(number), files)
            self.resumed += fetcher.resumed
            self._judge.make_links(self._shelf)
        except (Broken, *ODD) as error:
            raise TransferError(f"the machine says what it may not say: {error}") from None
        finally:
            self._shelf.close()
        self._tell_lost()
        return TransferReport(
            files=self._judge.files,
            total=self._judge.size,
            sent=self._shell.read,
            resumed=self.resumed,
            seconds=monotonic() - begun,
            skipped=tuple(self._judge.skipped),
        )

    def _tell_lost(self) -> None:
        if self._lost:
            told = "; ".join(f"{name} {why}" for name, why in self._lost[:5])
            more = f" and {len(self._lost) - 5} more" if len(self._lost) > 5 else ""
            raise TransferError(f"{told}{more}", hint="Everything else has come home. Pull again.")
        if self._judge.missing:
            names = ", ".join(self._judge.missing)
            raise TransferError(f"not on the machine: {names}", hint="What was there has come home.")

    # what there is

    def _listing(self, number: int) -> list[Far]:
        """Of one source what is to be fetched, in order. What is here as it is there is not."""
        base = path(posixpath.basename(self._sources[number]))
        before = self._go(number) + b"[ -e %s ] || [ -L %s ] || gone\n" % (base, base)
        found: list[Found] = []
        with closing(listed(self._shell, script([base], before, shut=True))) as there:
            for one in there:
                is_file = one.kind == FILE
                self._judge.count(one.name.count(b"/"), one.size if is_file else 0, is_file)
                found.append(one)
        if not found:
            raise Broken("nothing of what is there")
        wanted = []
        for one in sorted(found, key=lambda one: (one.name.split(b"/"), one.kind == UNREADABLE)):
            far = self._taken(number, one)
            if far is not None and not self._here(far):
                wanted.append(far)
        self._point(number)
        self._progress.total(self._judge.files, self._judge.size)
        return wanted

    def _point(self, number: int) -> None:
        """Learn where the links of a source lead; they are made at the end."""
        links, self._links = self._links, []
        targets = pointed(self._shell, self._go(number), [raw for raw, _ in links])
        for (raw, name), target in zip(links, targets, strict=True):
            if target is None:
                self._judge.skip(raw, "is a link, and the machine does not say where to")
            else:
                self._judge.link(name, target)

    def _go(self, number: int) -> bytes:
        return b"cd -- %s 2>/dev/null || gone\n" % path(posixpath.dirname(self._sources[number]) or b".")

    def _taken(self, number: int, one: Found) -> Far | None:
        if one.kind == MISSING:
            self._judge.missing.append(shown(self._cargo.sources[number]))
            return None
        if one.kind == UNREADABLE:
            self._judge.skip(one.name, "cannot be read there")
            return None
        name = self._judge.name(number, one.name)
        if name is None:
            self._judge.size -= one.size if one.kind == FILE else 0
            return None
        if one.kind == FOLDER:
            self._shelf.folder(name)
        elif one.kind == FILE:
            self._judge.files += 1
            return Far(one.name, name, one.size, one.mode & 0o777, one.time)
        elif one.kind == LINK:
            self._links.append((one.name, name))
        else:
            self._judge.skip(one.name, "is a special file")
        return None

    def _here(self, far: Far) -> bool:
        here = self._shelf.status(far.name)
        if here is None or self._whole or not same(here, far.size, far.time):
            return False
        self.resumed += far.size
        self._progress.advance(far.size, far.text)
        self._progress.file_done(far.text)
        return True
