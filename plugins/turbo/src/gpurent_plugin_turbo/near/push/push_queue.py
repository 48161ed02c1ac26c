"""State of a push: what the scan found, what the machine answered, and the units built from that."""

from __future__ import annotations

import struct
import zlib
from abc import abstractmethod
from collections import deque
from collections.abc import Callable

from gpurent import api
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.near.connection.rate_control import MIB, BandwidthLimit, CompressionLevel
from gpurent_plugin_turbo.near.connection.stream_pool import LOW_LATENCY_RTT, StreamPool, TransferStream
from gpurent_plugin_turbo.near.connection.tcp_tuning import SLOW_START_RTT
from gpurent_plugin_turbo.near.errors import decode_name
from gpurent_plugin_turbo.near.push.push_units import FilePack, FilePiece, LargeUpload, PushUnit
from gpurent_plugin_turbo.near.push.scan import LARGE_FILE, SourceEntry, SourceScan
from gpurent_plugin_turbo.near.push.unit_builder import UnitBuilder
from gpurent_plugin_turbo.shared.codec import Codec
from gpurent_plugin_turbo.shared.wire import (
    FILE,
    HAVE,
    MANIFEST,
    NEED,
    FrameKind,
    ProtocolViolation,
    encode_table,
)

MANIFEST_ENTRIES = 2048
FIRST_MANIFEST_ENTRIES = 192  # entries, doubled for each further manifest, so that building starts early
MAX_UNANSWERED_MANIFESTS = 4  # before the scan waits
MAX_WAITING_FILES = 20_000  # entries waiting for a builder
MAX_READY_BYTES = 12 * MIB  # finished units waiting for a stream
MAX_PACK_FILES = 1000
MAX_PACK_BYTES = 3 * MIB // 2  # more packs keep more remote workers busy


