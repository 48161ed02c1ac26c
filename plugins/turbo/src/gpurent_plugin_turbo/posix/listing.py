"""Output of the machine's `find`, `stat` and `readlink`, which is not trusted."""

from __future__ import annotations

import stat
import time
from collections.abc import Generator, Iterator

from attrs import frozen

from gpurent.api import TransferError
from gpurent_plugin_turbo import _
from gpurent_plugin_turbo.posix.scripts import LIST_FUNCTIONS, batch_words, quote_path
from gpurent_plugin_turbo.posix.shell import PosixShell, ScriptOutput
from gpurent_plugin_turbo.shared.files import is_same_time
from gpurent_plugin_turbo.shared.wire import (
    FILE,
    FOLDER,
    LINK,
    MAX_TIME,
    MIN_TIME,
    MISSING,
    OTHER,
    UNREADABLE,
    ProtocolViolation,
)

MAX_RECORD_BYTES = 1 << 16  # bytes per record
MAX_LISTING_BYTES = 1 << 28  # bytes per listing
KIND_BY_FORMAT = {stat.S_IFREG: FILE, stat.S_IFDIR: FOLDER, stat.S_IFLNK: LINK}
NS_PER_SECOND = 10**9
MAX_LINKS = 500  # per script, so that no answer becomes too long
NAME_MARK = b"|./"


@frozen
class ListedEntry:
    """An entry; ``name`` below the folder that was listed, ``time`` in ns."""

    kind: int
    mode: int
    size: int
    time: int
    name: bytes

    def has_state(self, size: int, time: int) -> bool:
        return self.kind == FILE and self.size == size and is_same_time(self.time, time)


def make_list_script(roots: list[bytes], enter_script: bytes = b"", *, unreadable: bool = False) -> bytes:
    """Return a script that runs ``enter_script``, then lists below ``roots`` (relative, quoted as shell words).

    ``unreadable``: also report folders that cannot be read.
    """
    names = b" ".join(roots)
    lists = b"print_tree %s\n%s" % (names, b"print_unreadable %s\n" % names if unreadable else b"")
    return b"%s%s\nsay list\n%sprintf '//end\\n'\n" % (LIST_FUNCTIONS, enter_script, lists)


def iter_listing(shell: PosixShell, script: bytes) -> Generator[ListedEntry, None, None]:
    """Yield what a script of `make_list_script` lists, without storing it."""
    with shell.open_script(script) as output:
        output.read_until(b"list")
        for record in _iter_records(output):
            entry = _parse_record(record)
            if entry is not None:
                yield entry
        output.read_rest()


def parse_states(text: bytes) -> dict[bytes, ListedEntry]:
    """Return the output of ``print_states`` by name, from among other lines; the last line of a name counts.

    Names that contain line breaks are not supported.
    """
    found = (_parse_record(line[2:]) for line in text.split(b"\n") if line.startswith(b"//"))
    return {entry.name: entry for entry in found if entry is not None}


def read_states(shell: PosixShell, enter_script: bytes, names: list[bytes]) -> dict[bytes, ListedEntry]:
    """Return the current state of the files that still exist; ``enter_script`` changes to their folder."""
    found: dict[bytes, ListedEntry] = {}
    for words in batch_words(map(quote_path, names)):
        script = b'set -- %s\nprint_states "$@"\n' % b" ".join(words)
        script += b'for f; do [ ! -e "$f" ] || [ -r "$f" ] || printf \'//unreadable|%s\\n\' "$f"; done\n'
        found |= parse_states(shell.run_script(LIST_FUNCTIONS + enter_script + script).text)
    return found


def read_links(shell: PosixShell, enter_script: bytes, names: list[bytes]) -> Iterator[bytes | None]:
    """Yield the targets of links in order; None if the machine does not report one.

    A target that contains a line break is reported as a single line break.
    """
    for words in batch_words(map(quote_path, names), MAX_LINKS):
        answer = shell.run_script(LIST_FUNCTIONS + enter_script + b"print_links %s\n" % b" ".join(words))
        targets: dict[int, bytes] = {int(number): b"\n" for number in answer.find_all(b"odd")}
        for line in answer.find_all(b"link"):
            number, _space, target = line.partition(b" ")
            targets[int(number)] = target
        yield from map(targets.get, range(len(words)))


def _iter_records(output: ScriptOutput) -> Iterator[bytes]:
    held, size = b"\n", 0
    while True:
        data = output.read_some()
        if not data:
            output.raise_if_cut()
            raise ProtocolViolation("an unterminated listing")
        size += len(data)
        if size > MAX_LISTING_BYTES:
            raise TransferError(
                _("the machine lists more names than fit in memory"),
                hint=_("Download less: name individual folders or files."),
            )
        *whole, held = (held + data).split(b"\n//")
        for record in whole:
            if record:
                yield record
        if held.startswith(b"end\n"):
            output.unread(held[3:])
            return
        if len(held) > MAX_RECORD_BYTES:
            raise ProtocolViolation("an unterminated name")


def _parse_record(record: bytes) -> ListedEntry | None:
    about, _mark, name = record.partition(NAME_MARK)
    if not name:
        return None  # the folder itself
    if about in (b"unreadable", b"missing"):
        return ListedEntry(UNREADABLE if about == b"unreadable" else MISSING, 0, 0, 0, name)
    mode, size, seconds, *when = about.split()
    fraction = when[1].partition(b".")[2] if len(when) > 1 else b""
    kind, bits = stat.S_IFMT(int(mode, 16)), stat.S_IMODE(int(mode, 16))
    stamp = int(seconds) * NS_PER_SECOND + int(fraction[:9].ljust(9, b"0") or 0)
    if not 0 <= int(size) < 1 << 63:
        raise ProtocolViolation("an invalid size")
    stamp = min(max(stamp, MIN_TIME), MAX_TIME)
    return ListedEntry(KIND_BY_FORMAT.get(kind, OTHER), bits, int(size), stamp, name)


def make_touch_times(stamp: int) -> bytes:
    """Return a time in ns for `touch`: as seconds with a fraction, and in the form that every version accepts."""
    seconds, fraction = divmod(abs(stamp), NS_PER_SECOND)
    sign = b"-" if stamp < 0 else b""
    date = time.strftime("%Y%m%d%H%M.%S", time.gmtime(stamp // NS_PER_SECOND))
    return b"%s%d.%09d %s" % (sign, seconds, fraction, date.encode())
