"""The far side of a push: takes what comes and puts it in its place.

Travels as source behind `wire`: Python 3.6, the standard library, no future annotations.
"""

import errno
import os
import stat
import struct
import sys
import zlib

from gpurent_plugin_turbo.crew import Crew
from gpurent_plugin_turbo.disk import failed, file_digest, lstat, same, write_at
from gpurent_plugin_turbo.wire import (
    FILE,
    FOLDER,
    LINK,
    PARTS,
    RAW,
    STEP,
    UNIT,
    Broken,
    Codec,
    Ended,
    Line,
    block_digests,
    block_size,
    digest,
    digester,
    rows,
    table,
    widen,
)

TYPE_CHECKING = False  # the real one costs the far side an import
if TYPE_CHECKING:
    from collections.abc import Sequence

    Row = tuple[int, int, int, int, bytes, bytes]

SEGMENT = struct.Struct(">33sQQ")  # partial, offset, size of the whole file
COMMIT = struct.Struct(">33sHQqB")  # partial, mode, size, time, kind of digest (0: none)
ACK = struct.Struct(">IB")  # number, what became of it
DONE, BAD_DIGEST, NO_LIBRARY = 0, 1, 2
HAVE, NEED, BASE = 0, 1, 2
FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Failure(Exception):
    """An end for all: an error number and the name that met it."""

    def __init__(self, number: int, name: bytes) -> None:
        Exception.__init__(self, number, name)
        self.number, self.name = number, name


