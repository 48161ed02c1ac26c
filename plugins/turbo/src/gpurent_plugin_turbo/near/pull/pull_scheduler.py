"""Tracks what the machine listed, which of it is needed, and what each stream is asked for."""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Callable
from time import monotonic

from attrs import define, field

from gpurent.api import Progress, PullRequest, SafeDir, silence_timeout_error
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.connection.rate_control import MIB
from gpurent_plugin_turbo.near.connection.stream_pool import Frame, SilenceTimeout, StreamPool, TransferStream
from gpurent_plugin_turbo.near.pull.name_policy import NamePolicy, RemoteFile
from gpurent_plugin_turbo.shared.annotations import TableRow
from gpurent_plugin_turbo.shared.files import make_partial_name
from gpurent_plugin_turbo.shared.wire import (
    FILE,
    FILE_STATE,
    LINK,
    MAX_FRAME,
    REQUESTED_PIECE,
    SPARSE,
    ConnectionEnded,
    FrameKind,
    ProtocolViolation,
    decode_table,
    encode_table,
)

MAX_MANIFESTS = 2  # unanswered manifest requests
MAX_WAITING_FILES = 20_000
LARGE_FILE = MIB  # bytes; from this size on a file is pulled in pieces
MAX_PACK_FILES = 500
END_OF_LISTING = 0xFFFFFFFF


@define(eq=False)
class LargeDownload:
    """A large file pulled in pieces. ``ranges`` are still to be requested, ``pending`` counts unanswered requests."""

    file: RemoteFile
    partial_name: bytes
    handle: int
    ranges: list[tuple[int, int]]
    pending: int = 0
    is_received: bool = False  # completely
    is_abandoned: bool = False  # outstanding answers are ignored


@define(eq=False)
class PendingRequest:
    """A request on one stream: for small files, or for something of a large one."""

    size: int
    files: list[RemoteFile] = field(factory=list)
    download: LargeDownload | None = None
    offset: int = 0
    is_verification: bool = False
    sent_at: float = 0.0


