"""What is known of a push: what the scan found, what the machine answered to that, what waits to be built and sent."""

from __future__ import annotations

import struct
import zlib
from abc import abstractmethod
from collections import deque

from gpurent_plugin_turbo.near.connection.rate_control import MIB, BandwidthLimit, CompressionLevel
from gpurent_plugin_turbo.near.connection.stream_pool import NEAR_RTT, Stream, StreamPool
from gpurent_plugin_turbo.near.errors import decode_name, disk_too_small
from gpurent_plugin_turbo.near.push.push_units import LargeUpload, Pack, Piece, PushUnit
from gpurent_plugin_turbo.near.push.scan import LARGE_FILE
from gpurent_plugin_turbo.near.push.unit_builder import UnitBuilder
from gpurent_plugin_turbo.shared.files import digest_path
from gpurent_plugin_turbo.shared.push_frames import HAVE, MANIFEST, NEED
from gpurent_plugin_turbo.shared.wire import FILE, ProtocolViolation, encode_table

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from collections.abc import Callable

    from gpurent.api import Progress
    from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
    from gpurent_plugin_turbo.near.push.scan import SourceEntry, SourceScan

MANIFEST_ENTRIES = 2048
FIRST_MANIFEST = (
    192  # entries, and twice as many in the next, where everything is sent: building begins early
)
MAX_UNANSWERED = 4  # manifests without an answer
MAX_WAITING = 20_000  # entries that wait for a builder
MAX_READY = 12 * MIB  # finished units that wait for a stream


