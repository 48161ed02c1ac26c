"""Up to a machine without Python: what is there is listed, the small goes in archives, the large by its end."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from secrets import token_hex
from time import monotonic

from gpurent.api import Progress, TransferError, shown
from gpurent_plugin_turbo.near.push.push_queue import text
from gpurent_plugin_turbo.near.push.pusher import Carried
from gpurent_plugin_turbo.near.push.scan import Entry, Scan
from gpurent_plugin_turbo.posix import checksums
from gpurent_plugin_turbo.posix.large_upload import Sender
from gpurent_plugin_turbo.posix.listing import Found, listed, script
from gpurent_plugin_turbo.posix.scripts import PROBE, PUT, ROOM, WORDS, bundles, inside, path, quoted, split
from gpurent_plugin_turbo.posix.shell import Answer, Shell, believed
from gpurent_plugin_turbo.posix.tar_batch import BIG, Batch, Means, press, room, weight
from gpurent_plugin_turbo.shared.files import part_of
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER, HARD, LINK

MANY = 500  # names at the top from which the whole target is listed


class PlainPusher:
    """One push. `run` blocks; `stop` ends it from any thread. Holds all names of what is carried in memory."""

    def __init__(
        self, scan: Scan, progress: Progress, shell: Shell, *, target: str, whole: bool = False
    ) -> None:
        self._scan, self._progress, self._shell, self._whole = scan, progress, shell, whole
        self._target = target.encode() or b"."
        self._go = b"cd -- %s || fail\n%s" % (path(self._target), room(token_hex(6).encode()))
        self._there: dict[bytes, Found] = {}
        self._parts: dict[bytes, int] = {}
        self._means = Means(frozenset())
        self._lost: list[tuple[bytes, str]] = []
        self.resumed = 0

    def stop(self) -> None:
        self._shell.stop()

    def run(self) -> Carried:
        """Carry everything; what could not be carried is told at the end."""
        begun = monotonic()
        self._scan.check()
        entries = list(self._scan.entries())
        with believed():
            self._look(entries)
            self._progress.total(self._scan.files, self._scan.size)
            self._carry(entries)
            self._finish(entries)
        self._judge()
        return Carried(self._scan, self._shell.sent, self.resumed, monotonic() - begun)

    def _judge(self) -> None:
        if self._lost:
            told = "; ".join(f"{shown(text(name))}: {why}" for name, why in self._lost[:5])
            more = f" and {len(self._lost) - 5} more" if len(self._lost) > 5 else ""
            raise TransferError(
                f"{told}{more}",
                hint="Everything else has arrived, and nothing half-written was left. Send again.",
            )

    # what there is

    def _look(self, entries: list[Entry]) -> None:
        """Makes the target; learns of the machine, its disk, and what lies there."""
        probe = b"%s%s\nmkdir -p -- %s || fail\n%s" % (WORDS, PROBE, path(self._target), self._go)
        probe += b"df -Pk . 2>/dev/null | { read -r a; read -r a b c d e; say free $d; }\n"
        answer = self._shell.ask(probe + b"say done\n").check(self._target)
        free = answer.one(b"free").strip()
        self._means = Means(frozenset(answer.all(b"has")), int(free) * 1024 if free.isdigit() else -1)
        if not self._means.lists:
            return
        wanted = {entry.name for entry in entries}
        tops = {name.partition(b"/")[0] for name in wanted}
        roots = [path(top) for top in sorted(tops)]
        if self._scan.cargo.content and len(roots) > MANY:
            roots = [b"."]
        for some in bundles(roots):
            for found in listed(self._shell, script(some, self._go)):
                if found.name in wanted:
                    self._there[found.name] = found
        parts = b"echo; find ./%s -name 's*' -prune -o -type f " % ROOM
        parts += b"-exec stat -c '@gpurent part %s %n' {} + 2>/dev/null\n"
        for said in self._shell.ask(WORDS + self._go + parts + b"say done\n", most=1 << 26).all(b"part"):
            size, _, name = said.partition(b" ")
            self._parts[split(name)[1]] = int(size) if size.isdigit() else 0

    # what is carried

    def _carry(self, entries: list[Entry]) -> None:
        self._folders([entry for entry in entries if entry.kind == FOLDER])
        files = [entry for entry in entries if entry.kind == FILE]
        have = {entry.name for entry in files if self._has(entry)}
        if self._whole:
            have = set(self._verified([entry for entry in files if entry.name in have]))
        needed = [entry for entry in files if entry.name not in have]
        self._room_for(needed)
        for entry in files:
            if entry.name in have:
                self.resumed += entry.size
                self._arrived(entry)
        for batch in self._batches(needed):
            self._send(batch)
        sender = Sender(self._shell, self._progress, self._go, self._means)
        for entry in needed:
            if entry.size >= BIG:
                why = sender.send(entry, self._part(entry))
                if why:
                    self._lose(entry.name, why)
        self.resumed += sender.resumed

    def _has(self, entry: Entry) -> bool:
        found = self._there.get(entry.name)
        return found is not None and found.same(entry.size, entry.time)

    def _arrived(self, entry: Entry) -> None:
        self._progress.advance(entry.size, text(entry.name))
        self._progress.file_done(text(entry.name))

    def _folders(self, folders: list[Entry]) -> None:
        fresh = [
            path(entry.name)
            for entry in folders
            if (found := self._there.get(entry.name)) is None or found.kind != FOLDER
        ]
        for some in bundles(fresh):
            self._ask(b"mkdir -p -- %s || fail\n" % b" ".join(some))

    def _ask(self, what: bytes) -> Answer:
        return self._shell.ask(PUT + self._go + what + b"say done\n").check(self._target)

    def _verified(self, entries: list[Entry]) -> Iterator[bytes]:
        """Those whose content is there as it is here."""
        names = {path(entry.name): entry for entry in entries}
        for some in bundles(names):
            loop = b'for f in %s; do say sum "$(sum <"$f")"; done\n' % b" ".join(some)
            sums = self._ask(loop).all(b"sum")
            for word, theirs in zip(some, sums, strict=False):
                if theirs == _digest(names[word], self._means.sha):
                    yield names[word].name

    def _room_for(self, needed: list[Entry]) -> None:
        waiting = sum(max(0, weight(entry) - self._part(entry)) for entry in needed)
        if waiting > self._means.free >= 0:
            raise TransferError(
                f"the machine has {self._means.free} bytes free, and {waiting} are to be sent",
                hint="Leave something out with .gpurentignore, or rent a larger disk.",
            )

    def _part(self, entry: Entry) -> int:
        return self._parts.get(part_of(entry.name, entry.size, entry.time), 0)

    def _batches(self, needed: list[Entry]) -> Iterator[Batch]:
        batch = Batch()
        for entry in needed:
            if entry.size < BIG:
                batch.add(entry, self._lose)
            if batch.full:
                yield batch
                batch = Batch()
        if batch.datas:
            yield batch

    def _lose(self, name: bytes, why: str) -> None:
        self._lost.append((name, why))

    def _send(self, batch: Batch) -> None:
        archive = batch.archive(b"gnu" in self._means.tools)
        pressed = press(archive) if self._means.presses(self._shell.rate) else None
        data = archive if pressed is None else pressed
        what = self._go + batch.script(len(data), pressed is not None, self._means.sha)
        for _ in range(3):
            answer = self._shell.ask(what, [data]).check(self._target)
            if b"bad" not in answer.words:
                break
        else:
            raise TransferError("files did not arrive as they are here", hint="Send again.")
        lost = self._told_lost(answer)
        for number, index, entry in batch.entries():
            why = lost.get((number, index)) or lost.get((number, -1))
            if why:
                self._lose(entry.name, why)
            else:
                self._arrived(entry)

    def _told_lost(self, answer: Answer) -> dict[tuple[int, int], str]:
        found = {}
        for said in answer.all(b"lost"):
            number, index, *why = said.split(b" ", 2)
            words = shown(b"".join(why).decode("utf-8", "replace"))
            found[int(number), -1 if index == b"all" else int(index)] = words or "refused"
        return found

    # the end

    def _finish(self, entries: list[Entry]) -> None:
        """Links, the modes of folders; what was the transfer's own goes."""
        links = [entry for entry in entries if entry.kind in (LINK, HARD)]
        lines = [_link(number, entry) for number, entry in enumerate(links)]
        for some in bundles(lines):
            for (number, _), why in self._told_lost(self._ask(b"".join(some))).items():
                self._lose(links[number].name, why)
        for entry in links:
            if entry.kind == HARD:
                self._arrived(entry)
        modes: dict[int, list[bytes]] = {}
        for entry in entries:
            found = self._there.get(entry.name)
            if entry.kind == FOLDER and (found is None or found.mode != entry.mode | stat.S_IRWXU):
                modes.setdefault(entry.mode | stat.S_IRWXU, []).append(path(entry.name))
        for mode, names in modes.items():
            for some in bundles(names):
                self._ask(b"chmod %o %s || fail\n" % (mode, b" ".join(some)))
        self._ask(b"rm -rf %s/s*; rmdir %s 2>/dev/null\n" % (ROOM, ROOM))


def _link(number: int, entry: Entry) -> bytes:
    above, base = split(entry.name)
    if entry.kind == LINK:
        return b"soft %d %s %s %s\n" % (number, inside(above), quoted(base), quoted(entry.link))
    return b"hard %d %s %s %s\n" % (number, inside(above), quoted(base), path(entry.link))


def _digest(entry: Entry, sha: bool) -> bytes:
    made = checksums.fresh(sha)
    try:
        with open(entry.path, "rb") as file:
            while data := file.read(1 << 20):
                made.update(data)
    except OSError:
        return b""
    return made.word()