class PullScheduler(StreamPool):
    """Knows what was listed and what has not been requested from any stream yet."""

    def __init__(
        self,
        request: PullRequest,
        target: SafeDir,
        progress: Progress,
        open_connection: Callable[[bool], CommandConnection],
        max_streams: int = 8,
    ) -> None:
        super().__init__(open_connection, max_streams)
        self._pull_request, self._progress, self._full_verify = request, progress, request.verify == "full"
        self._policy = NamePolicy(request)
        self._small_files: deque[RemoteFile] = deque()
        self._large_files: deque[RemoteFile] = deque()
        self._downloads: deque[LargeDownload] = deque()
        self._to_verify: deque[LargeDownload] = deque()
        self._open_handles: set[int] = set()
        self._manifests_requested = self._last_number = self._listed_bytes = 0
        self._frames_in_progress = self._bad_digests = self.resumed = 0
        self._is_listing_done = False
        self._failures: list[tuple[str, str]] = []
        self._target = target
        self._silence_timeout = SilenceTimeout()

    def _count_waiting_bytes(self) -> int:
        return sum(file.size for file in self._small_files)

    def _check_timeouts(self) -> None:
        super()._check_timeouts()
        if self._silence_timeout.has_expired(self._count_transferred_bytes()) and not self._is_over:
            self._error = silence_timeout_error()

    # manifest

    def _handle_manifest(self, head: bytes, body: bytes) -> None:
        (source,) = struct.unpack(">I", head)
        with self._condition:
            self._manifests_requested -= 1
            if source == END_OF_LISTING:
                self._is_listing_done = True
                return
        if source >= len(self._pull_request.sources):
            raise ProtocolViolation("an unrequested listing")
        found = []
        for row in decode_table(zlib.decompressobj().decompress(body, MAX_FRAME))[0]:
            file = self._accept_row(source, row)
            if file is not None:
                found.append(file)
        self._queue_files(found)
        self._progress.set_total(self._policy.files, self._policy.size)

    def _accept_row(self, source: int, row: TableRow) -> RemoteFile | None:
        kind, mode, size, time, raw, link = row
        self._policy.count_entry(kind, size, raw)
        name = self._policy.accept_entry(self._target, source, kind, size, raw)
        if name is None:
            return None
        if kind == LINK:
            self._policy.accept_link(name, link)
            return None
        path = self._policy.get_remote_path(source, raw)
        return RemoteFile(path, name, size, mode & 0o777, time, link == SPARSE)

    def _queue_files(self, found: list[RemoteFile]) -> None:
        small, large = [], []
        for file in found:
            if not self._full_verify and file.is_downloaded(self._target):
                self.resumed += file.size
                self._progress.advance(file.size, file.printable_name)
                self._progress.finish_file(file.printable_name)
            elif file.size < LARGE_FILE:
                small.append(file)
            else:
                large.append(file)
        self._target.reserve_space(sum(map(self._measure_new_bytes, (*small, *large))))
        with self._condition:
            self._small_files.extend(small)
            self._large_files.extend(large)
            self._listed_bytes += sum(file.size for file in found)
            self._add_streams_for_size(self._listed_bytes)

    def _measure_new_bytes(self, file: RemoteFile) -> int:
        """Return how much of the disk the file will need; of one with holes that is known later."""
        if file.size < LARGE_FILE:
            return file.size
        if file.is_sparse:
            return 0
        partial = make_partial_name(b"/".join(file.name), file.size, file.time)
        return max(0, file.size - self._target.measure_partial(partial))

    # requests

    def _request_from_all(self) -> None:
        for stream in list(self._streams):
            self._request_more(stream)

    def _request_more(self, stream: TransferStream) -> None:
        """Request as much as may be in flight on this stream. Does not block for long: requests are short."""
        if not stream.send_lock.acquire(blocking=False):
            return
        try:
            while not self._is_over and not stream.is_lost:
                with self._condition:
                    frame = self._next_request(stream)
                    if frame is None:
                        self._finish_if_done()
                        return
                try:
                    stream.frames.send_frame(*frame)
                except ConnectionEnded:
                    return
        finally:
            stream.send_lock.release()

    def _finish_if_done(self) -> None:
        """Finish if everything has arrived. The condition must be held."""
        if (
            self._is_listing_done
            and not self._small_files
            and not self._large_files
            and not self._to_verify
            and not self._frames_in_progress
            and not any(download.ranges or download.pending for download in self._downloads)
            and not any(stream.unacked for stream in self._streams)
        ):
            self._mark_finished()

    def _next_request(self, stream: TransferStream) -> Frame | None:
        wants_more = not self._is_listing_done and len(self._small_files) < MAX_WAITING_FILES
        if stream.is_first and wants_more and self._manifests_requested < MAX_MANIFESTS:
            self._manifests_requested += 1
            return FrameKind.MANIFEST_REQUEST, b"", b""
        if stream.in_flight > stream.max_in_flight // 2 or len(stream.unacked) > 16:
            return None
        self._last_number += 1
        if self._to_verify:
            return self._request_digest(stream)
        if self._small_files:
            return self._request_pack(stream)
        return self._request_piece(stream)

    def _register_request(self, stream: TransferStream, request: PendingRequest) -> bytes:
        """Register the request and return the head of its frame. The condition must be held."""
        request.sent_at = monotonic()
        if request.download is not None:
            request.download.pending += 1
        stream.unacked[self._last_number] = request
        stream.in_flight += request.size
        stream.rate.mark_sent()
        return struct.pack(">I", self._last_number)

    def _request_pack(self, stream: TransferStream) -> Frame:
        files: list[RemoteFile] = []
        size = 0
        while self._small_files and size < MIB and len(files) < MAX_PACK_FILES:
            files.append(self._small_files.popleft())
            size += files[-1].size
        head = self._register_request(stream, PendingRequest(size, files))
        rows = [(FILE, 0, file.size, file.time, file.path, b"") for file in files]
        return FrameKind.PACK_REQUEST, head, zlib.compress(encode_table(rows), 1)

    def _request_piece(self, stream: TransferStream) -> Frame | None:
        while self._downloads:
            download = self._downloads[0]
            if not download.ranges:
                self._downloads.popleft()
                continue
            at, length = download.ranges.pop()
            most = self._piece_size()
            if length > most:
                download.ranges.append((at + most, length - most))
                length = most
            self._register_request(stream, PendingRequest(length, download=download, offset=at))
            file = download.file
            head = REQUESTED_PIECE.pack(self._last_number, at, length, file.size, file.time)
            return FrameKind.PIECE_REQUEST, head, file.path
        return self._start_download(stream)

    def _piece_size(self) -> int:
        rate = sum(stream.rate.value for stream in self._streams)
        return int(min(max(rate * 0.1, MIB), 4 * MIB))

    def _start_download(self, stream: TransferStream) -> Frame | None:
        if not self._large_files:
            return None
        file = self._large_files.popleft()
        partial = make_partial_name(b"/".join(file.name), file.size, file.time)
        handle, there = self._target.open_partial(file.name, partial, file.size)
        self._open_handles.add(handle)
        ask_first = there or file.is_sparse
        download = LargeDownload(file, partial, handle, [] if ask_first else [(0, file.size)])
        self._downloads.append(download)
        if not ask_first:
            return self._request_piece(stream)
        if there:
            self._silence_timeout.allow_disk_read(file.size)
        kind = FrameKind.BLOCK_DIGESTS_REQUEST if there else FrameKind.EXTENTS_REQUEST
        head = self._register_request(stream, PendingRequest(0, download=download))
        return kind, head + FILE_STATE.pack(file.size, file.time), file.path

    def _request_digest(self, stream: TransferStream) -> Frame:
        download = self._to_verify.popleft()
        self._silence_timeout.allow_disk_read(download.file.size)
        request = PendingRequest(0, download=download, is_verification=True)
        return FrameKind.DIGEST_REQUEST, self._register_request(stream, request), download.file.path