class Receiver:
    """Below the target, which is its current folder."""

    def __init__(self, line: Line, whole: bool) -> None:
        self.line, self.whole, self.codec = line, whole, Codec()
        self.fresh: set[bytes] = set()  # folders that were made just now: nothing is in them
        self.folders: list[tuple[bytes, int]] = []
        self.links: list[tuple[int, bytes, bytes, int, int]] = []
        self.handles: dict[bytes, int] = {}
        self.count = 0
        self.room = False
        self.crew = Crew(self.help)

    def serve(self) -> None:
        doing = {
            ord("M"): self.manifest,
            ord("P"): self.pack,
            ord("S"): self.segment,
            ord("B"): self.base,
            ord("C"): self.commit,
            ord("F"): self.finish,
        }
        while True:
            try:
                kind, head, size = self.line.header()
            except Ended:
                return
            try:
                doing[kind](head, size)
            except OSError as error:
                raise Failure(error.errno or errno.EIO, os.fsencode(error.filename or b"")) from None

    # what there is

    def manifest(self, head: bytes, size: int) -> None:
        found, _ = rows(zlib.decompress(self.line.take(size)))
        states, digests = bytearray(len(found)), []
        for index, (kind, mode, length, time, name, link) in enumerate(found):
            if kind == FOLDER:
                self.folder(name, mode)
            elif kind == FILE:
                states[index] = self.state(name, length, time)
                if self.whole and states[index] == HAVE:
                    digests.append(self.whole_digest(name))
            else:
                self.links.append((kind, name, link, length, time))
        disk = os.statvfs(b".")
        self.say(
            "N",
            head + struct.pack(">QI", disk.f_bavail * disk.f_frsize, len(states)),
            zlib.compress(bytes(states) + b"".join(digests), 1),
        )

    def folder(self, name: bytes, mode: int) -> None:
        self.folders.append((name, mode))
        try:
            os.mkdir(name, 0o700)
            self.fresh.add(name)
        except FileExistsError:
            if not os.path.isdir(name):
                raise Failure(errno.ENOTDIR, name) from None

    def state(self, name: bytes, size: int, time: int) -> int:
        if name.rpartition(b"/")[0] in self.fresh:
            return NEED
        try:
            there = os.lstat(name)
        except FileNotFoundError:
            there = None
        if there is not None and same(there, size, time):
            return HAVE
        if size < block_size(size) * 4:
            return NEED
        part = there is None or not stat.S_ISREG(there.st_mode)
        return NEED if part and not self.has_part(name) else BASE

    def has_part(self, name: bytes) -> bool:
        start = digest(1, name)[:10].hex().encode()
        try:
            return any(entry.startswith(start) for entry in os.listdir(PARTS))
        except OSError:
            return False

    def whole_digest(self, name: bytes) -> bytes:
        try:
            with open(name, "rb") as file:
                return file_digest(file.fileno())
        except OSError:
            return bytes(16)

    # what comes

    def pack(self, head: bytes, size: int) -> None:
        body = self.line.borrow(size)
        if not self.crew.take(ord("P"), head, body):
            self.unpack(head, body)

    def help(self, line: Line) -> None:
        """A member of the crew: packs and nothing else, until there is no more."""
        self.line = line
        try:
            while True:
                _, head, size = line.header()
                self.unpack(head, line.borrow(size))
        except Failure as failure:
            self.fail(failure)

    def unpack(self, head: bytes, body: memoryview) -> None:
        number, codec, kind, length, expected = UNIT.unpack(head)
        status, data = DONE, memoryview(b"")
        lost: list[Row] = []
        try:
            data = memoryview(self.codec.unpack(codec, body, length))
            if digest(kind, data) != expected:
                status = BAD_DIGEST
        except LookupError:
            status = NO_LIBRARY
        except Broken:
            status = BAD_DIGEST
        if status == DONE:
            lost = self.small(*rows(data), data)
        self.ack(number, status, lost)

    def small(self, found: "list[Row]", at: int, data: memoryview) -> "list[Row]":
        """Whole files, one behind the other; the loop that counts most on this side."""
        self.make_room()
        lost = []
        start, count = PARTS + b"/t%d." % os.getpid(), self.count
        for _, mode, size, time, name, _ in found:
            count += 1
            part = start + b"%d" % count
            try:
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
                try:
                    done = os.write(handle, data[at : at + size])
                    while done < size:
                        done += os.write(handle, data[at + done : at + size])
                    os.utime(handle, ns=(time, time))
                finally:
                    os.close(handle)
                os.rename(part, name)
            except OSError as error:
                lost += self.lost(error, name, part)
            at += size
        self.count = count
        return lost

    def lost(self, error: OSError, name: bytes, part: bytes) -> "list[Row]":
        try:
            os.unlink(part)
        except OSError:
            pass
        if error.errno in FATAL:
            raise Failure(error.errno, name) from None
        return [failed(error.errno or errno.EIO, name)]

    def make_room(self) -> None:
        if not self.room:
            self.room = True
            try:
                os.mkdir(PARTS, 0o700)
            except FileExistsError:
                pass

    def handle(self, part: bytes, size: int) -> int:
        found = self.handles.get(part)
        if found is None:
            self.make_room()
            while len(self.handles) > 8:
                os.close(self.handles.pop(next(iter(self.handles))))
            found = os.open(PARTS + b"/" + part, os.O_RDWR | os.O_CREAT, 0o600)
            if os.fstat(found).st_size != size:
                os.ftruncate(found, size)
            self.handles[part] = found
        return found

    def segment(self, head: bytes, size: int) -> None:
        number, codec, kind, length, expected = UNIT.unpack(head[: UNIT.size])
        part, at, total = SEGMENT.unpack(head[UNIT.size :])
        handle = self.handle(part, total)
        if codec == RAW:
            good = self.stream(handle, at, size, kind) == expected
            self.ack(number, DONE if good else BAD_DIGEST)
            return
        body = self.line.borrow(size)
        try:
            data = memoryview(self.codec.unpack(codec, body, length))
        except LookupError:
            self.ack(number, NO_LIBRARY)
            return
        except Broken:
            self.ack(number, BAD_DIGEST)
            return
        write_at(handle, data, at)
        self.ack(number, DONE if digest(kind, data) == expected else BAD_DIGEST)

    def stream(self, handle: int, at: int, size: int, kind: int) -> bytes:
        """From the line to the disk in steps that fit a processor's cache."""
        made = digester(kind)
        while size:
            view = self.line.borrow(min(STEP, size))
            made.update(view)
            write_at(handle, view, at)
            at += len(view)
            size -= len(view)
        return bytes(made.digest())

    def base(self, head: bytes, size: int) -> None:
        """Digests of what there is of a file: of its partial, else of its older self, which becomes the partial."""
        number, length, part, kind = struct.unpack(">IQ33sB", head)
        name = bytes(self.line.take(size))
        found = b""
        try:
            if not os.path.exists(PARTS + b"/" + part):
                self.copy(name, part, length)
            found = block_digests(self.handle(part, length), length, kind)
        except OSError as error:
            if error.errno in FATAL:
                raise
        self.say("b", struct.pack(">I", number), found)

    def copy(self, name: bytes, part: bytes, length: int) -> None:
        with open(name, "rb") as old:
            new = self.handle(part, length)
            at, left = 0, min(length, os.fstat(old.fileno()).st_size)
            while left:
                data = old.read(min(left, 1 << 20))
                if not data:
                    return
                write_at(new, memoryview(data), at)
                at += len(data)
                left -= len(data)

    def commit(self, head: bytes, size: int) -> None:
        (number,) = struct.unpack(">I", head[:4])
        part, mode, length, time, kind = COMMIT.unpack(head[4 : 4 + COMMIT.size])
        expected, name = head[4 + COMMIT.size :][:16], bytes(self.line.take(size))
        handle = self.handle(part, length)
        if kind and file_digest(handle) != expected:
            os.close(self.handles.pop(part))
            os.unlink(PARTS + b"/" + part)
            self.ack(number, BAD_DIGEST)
            return
        try:
            os.fchmod(handle, mode)
            os.utime(handle, ns=(time, time))
            os.rename(PARTS + b"/" + part, name)
        except OSError as error:
            self.ack(number, DONE, [failed(error.errno or errno.EIO, name)])
            return
        os.close(self.handles.pop(part))
        for entry in os.listdir(PARTS):
            if entry.startswith(part[:20]) and entry != part:
                os.unlink(PARTS + b"/" + entry)
        self.ack(number, DONE)

    def ack(self, number: int, status: int, lost: "Sequence[Row]" = ()) -> None:
        self.say("A", ACK.pack(number, status), table(list(lost)) if lost else b"")

    def fail(self, failure: Failure) -> None:
        self.say("E", struct.pack(">I", failure.number), failure.name)

    def say(self, kind: str, head: bytes, body: bytes) -> None:
        with self.crew:
            self.line.send(ord(kind), head, body)

    # the end

    def finish(self, head: bytes, size: int) -> None:
        self.line.take(size)
        if not self.crew.dismiss():
            raise Failure(errno.EIO, b"")
        lost = []
        for kind, name, link, length, time in self.links:
            try:
                self.link(kind, name, link, length, time)
            except OSError as error:
                lost.append(failed(error.errno or errno.EIO, name))
        for name, mode in reversed(self.folders):
            if stat.S_IMODE(os.stat(name).st_mode) != mode | 0o700:
                os.chmod(name, mode | 0o700)
        for handle in self.handles.values():
            os.close(handle)
        self.handles = {}
        self.room = False
        try:
            os.rmdir(PARTS)
        except OSError:
            pass
        self.say("Z", b"", table(lost))

    def link(self, kind: int, name: bytes, link: bytes, length: int, time: int) -> None:
        there = lstat(name)
        if kind == LINK:
            if there is not None and stat.S_ISLNK(there.st_mode) and os.readlink(name) == link:
                return
        elif there is not None and same(there, length, time) and os.path.samestat(there, os.lstat(link)):
            return
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise OSError(errno.EISDIR, "", name)
        self.make_room()
        self.count += 1
        part = PARTS + b"/l%d.%d" % (os.getpid(), self.count)
        if kind == LINK:
            os.symlink(link, part)
        else:
            os.link(link, part, follow_symlinks=False)
        os.rename(part, name)


def take_push(target: bytes, whole: bool) -> None:
    """What the exec command calls."""
    line = Line(0, 1)
    widen(0)
    os.umask(0)
    try:
        os.makedirs(target, 0o755, exist_ok=True)
        os.chdir(target)
        line.send(ord("O"), sys.version.split()[0].encode())
        receiver = Receiver(line, whole)
        try:
            receiver.serve()
        except Failure as failure:
            receiver.fail(failure)
    except OSError as error:
        line.send(ord("E"), struct.pack(">I", error.errno or errno.EIO), target)
    except Ended:
        pass
