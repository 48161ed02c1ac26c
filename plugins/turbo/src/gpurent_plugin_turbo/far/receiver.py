"""The far side of a push: takes what comes and puts it in its place.

Travels as source behind `wire`: Python 3.6, the standard library, no future annotations.
"""

import errno
import os
import stat
import struct
import sys
import zlib

from gpurent_plugin_turbo.far.disk import failed, lstat
from gpurent_plugin_turbo.far.partials import FATAL, Failure, Partials
from gpurent_plugin_turbo.far.workers import Crew
from gpurent_plugin_turbo.shared.codec import compute_digest
from gpurent_plugin_turbo.shared.errors import Broken, Ended
from gpurent_plugin_turbo.shared.files import block_size, file_digest, same
from gpurent_plugin_turbo.shared.push_frames import BAD_DIGEST, BASE, DONE, HAVE, MANIFEST, NEED, NO_LIBRARY
from gpurent_plugin_turbo.shared.wire import FILE, FOLDER, LINK, PARTS, STEP, UNIT, Line, rows, table, widen

TYPE_CHECKING = False  # the real one costs the far side an import
if TYPE_CHECKING:
    Row = tuple[int, int, int, int, bytes, bytes]

BEHIND = 3 << 14  # bytes of a pack that wait already when its turn comes: it came while we were busy


class Receiver(Partials):
    """Below the target, which is its current folder."""

    def __init__(self, line: Line, whole: bool) -> None:
        Partials.__init__(self, line, Crew(self.help))
        self.whole = whole
        self.fresh: set[bytes] = set()  # folders that were made just now: nothing is in them
        self.folders: list[tuple[bytes, int]] = []
        self.links: list[tuple[int, bytes, bytes, int, int]] = []
        self.count = 0
        self.too_much = False

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
                if self.too_much and kind in (ord("P"), ord("S")):
                    self.drop(size)
                else:
                    doing[kind](head, size)
            except OSError as error:
                raise Failure(error.errno or errno.EIO, os.fsencode(error.filename or b"")) from None

    def drop(self, size: int) -> None:
        while size:
            size -= len(self.line.borrow(min(STEP, size)))

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
        free = disk.f_bavail * disk.f_frsize
        self.too_much = MANIFEST.unpack(head)[1] > free  # the near side sees it as well, and ends
        self.say(
            "N",
            head[:4] + struct.pack(">QI", free, len(states)),
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
        start = compute_digest(1, name)[:10].hex().encode()
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
        behind = self.line.waiting() >= BEHIND
        body = self.line.borrow(size)
        if not (behind and self.crew.take(ord("P"), head, body)):
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
            if compute_digest(kind, data) != expected:
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
                handle = self.opened(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
                try:
                    done = os.write(handle, data[at : at + size])
                    while done < size:
                        done += os.write(handle, data[at + done : at + size])
                    os.utime(handle, ns=(time, time))
                finally:
                    os.close(handle)
                try:
                    os.rename(part, name)
                except FileNotFoundError:  # it overtook the listing, which comes by another line
                    os.makedirs(os.path.dirname(name), 0o700, exist_ok=True)
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
