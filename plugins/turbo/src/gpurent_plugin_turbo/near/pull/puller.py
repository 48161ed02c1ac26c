"""A pull from a hostile remote side: names are checked, sizes not trusted, links not followed; files may change."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from time import monotonic

from gpurent.api import FileProblem, TransferError, TransferReport
from gpurent_plugin_turbo import _
from gpurent_plugin_turbo.near.connection.stream_pool import TransferStream
from gpurent_plugin_turbo.near.errors import protocol_violation_error
from gpurent_plugin_turbo.near.pull.name_policy import RemoteFile
from gpurent_plugin_turbo.near.pull.pull_scheduler import (
    LARGE_FILE,
    LargeDownload,
    PendingRequest,
    PullScheduler,
)
from gpurent_plugin_turbo.shared.codec import Codec, compute_digest
from gpurent_plugin_turbo.shared.files import digest_blocks, digest_file
from gpurent_plugin_turbo.shared.source_files import compare_blocks
from gpurent_plugin_turbo.shared.wire import (
    CHANGED,
    EXTENT,
    FILE_STATE,
    MAX_EXTENTS,
    NO_TIME,
    TABLE_HEADER,
    UNIT_HEADER,
    ConnectionEnded,
    FrameKind,
    ProtocolViolation,
    decode_table,
)

MAX_BAD_DIGESTS = 8  # answers with a bad digest before the pull fails
ROW_BYTES = 21  # bytes of a row in a pack's table, where names are empty


class StreamPuller(PullScheduler):
    """One pull. `run` blocks; `stop` ends it from any thread."""

    def run(self) -> TransferReport:
        """Download everything; missing sources are reported at the end, after the others have arrived."""
        started_at = monotonic()
        try:
            self._policy.check_sources()
            self._add_stream()
            self._wait_for_end()
            if self._is_finished:
                self._policy.create_links(self._target)
        finally:
            self._shut_down()
            for handle in self._open_handles:
                os.close(handle)
            self._target.close()
        if self._error is not None:
            raise self._error
        self._policy.raise_failures(self._failures)
        return TransferReport(
            files=self._policy.files,
            total=self._policy.size,
            sent=self._count_transferred_bytes(),
            resumed=self.resumed,
            seconds=monotonic() - started_at,
            skipped=self._policy.skipped,
        )

    # streams

    def _start_stream(self, stream: TransferStream) -> None:
        self._start_thread(self._read_frames, stream)

    def _is_saturated(self) -> bool:
        return bool(self._small_files or self._downloads)

    def _count_transferred_bytes(self) -> int:
        return sum(stream.frames.bytes_read for stream in self._streams)

    def _read_frames(self, stream: TransferStream) -> None:
        codec = Codec()
        try:
            self._request_more(stream)
            while not self._is_over:
                kind, head, size = stream.frames.read_header()
                with self._condition:
                    self._frames_in_progress += 1
                try:
                    self._handle_frame(stream, kind, head, size, codec)
                finally:
                    with self._condition:
                        self._frames_in_progress -= 1
                self._request_from_all()
        except ConnectionEnded:
            self._handle_lost_stream(stream)
        except (ProtocolViolation, LookupError, struct.error, zlib.error, ValueError) as error:
            raise protocol_violation_error(error, is_begun=stream.is_handshaken) from None

    def _handle_frame(self, stream: TransferStream, kind: int, head: bytes, size: int, codec: Codec) -> None:
        handlers = {
            FrameKind.CHANGED: self._handle_changed,
            FrameKind.BLOCK_DIGESTS: self._handle_block_digests,
            FrameKind.EXTENTS: self._handle_extents,
            FrameKind.DIGEST: self._handle_digest,
        }
        if kind == FrameKind.HELLO:
            stream.frames.read(size)
            stream.is_handshaken = True
            stream.connection.tuned_socket.mark_logged_in()
        elif kind == FrameKind.MANIFEST and stream.is_first:
            self._handle_manifest(head, bytes(stream.frames.read(size)))
        elif kind in (FrameKind.PACK, FrameKind.PIECE):
            self._handle_unit(stream, kind, head, size, codec)
        elif kind in handlers:
            handlers[kind](stream, head, bytes(stream.frames.read(size)))
        else:
            raise ProtocolViolation(f"a frame of kind {kind}")

    def _handle_lost_stream(self, stream: TransferStream) -> None:
        with self._condition:
            if self._is_over or stream.is_lost:
                return
            stream.is_lost = True
            if not stream.is_first:
                for request in stream.unacked.values():
                    self._requeue_request(request)
                stream.unacked.clear()
                self._condition.notify_all()
        if stream.is_first:
            raise stream.connection.explain_end()
        self._request_from_all()

    def _requeue_request(self, request: PendingRequest) -> None:
        """Queue again what did not arrive or arrived damaged. The condition must be held."""
        self._small_files.extend(request.files)
        download = request.download
        if download is None:
            return
        download.pending -= 1
        if download.is_abandoned:
            return
        if request.is_verification:
            self._to_verify.append(download)
        elif request.size:
            download.ranges.append((request.offset, request.size))
            self._queue_download(download)
        else:
            download.is_abandoned = True
            self._large_files.append(download.file)

    def _queue_download(self, download: LargeDownload) -> None:
        """Queue the download if it is not queued. The condition must be held."""
        if download not in self._downloads:
            self._downloads.append(download)

    def _pop_request(self, stream: TransferStream, number: int) -> PendingRequest:
        with self._condition:
            request: PendingRequest | None = stream.unacked.pop(number, None)
            if request is None:
                raise ProtocolViolation("an unrequested answer")
            stream.in_flight -= request.size
            stream.rate.record_ack(request.size, request.sent_at, not stream.unacked)
            return request

    # packs and pieces

    def _handle_unit(self, stream: TransferStream, kind: int, head: bytes, size: int, codec: Codec) -> None:
        number, codec_kind, digest_kind, length, expected = UNIT_HEADER.unpack(head)
        request: PendingRequest | None = stream.unacked.get(number)
        if request is None or (kind == FrameKind.PACK) != bool(request.files):
            raise ProtocolViolation("an unrequested answer")
        table = TABLE_HEADER.size + ROW_BYTES * len(request.files) if request.files else 0
        if length > request.size + table:
            raise ProtocolViolation("more data than requested")
        if self._pull_request.bandwidth_limit:
            pause = size * len(self._streams) / self._pull_request.bandwidth_limit
            with self._condition:
                self._end_condition.wait_for(lambda: self._is_over, pause)
        data = memoryview(codec.decompress(codec_kind, stream.frames.read(size), length))
        self._target.count_arrival(length, self._count_transferred_bytes())
        if compute_digest(digest_kind, data) != expected:
            self._retry_request(stream, number)
            return
        download = request.download
        if request.files:
            self._write_pack(request, data)
        elif download is not None:
            if length != request.size:
                raise ProtocolViolation("less data than requested")
            self._target.write_partial(download.file.name, download.handle, data, request.offset)
            self._progress.advance(length, download.file.printable_name)
        self._pop_request(stream, number)
        if download is not None:
            self._count_answer(download)

    def _retry_request(self, stream: TransferStream, number: int) -> None:
        """Request again: the file changed while it was read, or the data was damaged; the next answer tells which."""
        self._bad_digests += 1
        if self._bad_digests > MAX_BAD_DIGESTS:
            raise TransferError(
                _("data arrived corrupted too often"),
                hint=_("Download again; it continues where it stopped."),
            )
        request = self._pop_request(stream, number)
        with self._condition:
            self._requeue_request(request)

    def _write_pack(self, request: PendingRequest, data: memoryview) -> None:
        rows, at = decode_table(data)
        if len(rows) != len(request.files):
            raise ProtocolViolation("a different number of files than requested")
        for file, (state, mode, size, time, *_names) in zip(request.files, rows, strict=True):
            if state == CHANGED:
                self._retry_file(file, size, time)
                continue
            if size != file.size or at + size > len(data):
                raise ProtocolViolation("a different size than requested")
            self._target.write_file(file.name, data[at : at + size], mode & 0o777, file.time)
            at += size
            self._progress.advance(size, file.printable_name)
            self._progress.finish_file(file.printable_name)

    # other answers about large files

    def _pop_download(self, stream: TransferStream, head: bytes) -> LargeDownload:
        download = self._pop_request(stream, struct.unpack_from(">I", head)[0]).download
        if download is None:
            raise ProtocolViolation("an unrequested answer")
        return download

    def _handle_changed(self, stream: TransferStream, head: bytes, now: bytes) -> None:
        download = self._pop_download(stream, head)
        with self._condition:
            download.pending -= 1
            if not download.is_abandoned:
                download.is_abandoned = True
                download.ranges.clear()
                self._target.delete_partial(download.partial_name)
                self._retry_file(download.file, *FILE_STATE.unpack(now))

    def _retry_file(self, file: RemoteFile, size: int, time: int) -> None:
        """Request a changed file once more in its new state; with `NO_TIME`, ``size`` is an error number."""
        with self._condition:
            file.tries += 1
            if file.tries > 1 or time == NO_TIME:
                closed = time == NO_TIME and size in (errno.EACCES, errno.EPERM)
                problem = FileProblem.UNREADABLE if closed else FileProblem.CHANGED_OR_VANISHED
                self._failures.append((file.printable_name, problem.text))
                return
            self._target.reserve_space(max(0, size - file.size))
            self._policy.update_file(file, size, time)
            (self._small_files if size < LARGE_FILE else self._large_files).append(file)

    def _handle_block_digests(self, stream: TransferStream, head: bytes, theirs: bytes) -> None:
        download = self._pop_download(stream, head)
        size = download.file.size
        self._silence_timeout.allow_disk_read(size)
        before = os.fstat(download.handle).st_blocks * 512
        ranges, same = compare_blocks(digest_blocks(download.handle, size, head[4]), theirs, size)
        self._count_holes(download, max(0, same - before), max(0, size - same - before))
        with self._condition:
            self.resumed += same
        self._plan_ranges(download, ranges, same)

    def _handle_extents(self, stream: TransferStream, head: bytes, body: bytes) -> None:
        download = self._pop_download(stream, head)
        if len(body) > EXTENT.size * (MAX_EXTENTS + 1):
            raise ProtocolViolation("an unrequested answer")
        ranges = list(EXTENT.iter_unpack(body))
        at = holes = 0
        for start, length in ranges:
            if start < at or not length:
                raise ProtocolViolation("overlapping extents")
            holes += start - at
            at = start + length
        if at > download.file.size:
            raise ProtocolViolation("extents beyond the end of the file")
        holes += download.file.size - at
        self._count_holes(download, holes, download.file.size - holes)
        self._plan_ranges(download, ranges, holes)

    def _count_holes(self, download: LargeDownload, holes: int, size: int) -> None:
        """Count what does not travel; of a file that has holes, ``size`` is what it takes of the disk."""
        self._target.count_arrival(holes, self._count_transferred_bytes())
        if download.file.is_sparse:
            self._target.reserve_space(size)

    def _plan_ranges(self, download: LargeDownload, ranges: list[tuple[int, int]], here: int) -> None:
        """Set the ``ranges`` to request, in order; ``here``: bytes that need not be sent."""
        with self._condition:
            self._progress.advance(here, download.file.printable_name)
            download.ranges = ranges[::-1]
            if ranges:
                self._queue_download(download)
        self._count_answer(download)

    def _count_answer(self, download: LargeDownload) -> None:
        """Count one answer as received; the last one completes the file."""
        with self._condition:
            download.pending -= 1
            if download.pending or download.ranges or download.is_abandoned or download.is_received:
                return
            download.is_received = True
            if self._full_verify:
                self._to_verify.append(download)
                return
        self._complete_download(download)

    def _handle_digest(self, stream: TransferStream, head: bytes, theirs: bytes) -> None:
        download = self._pop_download(stream, head)
        self._silence_timeout.allow_disk_read(download.file.size)
        if digest_file(download.handle) == theirs:
            self._complete_download(download)
            return
        self._target.delete_partial(download.partial_name)
        with self._condition:
            self._failures.append((download.file.printable_name, FileProblem.CORRUPTED.text))

    def _complete_download(self, download: LargeDownload) -> None:
        file = download.file
        self._target.commit_partial(file.name, download.partial_name, download.handle, file.mode, file.time)
        with self._condition:
            self._open_handles.discard(download.handle)
        os.close(download.handle)
        self._progress.finish_file(file.printable_name)
