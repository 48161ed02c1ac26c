"""Small files that travel as one archive of `tar`: read whole, so that what is sent is one state of each."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from collections.abc import Callable, Iterator

from attrs import define, field, frozen

from gpurent_plugin_turbo.near.connection.rate_control import MIB
from gpurent_plugin_turbo.near.push.push_units import OPEN, WORTH
from gpurent_plugin_turbo.near.push.scan import Entry
from gpurent_plugin_turbo.posix import checksums
from gpurent_plugin_turbo.posix.listing import SECOND
from gpurent_plugin_turbo.posix.scripts import LONG, PUT, ROOM, inside, quoted, split

BIG = MIB  # from here a file is sent on its own
SIZE = 8 * MIB
FILES = 2000
SHORT = 90  # bytes of a name that the oldest archive holds
LATEST = 0o77777777777
QUICK = 40e6  # bytes a second from which pressing takes longer than carrying
Lost = Callable[[bytes, str], None]


@frozen
class Means:
    """What the machine has, as `plain_sh.PROBE` said it."""

    tools: frozenset[bytes]
    free: int = -1  # bytes; unknown below 0

    @property
    def sha(self) -> bool:
        return b"sha256sum" in self.tools

    @property
    def lists(self) -> bool:
        """Whether its `find` and its `stat` can say what there is."""
        return b"lists" in self.tools

    def presses(self, rate: float) -> bool:
        """Whether a line of ``rate`` bytes a second is worth the pressing."""
        return b"gzip" in self.tools and rate < QUICK


@define
class Batch:
    """Files by the folder that they go to."""

    folders: dict[bytes, list[Entry]] = field(factory=dict)
    datas: dict[bytes, tuple[bytes, os.stat_result]] = field(factory=dict)
    size: int = 0
    length: int = 0

    @property
    def full(self) -> bool:
        return self.size >= SIZE or len(self.datas) >= FILES or self.length >= LONG

    def add(self, entry: Entry, lost: Lost) -> None:
        """Take it as it is now; what cannot be read is told to ``lost``."""
        read = _read(entry, lost)
        if read is None:
            return
        self.datas[entry.name] = read
        self.folders.setdefault(split(entry.name)[0], []).append(entry)
        self.size += len(read[0])
        self.length += len(entry.name) + 16

    def entries(self) -> Iterator[tuple[int, int, Entry]]:
        """Each with the number of its folder and its own in there."""
        for number, entries in enumerate(self.folders.values()):
            for index, entry in enumerate(entries):
                yield number, index, entry

    def archive(self, gnu: bool) -> bytes:
        made = bytearray()
        for number, index, entry in self.entries():
            data, status = self.datas[entry.name]
            made += _header(_place(number, index, entry), status, gnu)
            made += data + bytes(-len(data) % 512)
        return bytes(made + bytes(1024))

    def script(self, size: int, pressed: bool, sha: bool) -> bytes:
        """Unpacks it in the room, checks what lies there then, puts it in its places."""
        digest = checksums.of_data(sha, *(self.datas[entry.name][0] for _, _, entry in self.entries()))
        lines = [PUT, b'trap \'rm -rf "$S"\' EXIT; trap "exit 1" HUP INT TERM PIPE\nmkdir -p "$S" || fail\n']
        unpack = b"gzip -dc | " if pressed else b""
        lines.append(b'head -c %d | %star -xpof - -C "$S" || fail\n' % (size, unpack))
        words = [_word(_place(number, index, entry)) for number, index, entry in self.entries()]
        lines.append(b'[ "$(cat %s | sum)" = %s ] || { say bad; end; }\n' % (b" ".join(words), digest))
        for number, index, entry in self.entries():
            lines += self._own(number, index, entry)
        for number, (name, entries) in enumerate(self.folders.items()):
            places = b" ".join(_word(_final(number, entry)) for entry in entries)
            lines.append(b"into %d %s %s\n" % (number, inside(name), places))
        return b"".join(lines) + b"say done\n"

    def _own(self, number: int, index: int, entry: Entry) -> Iterator[bytes]:
        """What the archive could not hold: a long name, a mode with which nobody could have read it."""
        final = _word(_final(number, entry))
        mode = stat.S_IMODE(self.datas[entry.name][1].st_mode)
        if _place(number, index, entry) != _final(number, entry):
            yield b'mkdir -p "$S"/%d && mv -f %s %s\n' % (number, _word(_place(number, index, entry)), final)
        if not mode & 0o400:
            yield b"chmod %o %s\n" % (mode, final)


def room(token: bytes) -> bytes:
    """The line that names a script's own folder, which goes with it."""
    return b"S=%s/s%s\n" % (ROOM, token)


def weight(entry: Entry) -> int:
    """Bytes that a file takes on a disk: holes take none."""
    if entry.size < BIG:
        return entry.size
    try:
        return min(entry.size, os.lstat(entry.path).st_blocks * 512)
    except OSError:
        return entry.size


def press(archive: bytes) -> bytes | None:
    """The same in less; None: it is not worth it."""
    sample = archive[: 64 << 10]
    if len(gzip.compress(sample, 1)) > len(sample) * WORTH:
        return None
    return gzip.compress(archive, 1)


def _word(place: bytes) -> bytes:
    return b'"$S"/' + quoted(place)


def _final(number: int, entry: Entry) -> bytes:
    return b"%d/%s" % (number, split(entry.name)[1])


def _place(number: int, index: int, entry: Entry) -> bytes:
    """Its name in the archive."""
    return _final(number, entry) if len(split(entry.name)[1]) <= SHORT else b"%d.long/%d" % (number, index)


def _read(entry: Entry, lost: Lost) -> tuple[bytes, os.stat_result] | None:
    """Its bytes and its state, which stayed one while it was read."""
    for _ in range(3):
        try:
            handle = os.open(entry.path, OPEN | os.O_NONBLOCK)
        except OSError as error:
            lost(entry.name, f"vanished while it was read: {error.strerror}")
            return None
        with os.fdopen(handle, "rb") as file:
            before = os.fstat(handle)
            if not stat.S_ISREG(before.st_mode) or before.st_size > SIZE:
                break
            data = file.read(before.st_size + 1)
            after = os.fstat(handle)
        if len(data) == before.st_size and before.st_mtime_ns == after.st_mtime_ns:
            return data, before
    lost(entry.name, "changed while it was read")
    return None


def _header(name: bytes, status: os.stat_result, gnu: bool) -> bytes:
    info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
    info.size, info.mode = status.st_size, stat.S_IMODE(status.st_mode) | 0o400
    info.mtime = min(max(status.st_mtime_ns // SECOND, 0), LATEST)
    made = info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    return _finer(status.st_mtime_ns) + made if gnu and status.st_mtime_ns > 0 else made


def _finer(time: int) -> bytes:
    """A record of the time to the nanosecond, before the header."""
    value = b" mtime=%d.%09d\n" % (time // SECOND, time % SECOND)
    size = len(value) + 2
    if len(b"%d" % size) > 2:
        size += 1
    record = b"%d%s" % (size, value)
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(record)
    return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict") + record + bytes(-len(record) % 512)
