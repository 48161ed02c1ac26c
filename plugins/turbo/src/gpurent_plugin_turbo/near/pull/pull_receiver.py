"""The answers about large files: they come piece by piece, and files change while they are read."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable

from gpurent_plugin_turbo.near.block_diff import compare_blocks
from gpurent_plugin_turbo.near.connection.stream_pool import Stream
from gpurent_plugin_turbo.near.pull.pull_items import (
    CHANGED_THERE,
    UNREADABLE_THERE,
    DownloadState,
    LargeDownload,
    PendingRequest,
    RemoteFile,
)
from gpurent_plugin_turbo.near.pull.pull_scheduler import LARGE_FILE, PullScheduler
from gpurent_plugin_turbo.shared.files import digest_blocks, digest_file
from gpurent_plugin_turbo.shared.pull_frames import EXTENT, FILE_STATE, MAX_EXTENTS
from gpurent_plugin_turbo.shared.wire import ProtocolViolation


class PullReceiver(PullScheduler):
    """Takes back requests as they are answered."""

    @property
    def _handlers(self) -> dict[int, Callable[[Stream, bytes, bytes], None]]:
        return {
            ord("c"): self._handle_changed,
            ord("b"): self._handle_blocks,
            ord("h"): self._handle_extents,
            ord("v"): self._handle_digest,
        }

    def _pop_request(self, stream: Stream, number: int) -> PendingRequest:
        with self._condition:
            request: PendingRequest | None = stream.unacked.pop(number, None)
            if request is None:
                raise ProtocolViolation("an answer to nothing")
            stream.in_flight -= request.size
            stream.rate.record_ack(request.size, request.sent_at, not stream.unacked)
            return request

    def _pop_download(self, stream: Stream, number: int) -> LargeDownload:
        download = self._pop_request(stream, number).download
        if download is None:
            raise ProtocolViolation("an answer to nothing")
        return download

    def _retry_file(self, file: RemoteFile, size: int, time: int) -> None:
        """It is another file by now: requested once more as it is. Without a time: ``size`` is an error's number."""
        with self._condition:
            file.tries += 1
            if file.tries > 1 or not time:
                closed = not time and size in (errno.EACCES, errno.EPERM)
                self._failures.append((file.printable, UNREADABLE_THERE if closed else CHANGED_THERE))
                return
            self._policy.update_file(file, size, time)
            (self._small_files if size < LARGE_FILE else self._large_files).append(file)

    def _handle_changed(self, stream: Stream, head: bytes, now: bytes) -> None:
        download = self._pop_download(stream, struct.unpack(">I", head)[0])
        with self._condition:
            download.pending -= 1
            if not download.is_lost:
                download.state = DownloadState.LOST
                download.ranges.clear()
                self._target.drop_partial(download.partial)
                self._retry_file(download.file, *FILE_STATE.unpack(now))

    def _handle_blocks(self, stream: Stream, head: bytes, theirs: bytes) -> None:
        number, kind = struct.unpack(">IB", head)
        download = self._pop_download(stream, number)
        size = download.file.size
        self._idle_timeout.allow_disk_read(size)
        ranges, same = compare_blocks(digest_blocks(download.handle, size, kind), theirs, size)
        with self._condition:
            self.resumed += same
        self._plan_ranges(download, ranges, same)

    def _handle_extents(self, stream: Stream, head: bytes, body: bytes) -> None:
        download = self._pop_download(stream, struct.unpack(">I", head)[0])
        if len(body) > EXTENT.size * (MAX_EXTENTS + 1):
            raise ProtocolViolation("an answer to nothing")
        ranges = list(EXTENT.iter_unpack(body))
        at = holes = 0
        for start, length in ranges:
            if start < at or not length:
                raise ProtocolViolation("data that overlaps")
            holes += start - at
            at = start + length
        if at > download.file.size:
            raise ProtocolViolation("data behind the end")
        self._plan_ranges(download, ranges, holes + download.file.size - at)

    def _plan_ranges(self, download: LargeDownload, ranges: list[tuple[int, int]], here: int) -> None:
        """``ranges``, in order, are to be requested; ``here``: bytes that need not come."""
        with self._condition:
            self._progress.advance(here, download.file.printable)
            download.ranges = ranges[::-1]
            if ranges:
                self._queue_download(download)
        self._count_answer(download)

    def _queue_download(self, download: LargeDownload) -> None:
        """The condition is held."""
        if download not in self._downloads:
            self._downloads.append(download)

    def _count_answer(self, download: LargeDownload) -> None:
        """One answer less is pending; the last one completes the file."""
        with self._condition:
            download.pending -= 1
            if download.pending or download.ranges or download.state is not DownloadState.RECEIVING:
                return
            if self._full_verify:
                download.state = DownloadState.VERIFYING
                self._to_verify.append(download)
                return
            download.state = DownloadState.DONE
        self._complete_download(download)

    def _handle_digest(self, stream: Stream, head: bytes, theirs: bytes) -> None:
        download = self._pop_download(stream, struct.unpack(">I", head)[0])
        self._idle_timeout.allow_disk_read(download.file.size)
        if digest_file(download.handle) == theirs:
            self._complete_download(download)
            return
        self._target.drop_partial(download.partial)
        with self._condition:
            self._failures.append((download.file.printable, "did not arrive as it is there"))

    def _complete_download(self, download: LargeDownload) -> None:
        file = download.file
        self._target.commit_partial(file.name, download.partial, download.handle, file.mode, file.time)
        with self._condition:
            self._open_handles.discard(download.handle)
        os.close(download.handle)
        self._progress.file_done(file.printable)