class PushQueue(StreamPool):
    """The scan fills it, `PushProducer` builds units from it, `StreamPusher` sends them."""

    def __init__(
        self,
        scan: SourceScan,
        progress: Progress,
        open_connection: Callable[[bool], CommandConnection],
        *,
        first_push: bool = False,
        full_verify: bool = False,
        max_streams: int = 8,
        limit: int = 0,
    ) -> None:
        super().__init__(open_connection, max_streams)
        self._scan, self._progress = scan, progress
        self._is_first_push, self._full_verify = first_push, full_verify
        self._bandwidth = BandwidthLimit(limit)
        self._level = CompressionLevel()
        self._builder = UnitBuilder(self._level)
        # what is to be done
        self._manifests: dict[int, tuple[list[SourceEntry], int]] = {}  # with the bytes that travel unasked
        self._small_files: deque[SourceEntry] = deque()
        self._large_files: deque[LargeUpload] = deque()
        self._open_uploads: dict[int, LargeUpload] = {}
        self._retries: deque[Pack | Piece] = deque()
        self._ready: deque[PushUnit] = deque()
        self._ready_bytes = self._building = self._last_number = 0
        self._scanned = self._compressed = self._finish_sent = False
        self._control: deque[tuple[int, bytes, bytes]] = deque()
        self._commits: dict[int, LargeUpload] = {}
        self._stale: list[LargeUpload] = []  # given up; a stream may still read from them
        self._awaiting_base: dict[int, LargeUpload] = {}
        # what came of it
        self.sent = self.resumed = 0
        self._needed_bytes = self._large_bytes = self._planned_bytes = 0
        self._built_bytes = self._acked_bytes = 0
        self._failures: list[tuple[bytes, str]] = []
        self._final_failures: list[tuple[bytes, str]] = []  # as the end of the first stream told them
        self._reported_total = (0, 0)

    def _count_waiting(self) -> int:
        return max(0, self._needed_bytes - self._acked_bytes)

    @abstractmethod
    def _queue_due(self) -> None:
        """Queue what is due, and wake the writers. The condition is held."""

    def _all_sent(self) -> bool:
        """Nothing is left to send. Hard links wait for other streams, too; else the order of frames sees to it."""
        return (
            self._scanned
            and not self._small_files
            and not any(upload.ranges for upload in self._large_files)
            and not self._awaiting_base
            and not self._open_uploads
            and not self._retries
            and not self._ready
            and not self._building
            and (self._is_first_push or not self._manifests)
            and not (self._scan.has_hard_links and self._is_unacked(self._streams[1:]))
        )

    def _is_unacked(self, streams: list[Stream]) -> bool:
        return any(stream.unacked for stream in streams)

    # the scan

    def _scan_sources(self) -> None:
        number, chunk = 0, []
        most = FIRST_MANIFEST if self._is_first_push else MANIFEST_ENTRIES
        for entry in self._scan.iter_entries():
            chunk.append(entry)
            if len(chunk) >= most:
                self._queue_manifest(number, chunk)
                number, chunk, most = number + 1, [], min(2 * most, MANIFEST_ENTRIES)
        self._queue_manifest(number, chunk)
        with self._condition:
            self._scanned = True
            self._queue_due()

    def _queue_manifest(self, number: int, chunk: list[SourceEntry]) -> None:
        """What the machine is to know. Of files that travel anyway it hears when they come."""
        files = [entry for entry in chunk if entry.kind == FILE] if self._is_first_push else []
        if self._is_first_push:
            chunk = [entry for entry in chunk if entry.kind != FILE]
        body = zlib.compress(encode_table([entry.row for entry in chunk]), 1)
        with self._condition:
            self._condition.wait_for(lambda: self._is_over or self._has_space())
            self._report_total()
            self._queue_small([entry for entry in files if entry.size < LARGE_FILE])
            for entry in files:
                if entry.size >= LARGE_FILE:
                    self._queue_large(entry, base=False)
            unasked = self._count_disk_bytes([]) if self._is_first_push else 0
            self._manifests[number] = (chunk, unasked)
            self._control.append((ord("M"), MANIFEST.pack(number, unasked), body))
            self._condition.notify_all()

    def _has_space(self) -> bool:
        queued = max(len(self._small_files), len(self._large_files))
        return len(self._manifests) < MAX_UNANSWERED and queued < MAX_WAITING

    def _report_total(self) -> None:
        total = (self._scan.files, self._scan.size)
        if total != self._reported_total:
            self._reported_total = total
            self._progress.total(*total)

    def _handle_answer(self, stream: Stream, head: bytes, body: bytes) -> None:
        number, free, count = struct.unpack(">IQI", head)
        body = zlib.decompress(body)
        chunk, unasked = self._manifests.get(number, ([], 0))
        if number not in self._manifests or count != len(chunk) or len(body) < count:
            raise ProtocolViolation("an answer to nothing")
        wanted, have = ([], []) if self._is_first_push else self._sort_answer(chunk, body)
        with self._condition:
            del self._manifests[number]
            for entry in have:
                self.resumed += entry.size
                self._progress.advance(entry.size, decode_name(entry.name))
                self._progress.file_done(decode_name(entry.name))
            needed = unasked or self._count_disk_bytes(wanted)
            if needed > free:
                raise disk_too_small(free, needed)
            self._queue_small([entry for entry, _ in wanted if entry.size < LARGE_FILE])
            for entry, base in wanted:
                if entry.size >= LARGE_FILE:
                    self._queue_large(entry, base)
            self._queue_due()

    def _sort_answer(
        self, chunk: list[SourceEntry], body: bytes
    ) -> tuple[list[tuple[SourceEntry, bool]], list[SourceEntry]]:
        """What is to be sent, with whether something of it is there, and what is there as it is."""
        wanted, have = [], []
        digests = body[len(chunk) :]
        for entry, state in zip(chunk, body, strict=False):
            if entry.kind != FILE:
                continue
            good = state == HAVE
            if good and self._full_verify:
                mine, digests = digests[:16], digests[16:]
                good = mine == digest_path(entry.path)
            if good:
                have.append(entry)
            else:
                wanted.append((entry, state != NEED))
        return wanted, have

    def _count_disk_bytes(self, wanted: list[tuple[SourceEntry, bool]]) -> int:
        """Bytes that the machine's disk must take from now on."""
        fresh = sum(entry.measure_disk_usage() for entry, base in wanted if not base)
        return fresh + max(0, self._planned_bytes - self._acked_bytes)

    def _queue_small(self, entries: list[SourceEntry]) -> None:
        self._small_files.extend(entries)
        size = sum(entry.size for entry in entries)
        self._needed_bytes += size
        self._planned_bytes += size
        if self._rtt() > NEAR_RTT:  # else the workers on the machine are what helps, and one stream is enough
            self._add_streams_for(self._needed_bytes)

    def _queue_large(self, entry: SourceEntry, base: bool) -> None:
        self._last_number += 1
        upload = LargeUpload(self._last_number, entry)
        self._open_uploads[upload.number] = upload
        self._needed_bytes += entry.size
        self._planned_bytes += entry.measure_disk_usage()
        if base:
            self._awaiting_base[upload.number] = upload
            head = struct.pack(
                ">IQ33sB", upload.number, entry.size, upload.partial, self._builder.digest_kind
            )
            self._control.append((ord("B"), head, entry.name))
        else:
            upload.plan_ranges(None)
            self._large_files.append(upload)
        self._large_bytes += entry.size
        self._add_streams_for(self._large_bytes)
