"""The near half of a pull: large files as they come, piece by piece, and files that do not stand still."""

from __future__ import annotations

import errno
import os
import struct

from gpurent_plugin_turbo.near.connection.stream_pool import Stream
from gpurent_plugin_turbo.near.pull.name_policy import LOST, Far, Job, Whole
from gpurent_plugin_turbo.near.pull.pull_scheduler import BIG, Asking
from gpurent_plugin_turbo.shared.errors import Broken
from gpurent_plugin_turbo.shared.files import block_digests, block_size, file_digest
from gpurent_plugin_turbo.shared.pull_frames import EXTENT, EXTENTS, NOW


class Arriving(Asking):
    """Takes the answers about large files."""

    def _job(self, stream: Stream, number: int) -> Job:
        with self._turn:
            job: Job | None = stream.unacked.pop(number, None)
            if job is None:
                raise Broken("an answer to nothing")
            stream.flight -= job.size
            stream.rate.acked(job.size, job.sent_at, not stream.unacked)
            return job

    def _once_more(self, far: Far, size: int, time: int) -> None:
        """It is another file by now: asked for once more as it is. Without a time: ``size`` is an error's number."""
        with self._turn:
            far.tries += 1
            if far.tries > 1 or not time:
                closed = not time and size in (errno.EACCES, errno.EPERM)
                why = "cannot be read there" if closed else "changed or vanished while it was read"
                self._lost.append((far.text, why))
                return
            self._judge.changed(far, size, time)
            (self._small if size < BIG else self._large).append(far)

    def _changed(self, stream: Stream, head: bytes, now: bytes) -> None:
        job = self._job(stream, struct.unpack(">I", head)[0])
        if job.whole is None:
            raise Broken("an answer to nothing")
        whole = job.whole
        with self._turn:
            whole.owed -= 1
            if not whole.lost:
                whole.digest = LOST
                whole.ranges.clear()
                self._shelf.drop(whole.part)
                self._once_more(whole.far, *NOW.unpack(now))

    def _blocks(self, stream: Stream, head: bytes, theirs: bytes) -> None:
        number, kind = struct.unpack(">IB", head)
        job = self._job(stream, number)
        whole = job.whole
        if whole is None:
            raise Broken("an answer to nothing")
        size, step = whole.far.size, block_size(whole.far.size)
        self._patience.grant(size)
        mine = block_digests(whole.handle, size, kind)
        kept = 0
        ranges: list[tuple[int, int]] = []
        for index, at in enumerate(range(0, size, step)):
            length = min(step, size - at)
            if mine[index * 16 : index * 16 + 16] == theirs[index * 16 : index * 16 + 16]:
                kept += length
            elif ranges and sum(ranges[-1]) == at:
                ranges[-1] = (ranges[-1][0], ranges[-1][1] + length)
            else:
                ranges.append((at, length))
        with self._turn:
            self.resumed += kept
            self._progress.advance(kept, whole.far.text)
            whole.ranges = list(reversed(ranges))
            if ranges and whole not in self._wholes:
                self._wholes.append(whole)
        self._came(whole)

    def _holes(self, stream: Stream, head: bytes, body: bytes) -> None:
        whole = self._job(stream, struct.unpack(">I", head)[0]).whole
        if whole is None or len(body) > EXTENT.size * (EXTENTS + 1):
            raise Broken("an answer to nothing")
        data = list(EXTENT.iter_unpack(body))
        at = 0
        for start, length in data:
            if start < at or not length:
                raise Broken("data that overlaps")
            at = start + length
        if at > whole.far.size:
            raise Broken("data behind the end")
        with self._turn:
            self._progress.advance(whole.far.size - sum(length for _, length in data), whole.far.text)
            whole.ranges = data[::-1]
            if data and whole not in self._wholes:
                self._wholes.append(whole)
        self._came(whole)

    def _came(self, whole: Whole) -> None:
        """One answer less is owed; the last one settles the file."""
        with self._turn:
            whole.owed -= 1
            if whole.owed or whole.ranges or whole.digest:
                return
            if self._whole:
                whole.digest = b"asked"
                self._verify.append(whole)
                return
            whole.digest = b"done"
        self._complete(whole)

    def _verified(self, stream: Stream, head: bytes, theirs: bytes) -> None:
        whole = self._job(stream, struct.unpack(">I", head)[0]).whole
        if whole is None:
            raise Broken("an answer to nothing")
        self._patience.grant(whole.far.size)
        if file_digest(whole.handle) != theirs:
            self._shelf.drop(whole.part)
            with self._turn:
                self._lost.append((whole.far.text, "did not arrive as it is there"))
            return
        self._complete(whole)

    def _complete(self, whole: Whole) -> None:
        far = whole.far
        self._shelf.settle(far.name, whole.part, whole.handle, far.mode, far.time)
        with self._turn:
            self._open.discard(whole.handle)
        os.close(whole.handle)
        self._progress.file_done(far.text)
