"""What `find`, `stat` and `readlink` of the machine say there is. They may lie."""

from __future__ import annotations

import stat
from collections.abc import Generator, Iterator

from attrs import frozen

from gpurent.api import TransferError
from gpurent_plugin_turbo.posix.scripts import LIST, bundles, path
from gpurent_plugin_turbo.posix.shell import Shell, Talk
from gpurent_plugin_turbo.shared.errors import Broken
from gpurent_plugin_turbo.shared.pull_frames import MISSING, OTHER, UNREADABLE
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER, LINK

LONGEST = 1 << 16  # bytes of one record
MOST = 1 << 28  # bytes of a whole listing
KINDS = {stat.S_IFREG: FILE, stat.S_IFDIR: FOLDER, stat.S_IFLNK: LINK}
SECOND = 10**9
LINKS = 500  # in one question: no answer becomes too long
ENTRY = b"|./"


@frozen
class Found:
    """``name`` below the folder that was listed; ``time`` in ns."""

    kind: int
    mode: int
    size: int
    time: int
    name: bytes

    def same(self, size: int, time: int) -> bool:
        """As `disk.same` has it: a time in whole seconds was set by a tool that knows no finer ones."""
        if self.kind != FILE or self.size != size:
            return False
        return self.time == time or (self.time % SECOND == 0 and self.time // SECOND == time // SECOND)


def script(roots: list[bytes], before: bytes = b"", *, shut: bool = False) -> bytes:
    """Lists below ``roots`` (words of the shell, relative), after what comes ``before``.

    ``shut``: also tells of folders that cannot be looked into.
    """
    names = b" ".join(roots)
    lists = b"list %s\n%s" % (names, b"shut %s\n" % names if shut else b"")
    return b"%s%s\nsay list\n%sprintf '//end\\n'\nsay done\n" % (LIST, before, lists)


def listed(shell: Shell, what: bytes) -> Generator[Found, None, None]:
    """What such a script says. Memory stays with who keeps it."""
    with shell.talk(what) as talk:
        talk.until(b"list")
        for record in _records(talk):
            found = _found(record)
            if found is not None:
                yield found
        talk.rest()


def states(text: bytes) -> dict[bytes, Found]:
    """What ``state`` printed among other lines, by name; the last word counts. Of names without line breaks."""
    found = (_found(line[2:]) for line in text.split(b"\n") if line.startswith(b"//"))
    return {one.name: one for one in found if one is not None}


def as_now(shell: Shell, go: bytes, names: list[bytes]) -> dict[bytes, Found]:
    """What has become of files; those that are gone are not in it."""
    found: dict[bytes, Found] = {}
    for some in bundles(map(path, names)):
        what = b'set -- %s\nstate "$@"\n' % b" ".join(some)
        what += b'for f; do [ ! -e "$f" ] || [ -r "$f" ] || printf \'//shut|%s\\n\' "$f"; done\n'
        found |= states(shell.ask(LIST + go + what + b"say done\n").text)
    return found


def pointed(shell: Shell, go: bytes, names: list[bytes]) -> Iterator[bytes | None]:
    """What links point to, in order; None where the machine does not say. One with a line break is nothing but that."""
    for some in bundles(map(path, names), LINKS):
        answer = shell.ask(LIST + go + b"points %s\nsay done\n" % b" ".join(some))
        told: dict[int, bytes] = {int(number): b"\n" for number in answer.all(b"odd")}
        for said in answer.all(b"link"):
            number, _, target = said.partition(b" ")
            told[int(number)] = target
        yield from map(told.get, range(len(some)))


def _records(talk: Talk) -> Iterator[bytes]:
    held, size = b"\n", 0
    while True:
        data = talk.some()
        if not data:
            talk.check()
            raise Broken("a listing without an end")
        size += len(data)
        if size > MOST:
            raise TransferError("the machine lists more than this computer takes")
        *whole, held = (held + data).split(b"\n//")
        for record in whole:
            if record:
                yield record
        if held.startswith(b"end\n"):
            talk._held = held[3:]
            return
        if len(held) > LONGEST:
            raise Broken("a name without an end")


def _found(record: bytes) -> Found | None:
    about, _, name = record.partition(ENTRY)
    if not name:
        return None  # the folder itself
    if about in (b"shut", b"gone"):
        return Found(UNREADABLE if about == b"shut" else MISSING, 0, 0, 0, name)
    mode, size, seconds, *when = about.split()
    fraction = when[1].partition(b".")[2] if len(when) > 1 else b""
    kind, bits = stat.S_IFMT(int(mode, 16)), stat.S_IMODE(int(mode, 16))
    time = int(seconds) * SECOND + int(fraction[:9].ljust(9, b"0") or 0)
    if not 0 <= int(size) < 1 << 63 or not -(1 << 62) < time < 1 << 62:
        raise Broken("a size or a time that is none")
    return Found(KINDS.get(kind, OTHER), bits, int(size), time, name)
