"""The remote side of a push: receives files and puts them in place."""

import errno
import os
import stat
import struct
import zlib

from gpurent_plugin_turbo.far.partials import FATAL_ERRORS, FatalDiskError, PartialFiles
from gpurent_plugin_turbo.far.workers import WorkerPool
from gpurent_plugin_turbo.shared.annotations import TableRow
from gpurent_plugin_turbo.shared.codec import compute_digest
from gpurent_plugin_turbo.shared.files import block_size, digest_path, has_same_state, make_folders
from gpurent_plugin_turbo.shared.wire import (
    BAD_DIGEST,
    COMPARE,
    DONE,
    FILE,
    FOLDER,
    FOREIGN_FOLDER,
    HAVE,
    IO_SIZE,
    LINK,
    MANIFEST,
    NEED,
    NO_LIBRARY,
    PARTIALS_DIR,
    UNIT_HEADER,
    ConnectionEnded,
    FrameKind,
    FrameStream,
    ProtocolViolation,
    decode_table,
    encode_table,
    enlarge_pipe,
    make_error_row,
)

PENDING_PACK_BYTES = 3 << 14  # if this much of a pack is already pending, it arrived while we were busy


class PushReceiver(PartialFiles):
    """Receives a push; its current folder is the target."""

    def __init__(self, frames: FrameStream, full_verify: bool) -> None:
        PartialFiles.__init__(self, frames, WorkerPool(self.serve_worker))
        self.full_verify = full_verify
        self.new_folders: set[bytes] = set()  # just created, so they are empty
        self.folders: list[tuple[bytes, int]] = []
        self.links: list[tuple[int, bytes, bytes, int, int]] = []
        self.temp_count = 0
        self.disk_too_small = False

    def serve_frames(self) -> None:
        handlers = {
            FrameKind.MANIFEST: self.handle_manifest,
            FrameKind.PACK: self.handle_pack,
            FrameKind.PIECE: self.handle_piece,
            FrameKind.BLOCK_DIGESTS_REQUEST: self.handle_block_digests_request,
            FrameKind.COMMIT: self.handle_commit,
            FrameKind.FINISH: self.handle_finish,
        }
        while True:
            try:
                kind, head, size = self.frames.read_header()
            except ConnectionEnded:
                return
            try:
                if self.disk_too_small and kind in (FrameKind.PACK, FrameKind.PIECE):
                    while size:
                        size -= len(self.frames.read_to_buffer(min(IO_SIZE, size)))
                else:
                    handlers[kind](head, size)
            except OSError as error:
                raise FatalDiskError(error.errno or errno.EIO, os.fsencode(error.filename or b"")) from None

    # manifest

    def handle_manifest(self, head: bytes, size: int) -> None:
        found, _ = decode_table(zlib.decompress(self.frames.read(size)))
        states, digests = bytearray(len(found)), []
        for index, (kind, mode, length, time, name, link) in enumerate(found):
            if kind == FOLDER:
                self.make_folder(name, mode)
            elif kind == FILE:
                states[index] = self.compare_file(name, length, time)
                if self.full_verify and states[index] == HAVE:
                    digests.append(digest_path(name) or bytes(16))
            else:
                self.links.append((kind, name, link, length, time))
        disk = os.statvfs(b".")
        free = disk.f_bavail * disk.f_frsize
        self.disk_too_small = MANIFEST.unpack(head)[1] > free  # the local side sees it too and stops
        self.send_locked(
            FrameKind.MANIFEST_ANSWER,
            head[:4] + struct.pack(">QI", free, len(states)),
            zlib.compress(bytes(states) + b"".join(digests), 1),
        )

    def make_folder(self, name: bytes, mode: int) -> None:
        self.folders.append((name, mode))
        try:
            os.mkdir(name, 0o700)
            self.new_folders.add(name)
        except FileExistsError:
            if not os.path.isdir(name):
                raise FatalDiskError(errno.ENOTDIR, name) from None

    def compare_file(self, name: bytes, size: int, time: int) -> int:
        if name.rpartition(b"/")[0] in self.new_folders:
            return NEED
        there = lstat_or_none(name)
        if there is not None and has_same_state(there, size, time):
            return HAVE
        if size < block_size(size) * 4:
            return NEED
        new = there is None or not stat.S_ISREG(there.st_mode)
        return NEED if new and not self.has_partial(name) else COMPARE

    def has_partial(self, name: bytes) -> bool:
        start = compute_digest(1, name)[:10].hex().encode()
        try:
            return any(entry.startswith(start) for entry in os.listdir(PARTIALS_DIR))
        except OSError:
            return False

    # packs

    def handle_pack(self, head: bytes, size: int) -> None:
        waiting = self.frames.count_pending() >= PENDING_PACK_BYTES
        body = self.frames.read_to_buffer(size)
        if not (waiting and self.pool.assign_frame(FrameKind.PACK, head, body)):
            self.write_pack(head, body)

    def serve_worker(self, frames: FrameStream) -> None:
        """Write packs until the input ends; runs in a process of its own."""
        self.frames = frames
        try:
            while True:
                _, head, size = frames.read_header()
                self.write_pack(head, frames.read_to_buffer(size))
        except FatalDiskError as failure:
            self.send_failure(failure)

    def write_pack(self, head: bytes, body: memoryview) -> None:
        number, codec, kind, length, expected = UNIT_HEADER.unpack(head)
        status, data = DONE, memoryview(b"")
        failures: list[TableRow] = []
        try:
            data = memoryview(self.codec.decompress(codec, body, length))
            if compute_digest(kind, data) != expected:
                status = BAD_DIGEST
        except LookupError:
            status = NO_LIBRARY
        except ProtocolViolation:
            status = BAD_DIGEST
        if status == DONE:
            failures = self.write_small_files(*decode_table(data), data)
        self.send_ack(number, status, failures)

    def write_small_files(self, found: "list[TableRow]", at: int, data: memoryview) -> "list[TableRow]":
        """Write whole files one after the other; this loop takes most of the time on this side."""
        self.make_partials_folder()
        failures = []
        start, count = PARTIALS_DIR + b"/t%d." % os.getpid(), self.temp_count
        for _, mode, size, time, name, _ in found:
            count += 1
            part = start + b"%d" % count
            try:
                handle = self.open_in_folder(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
                try:
                    done = os.write(handle, data[at : at + size])
                    while done < size:
                        done += os.write(handle, data[at + done : at + size])
                    os.utime(handle, ns=(time, time))
                finally:
                    os.close(handle)
                try:
                    os.rename(part, name)
                except FileNotFoundError:  # its folder comes over another stream and has not arrived yet
                    make_folders(os.path.dirname(name))
                    os.rename(part, name)
            except OSError as error:
                failures += self.discard_failed_file(error, name, part)
            at += size
        self.temp_count = count
        return failures

    def discard_failed_file(self, error: OSError, name: bytes, part: bytes) -> "list[TableRow]":
        try:
            os.unlink(part)
        except OSError:
            pass
        if error.errno in FATAL_ERRORS:
            raise FatalDiskError(error.errno, name) from None
        return [make_error_row(error.errno or errno.EIO, name)]

    # end of the push

    def handle_finish(self, head: bytes, size: int) -> None:
        self.frames.read(size)
        if not self.pool.finish_workers():
            raise FatalDiskError(errno.EIO, b"")
        failures = []
        for kind, name, link, length, time in self.links:
            try:
                self.make_link(kind, name, link, length, time)
            except OSError as error:
                failures.append(make_error_row(error.errno or errno.EIO, name))
        for name, mode in reversed(self.folders):
            if stat.S_IMODE(os.stat(name).st_mode) != mode | 0o700:
                os.chmod(name, mode | 0o700)
        for handle in self.open_files.values():
            os.close(handle)
        self.open_files = {}
        self.has_folder = False
        try:
            os.rmdir(PARTIALS_DIR)
        except OSError:
            pass
        self.send_locked(FrameKind.FINISHED, b"", encode_table(failures))

    def make_link(self, kind: int, name: bytes, link: bytes, length: int, time: int) -> None:
        there = lstat_or_none(name)
        if there is not None:
            if kind == LINK:
                same = stat.S_ISLNK(there.st_mode) and os.readlink(name) == link
            else:
                same = has_same_state(there, length, time) and os.path.samestat(there, os.lstat(link))
            if same:
                return
            if stat.S_ISDIR(there.st_mode):
                raise OSError(errno.EISDIR, "", name)
        self.make_partials_folder()
        self.temp_count += 1
        part = PARTIALS_DIR + b"/l%d.%d" % (os.getpid(), self.temp_count)
        if kind == LINK:
            os.symlink(link, part)
        else:
            os.link(link, part, follow_symlinks=False)
        os.rename(part, name)


def lstat_or_none(name: bytes) -> "os.stat_result | None":
    try:
        return os.lstat(name)
    except FileNotFoundError:
        return None


def secure_folder(folder: bytes) -> None:
    """Make a folder of gpurent for its user alone, or mend it; `FOREIGN_FOLDER` if it is another user's or a link."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            raise OSError(FOREIGN_FOLDER, "") from None
        found = os.fstat(handle)
        if found.st_uid != os.geteuid():
            raise OSError(FOREIGN_FOLDER, "") from None
        if found.st_mode & 0o077:
            os.fchmod(handle, 0o700)
        os.close(handle)


def serve_push(target: bytes, own: "list[bytes]", full_verify: bool) -> None:
    frames = FrameStream(0, 1)
    enlarge_pipe(0)
    os.umask(0)  # modes are those of the local files
    folder = target
    try:
        for folder in own:
            secure_folder(folder)
        make_folders(target)
        os.chdir(target)
        frames.send_hello()
        receiver = PushReceiver(frames, full_verify)
        try:
            receiver.serve_frames()
        except FatalDiskError as failure:
            receiver.send_failure(failure)
    except OSError as error:
        frames.send_frame(FrameKind.ERROR, struct.pack(">I", error.errno or errno.EIO), folder)
    except ConnectionEnded:
        pass