class PushQueue(StreamPool):
    """Filled by the scan; `_build_units` turns it into units in several threads, and `StreamPusher` sends them."""

    def __init__(
        self,
        request: api.PushRequest,
        sources: api.SourceFiles,
        progress: api.Progress,
        open_connection: Callable[[bool], CommandConnection],
        *,
        first_push: bool = False,
        max_streams: int = 8,
    ) -> None:
        super().__init__(open_connection, max_streams)
        self.scan, self._progress = SourceScan(request, sources), progress
        # `mark_first_push`: the target is probably empty, so every file is sent without asking what exists there.
        self._is_first_push, self._full_verify = first_push, request.verify == "full"
        self._bandwidth = BandwidthLimit(request.bandwidth_limit)
        self._level = CompressionLevel()
        self._builder = UnitBuilder(self._level)
        # pending work
        self._manifests: dict[int, tuple[list[SourceEntry], int]] = {}  # and the bytes sent unrequested
        self._small_files: deque[SourceEntry] = deque()
        self._large_uploads: deque[LargeUpload] = deque()
        self._open_uploads: dict[int, LargeUpload] = {}
        self._retry_tasks: deque[FilePack | FilePiece] = deque()
        self._ready_units: deque[PushUnit] = deque()
        self._ready_bytes = self._building_count = self._last_number = 0
        self._is_scan_done = self._was_last_compressed = self._is_finish_queued = False
        self._control_frames: deque[tuple[int, bytes, bytes]] = deque()
        self._pending_commits: dict[int, LargeUpload] = {}
        self._stale_uploads: list[LargeUpload] = []  # abandoned, but a stream may still read from them
        self._awaiting_block_digests: dict[int, LargeUpload] = {}
        # results
        self.sent = self.resumed = 0
        self.seconds = 0.0
        self._needed_bytes = self._large_bytes = self._planned_bytes = 0
        self._built_bytes = self._acked_bytes = 0
        self._failures: list[tuple[bytes, str]] = []
        self._final_failures: list[tuple[bytes, str]] = []  # reported at the end of the first stream
        self._reported_total = (0, 0)

    def _count_waiting_bytes(self) -> int:
        return max(0, self._needed_bytes - self._acked_bytes)

    @abstractmethod
    def _queue_due_frames(self) -> None:
        """Queue frames that are due and wake the writers. The condition must be held."""

    # scan

    def _scan_sources(self) -> None:
        number, chunk = 0, []
        most = FIRST_MANIFEST_ENTRIES if self._is_first_push else MANIFEST_ENTRIES
        for entry in self.scan.iter_entries():
            chunk.append(entry)
            if len(chunk) >= most:
                self._queue_manifest(number, chunk)
                number, chunk, most = number + 1, [], min(2 * most, MANIFEST_ENTRIES)
        self._queue_manifest(number, chunk)
        with self._condition:
            self._is_scan_done = True
            self._queue_due_frames()

    def _queue_manifest(self, number: int, chunk: list[SourceEntry]) -> None:
        """Queue a manifest. Files that are sent in any case are left out: their data announces them."""
        files: list[tuple[SourceEntry, bool]] = []
        if self._is_first_push:
            files = [(entry, False) for entry in chunk if entry.kind == FILE]
            chunk = [entry for entry in chunk if entry.kind != FILE]
        body = zlib.compress(encode_table([entry.table_row for entry in chunk]), 1)
        with self._condition:
            self._condition.wait_for(lambda: self._is_over or self._has_space())
            total = (self.scan.files, self.scan.size)
            if total != self._reported_total:
                self._reported_total = total
                self._progress.set_total(*total)
            self._queue_files(files)
            unasked = self._count_disk_bytes([]) if self._is_first_push else 0
            self._manifests[number] = (chunk, unasked)
            self._control_frames.append((FrameKind.MANIFEST, MANIFEST.pack(number, unasked), body))
            self._condition.notify_all()

    def _has_space(self) -> bool:
        queued = max(len(self._small_files), len(self._large_uploads))
        return len(self._manifests) < MAX_UNANSWERED_MANIFESTS and queued < MAX_WAITING_FILES

    def _handle_manifest_answer(self, stream: TransferStream, head: bytes, body: bytes) -> None:
        number, free, count = struct.unpack(">IQI", head)
        body = zlib.decompress(body)
        chunk, unasked = self._manifests.get(number, ([], 0))
        if number not in self._manifests or count != len(chunk) or len(body) < count:
            raise ProtocolViolation("an unrequested answer")
        wanted, have = ([], []) if self._is_first_push else self._split_manifest_answer(chunk, body)
        with self._condition:
            del self._manifests[number]
            for entry in have:
                self.resumed += entry.size
                self._progress.advance(entry.size, decode_name(entry.name))
                self._progress.finish_file(decode_name(entry.name))
            needed = unasked or self._count_disk_bytes(wanted)
            if needed > free:
                raise api.small_disk_error(free, needed)
            self._queue_files(wanted)
            self._queue_due_frames()

    def _split_manifest_answer(
        self, chunk: list[SourceEntry], body: bytes
    ) -> tuple[list[tuple[SourceEntry, bool]], list[SourceEntry]]:
        """Split into entries to send and entries that are up to date.

        Each entry to send is paired with whether the machine has a version or a part of it to compare with.
        """
        wanted, have = [], []
        digests = body[len(chunk) :]
        for entry, state in zip(chunk, body, strict=False):
            if entry.kind != FILE:
                continue
            good = state == HAVE
            if good and self._full_verify:
                mine, digests = digests[:16], digests[16:]
                good = mine == entry.compute_digest()
            if good:
                have.append(entry)
            else:
                wanted.append((entry, state != NEED))
        return wanted, have

    def _count_disk_bytes(self, wanted: list[tuple[SourceEntry, bool]]) -> int:
        """Return the bytes of disk space that the machine still needs."""
        new = sum(entry.measure_disk_usage() for entry, is_comparable in wanted if not is_comparable)
        return new + max(0, self._planned_bytes - self._acked_bytes)

    def _queue_files(self, wanted: list[tuple[SourceEntry, bool]]) -> None:
        small = [entry for entry, _ in wanted if entry.size < LARGE_FILE]
        size = sum(entry.size for entry in small)
        self._small_files.extend(small)
        self._needed_bytes += size
        self._planned_bytes += size
        if (
            self._path_rtt() > LOW_LATENCY_RTT
        ):  # else the remote workers are the bottleneck, and one stream is enough
            self._add_streams_for_size(self._needed_bytes)
        for entry, is_comparable in wanted:
            if entry.size >= LARGE_FILE:
                self._queue_large_file(entry, is_comparable)

    def _queue_large_file(self, entry: SourceEntry, is_comparable: bool) -> None:
        self._last_number += 1
        upload = LargeUpload(self._last_number, entry)
        self._open_uploads[upload.number] = upload
        self._needed_bytes += entry.size
        self._planned_bytes += entry.measure_disk_usage()
        if is_comparable:
            self._awaiting_block_digests[upload.number] = upload
            head = struct.pack(
                ">IQ33sB", upload.number, entry.size, entry.partial_name, self._builder.digest_kind
            )
            self._control_frames.append((FrameKind.BLOCK_DIGESTS_REQUEST, head, entry.name))
        else:
            upload.plan_ranges(None)
            self._large_uploads.append(upload)
        self._large_bytes += entry.size
        self._add_streams_for_size(self._large_bytes)

    # building units

    def _next_task(self) -> FilePack | FilePiece | None:
        """Return the next thing to build; None if there is nothing now."""
        if self._retry_tasks:
            return self._retry_tasks.popleft()
        if self._small_files and (len(self._small_files) >= MAX_PACK_FILES or not self._expects_more()):
            return self._next_pack()
        while self._large_uploads:
            piece = self._large_uploads[0].cut_piece(self._unit_size())
            if piece is not None:
                return piece
            self._large_uploads.popleft()
        return self._next_pack() if self._small_files else None

    def _expects_more(self) -> bool:
        return (
            not self._is_scan_done
            and sum(entry.size for entry in self._small_files) < self._first_pack_size()
        )

    def _first_pack_size(self) -> int:
        """Return the size of the first pack; smaller on an open connection, which is idle until it comes."""
        return MIB if self._streams[0].connection.needs_login else MIB // 4

    def _next_pack(self) -> FilePack:
        taken: list[SourceEntry] = []
        size = 0
        most = min(self._unit_size(), MAX_PACK_BYTES) if self._built_bytes else self._first_pack_size()
        while self._small_files and size < most and len(taken) < MAX_PACK_FILES:
            entry = self._small_files.popleft()
            taken.append(entry)
            size += entry.size
        self._condition.notify_all()
        return FilePack(taken)

    def _unit_size(self) -> int:
        """Return the bytes of one unit: 60 ms of one stream, a fifth of its `max_in_flight`; less near the end."""
        streams = max(len(self._streams), 1)
        rate = sum(stream.rate.value for stream in self._streams) / streams
        unrated = MIB // 2 if self._path_rtt() > SLOW_START_RTT else MIB
        size = min(max(rate * 0.06, MIB // 2), 4 * MIB) if rate else unrated
        left = (self._needed_bytes - self._built_bytes) / (2 * streams) if self._is_scan_done else size
        return int(max(min(size, left), MIB // 4))

    def _build_units(self) -> None:
        codec = Codec()
        while (task := self._wait_for_task()) is not None:
            unit, failures = self._builder.build_unit(task, codec)
            with self._condition:
                self._building_count -= 1
                self._failures += failures
                if unit is not None:
                    self._was_last_compressed = unit.level > 0
                    if not unit.number:
                        self._last_number += 1
                        unit.number = self._last_number
                    self._ready_units.append(unit)
                    self._ready_bytes += unit.wire_size
                self._queue_due_frames()

    def _wait_for_task(self) -> FilePack | FilePiece | PushUnit | None:
        """Wait for something to build or a unit to compress harder; None when the push is over."""
        with self._condition:
            while not self._is_over:
                task: FilePack | FilePiece | PushUnit | None = None
                if self._ready_bytes < MAX_READY_BYTES and not self._should_build_alone():
                    task = self._next_task()
                task = task or self._pop_recompressible()
                if task is not None:
                    self._building_count += 1
                    self._built_bytes += 0 if isinstance(task, PushUnit) else task.size
                    if self._path_rtt() > SLOW_START_RTT:
                        first = self._streams[0]
                        has_time = first.connection.needs_login or first.in_flight > MIB // 4
                        self._level.raise_for_slow_start(self._path_rtt(), has_time)
                    return task
                self._condition.wait(1.0)
        return None

    def _waits_for_login(self) -> bool:
        """Return whether there is nothing to do but wait for logins, on a path that is not low-latency."""
        waits = all(stream.connection.needs_login and not stream.is_handshaken for stream in self._streams)
        return waits and self._path_rtt() >= LOW_LATENCY_RTT

    def _should_build_alone(self) -> bool:
        """Return whether only one thread should build now, on a low-latency path. The condition must be held.

        A second thread would take processor time from a login, and the interpreter lock from the first thread.
        Compressing releases the lock, so two threads may do that.
        """
        if not self._building_count or self._path_rtt() >= LOW_LATENCY_RTT:
            return False
        reads = bool(self._small_files) and not self._was_last_compressed
        return reads or any(
            stream.connection.needs_login and not stream.is_handshaken for stream in self._streams
        )

    def _pop_recompressible(self) -> PushUnit | None:
        """Take a unit from the queue to compress it harder while nothing can be sent; None if there is none."""
        unit = self._find_recompressible() if self._waits_for_login() else None
        if unit is not None:
            self._ready_units.remove(unit)
            self._ready_bytes -= unit.wire_size
        return unit

    def _find_recompressible(self) -> PushUnit | None:
        levels = range(1, self._level.idle_level)
        return next(
            (unit for unit in self._ready_units if unit.raw_data is not None and unit.level in levels), None
        )
