"""A pull from a hostile far side: names are judged, sizes not trusted, links not followed."""

from __future__ import annotations

import os
import struct
import zlib
from threading import Lock
from time import monotonic

from gpurent.api import TransferError, TransferReport
from gpurent_plugin_turbo.near.connection.stream_pool import Stream
from gpurent_plugin_turbo.near.errors import protocol_violated
from gpurent_plugin_turbo.near.pull.pull_items import DownloadState, PendingRequest
from gpurent_plugin_turbo.near.pull.pull_receiver import PullReceiver
from gpurent_plugin_turbo.shared.codec import Codec, compute_digest
from gpurent_plugin_turbo.shared.pull_frames import CHANGED
from gpurent_plugin_turbo.shared.wire import (
    TABLE_HEAD,
    UNIT_HEAD,
    ConnectionEnded,
    ProtocolViolation,
    decode_table,
)

MAX_BAD_DIGESTS = 8  # answers that may be damaged
ROW_BYTES = 21  # bytes of a row of a pack's table, whose names are empty


class StreamPuller(PullReceiver):
    """One pull. `run` blocks; `stop` ends it from any thread."""

    def run(self) -> TransferReport:
        """Fetch everything; a source that is missing is reported at the end, after the others came."""
        begun = monotonic()
        try:
            self._policy.check_sources()
            self._add_stream()
            self._wait_for_end()
            if self._finished:
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
            sent=self._count_carried(),
            resumed=self.resumed,
            seconds=monotonic() - begun,
            skipped=tuple(self._policy.skipped),
        )

    # streams

    def _start_stream(self, stream: Stream) -> None:
        self._send_locks[id(stream)] = Lock()
        self._start_thread(self._read_frames, stream)

    def _is_saturated(self) -> bool:
        return bool(self._small_files or self._downloads)

    def _count_carried(self) -> int:
        return sum(stream.frames.read_bytes for stream in self._streams)

    def _read_frames(self, stream: Stream) -> None:
        codec = Codec()
        try:
            self._request_more(stream)
            while not self._is_over:
                kind, head, size = stream.frames.read_header()
                with self._condition:
                    self._frames_in_work += 1
                try:
                    self._handle_frame(stream, kind, head, size, codec)
                finally:
                    with self._condition:
                        self._frames_in_work -= 1
                self._request_from_all()
        except ConnectionEnded:
            self._handle_lost_stream(stream)
        except (ProtocolViolation, LookupError, struct.error, zlib.error, ValueError) as error:
            raise protocol_violated(error) from None

    def _handle_frame(self, stream: Stream, kind: int, head: bytes, size: int, codec: Codec) -> None:
        if kind == ord("O"):
            stream.frames.read(size)
            stream.handshaken = True
            stream.connection.mark_handshaken()
        elif kind == ord("M") and stream.first:
            self._handle_manifest(head, bytes(stream.frames.read(size)))
        elif kind in (ord("P"), ord("S")):
            self._handle_unit(stream, kind, head, size, codec)
        elif kind in self._handlers:
            self._handlers[kind](stream, head, bytes(stream.frames.read(size)))
        else:
            raise ProtocolViolation(f"a frame of kind {kind}")

    def _handle_lost_stream(self, stream: Stream) -> None:
        with self._condition:
            if self._is_over or stream.lost:
                return
            stream.lost = True
            if not stream.first:
                for request in stream.unacked.values():
                    self._requeue(request)
                stream.unacked.clear()
                self._condition.notify_all()
        if stream.first:
            raise stream.connection.explain_end()
        self._request_from_all()

    def _requeue(self, request: PendingRequest) -> None:
        """What did not come, or not as it is, is to be requested again. The condition is held."""
        self._small_files.extend(request.files)
        download = request.download
        if download is None:
            return
        download.pending -= 1
        if download.is_lost:
            return
        if request.is_verification:
            self._to_verify.append(download)
        elif request.size:
            download.ranges.append((request.at, request.size))
            self._queue_download(download)
        else:
            download.state = DownloadState.LOST
            self._large_files.append(download.file)

    # what comes

    def _handle_unit(self, stream: Stream, kind: int, head: bytes, size: int, codec: Codec) -> None:
        number, codec_kind, digest_kind, length, expected = UNIT_HEAD.unpack(head)
        request: PendingRequest | None = stream.unacked.get(number)
        if request is None or (kind == ord("P")) != bool(request.files):
            raise ProtocolViolation("an answer to nothing")
        table = TABLE_HEAD.size + ROW_BYTES * len(request.files) if request.files else 0
        if length > request.size + table:
            raise ProtocolViolation("more than was asked for")
        if self._limit:
            self._apply_limit(size)
        data = memoryview(codec.decompress(codec_kind, stream.frames.read(size), length))
        if compute_digest(digest_kind, data) != expected:
            self._request_again(stream, number)
            return
        download = request.download
        if request.files:
            self._write_pack(request, data)
        elif download is not None:
            if length != request.size:
                raise ProtocolViolation("less than was asked for")
            self._target.write_partial(download.file.name, download.handle, data, request.at)
            self._progress.advance(length, download.file.printable)
        self._pop_request(stream, number)
        if download is not None:
            self._count_answer(download)

    def _request_again(self, stream: Stream, number: int) -> None:
        """The file changed while it was read, or the connection damaged it: the next answer tells which."""
        self._bad_digests += 1
        if self._bad_digests > MAX_BAD_DIGESTS:
            raise TransferError("what came is not what was sent", hint="Pull again; it goes on.")
        request = self._pop_request(stream, number)
        with self._condition:
            self._requeue(request)

    def _apply_limit(self, size: int) -> None:
        with self._condition:
            self._end_condition.wait_for(lambda: self._is_over, size * len(self._streams) / self._limit)

    def _write_pack(self, request: PendingRequest, data: memoryview) -> None:
        rows, at = decode_table(data)
        if len(rows) != len(request.files):
            raise ProtocolViolation("another number of files than was asked for")
        for file, (state, mode, size, time, _, _) in zip(request.files, rows, strict=True):
            if state == CHANGED:
                self._retry_file(file, size if time else mode, time)
                continue
            if size != file.size or at + size > len(data):
                raise ProtocolViolation("another size than was asked for")
            self._target.write_file(file.name, data[at : at + size], mode & 0o777, file.time)
            at += size
            self._progress.advance(size, file.printable)
            self._progress.file_done(file.printable)

    def _finish_if_done(self) -> None:
        """Whether everything has come. The condition is held."""
        if (
            self._listed
            and not self._small_files
            and not self._large_files
            and not self._to_verify
            and not self._frames_in_work
            and not any(download.ranges or download.pending for download in self._downloads)
            and not any(stream.unacked for stream in self._streams)
        ):
            self._mark_finished()
