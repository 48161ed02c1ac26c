"""Taking away on a machine without Python: chosen here as ever, and removed by its shell."""

from __future__ import annotations

from itertools import groupby

from gpurent.api import Push, TransferError, shown
from gpurent_plugin_turbo.near.prune import Row, Weeder, tops_of
from gpurent_plugin_turbo.near.push.push_queue import text
from gpurent_plugin_turbo.near.push.scan import Scan
from gpurent_plugin_turbo.posix.listing import listed, script
from gpurent_plugin_turbo.posix.scripts import AWAY, PROBE, WORDS, bundles, path, quoted, split
from gpurent_plugin_turbo.posix.shell import Shell, believed
from gpurent_plugin_turbo.shared.pull_frames import MISSING
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER


class PlainWeeder(Weeder):
    """`run` blocks and gives the names; `stop` ends it from any thread."""

    def __init__(self, cargo: Push, shell: Shell) -> None:
        self._cargo, self._shell = cargo, shell
        self._scan, self._tops = Scan(cargo), tops_of(cargo)
        self._known = {}
        self._target = cargo.target.encode() or b"."

    def stop(self) -> None:
        self._shell.stop()

    def run(self) -> tuple[str, ...]:
        with believed():
            return self._run()

    def _run(self) -> tuple[str, ...]:
        has = self._shell.ask(WORDS + PROBE + b"say done\n").all(b"has")
        if b"lists" not in has:
            raise TransferError(
                "the machine has no find and stat that say what is there",
                hint="Leave --delete out, or install python3 on the machine.",
            )
        go = b"cd -- %s 2>/dev/null || gone\n" % path(self._target)
        rows: list[Row] = []
        for some in bundles(path(top) if top else b"." for top, _ in self._tops):
            for found in listed(self._shell, script(some, go)):
                if found.kind < MISSING:
                    kind = FOLDER if found.kind == FOLDER else FILE
                    rows.append((kind, 0, 0, 0, found.name, b""))
        chosen = self._chosen(iter(rows))
        if not self._cargo.dry_run:
            self._take_away(chosen)
        return tuple(shown(text(row[4])) for row in chosen)

    def _take_away(self, rows: list[Row]) -> None:
        lost: list[bytes] = []
        groups = groupby(rows, key=lambda row: (split(row[4])[0], row[0] == FOLDER))
        lines = [
            b"away %s %s %s\n" % (b"folder" if is_folder else b"file", quoted(above), b" ".join(some))
            for (above, is_folder), group in groups
            for some in bundles(path(split(row[4])[1]) for row in group)
        ]
        go = b"cd -- %s || fail\nhere\n" % path(self._target)
        for several in bundles(lines):
            answer = self._shell.ask(AWAY + go + b"".join(several) + b"say done\n").check(self._target)
            lost += answer.all(b"lost")
        if lost:
            told = "; ".join(shown(why.decode("utf-8", "replace")) for why in lost[:5])
            raise TransferError(f"not deleted on the machine: {told}", hint="Everything else is in step.")
