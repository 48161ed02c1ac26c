"""A push: builders feed streams, and acknowledgements report what has arrived."""

from __future__ import annotations

import struct
import zlib
from time import monotonic

from gpurent_plugin_turbo.near.connection.stream_pool import LOW_LATENCY_RTT, Frame, TransferStream
from gpurent_plugin_turbo.near.errors import (
    damaged_file_error,
    decode_error_rows,
    decode_name,
    protocol_violation_error,
    raise_push_failures,
    remote_os_error,
)
from gpurent_plugin_turbo.near.push.push_queue import MAX_READY_BYTES, PushQueue
from gpurent_plugin_turbo.near.push.push_units import FilePack, LargeUpload, PushUnit
from gpurent_plugin_turbo.shared.wire import (
    ACK,
    BAD_DIGEST,
    DONE,
    NO_LIBRARY,
    ConnectionEnded,
    ProtocolViolation,
)


class StreamPusher(PushQueue):
    """One push. `run` blocks; `stop` ends it from any thread."""

    def run(self) -> None:
        """Send everything; files that could not be sent raise a `TransferError` at the end."""
        begun = monotonic()
        self.scan.check_sources()
        try:
            self._add_stream()
            self._start_thread(self._scan_sources)
            for _ in range(2):
                self._start_thread(self._build_units)
            if self._is_first_push:
                self._start_thread(self._open_slow_start_streams)
            self._wait_for_end()
        finally:
            self._shut_down()
            for upload in [
                *self._stale_uploads,
                *self._open_uploads.values(),
                *self._pending_commits.values(),
            ]:
                upload.close()
        if self._error is not None:
            raise self._error
        raise_push_failures(self._failures + self._final_failures)
        self.seconds = monotonic() - begun

    # streams

    def _start_stream(self, stream: TransferStream) -> None:
        self._start_thread(self._write_frames, stream)
        self._start_thread(self._read_frames, stream)

    def _is_saturated(self) -> bool:
        return self._ready_bytes > MAX_READY_BYTES // 4

    def _count_transferred_bytes(self) -> int:
        return sum(stream.frames.bytes_sent - stream.in_flight for stream in self._streams)

    # writers

    def _write_frames(self, stream: TransferStream) -> None:
        try:
            while (job := self._wait_for_job(stream)) is not None:
                if isinstance(job, PushUnit):
                    if (pause := self._bandwidth.reserve(job.wire_size)) > 0:
                        with self._condition:
                            self._end_condition.wait_for(lambda: self._is_over, pause)
                    job.send(stream.frames)
                    self._builder.release_buffer(job)
                else:
                    stream.frames.send_frame(*job)
        except ConnectionEnded:
            return  # the reader notices too, after the last frames of the remote side

    def _wait_for_job(self, stream: TransferStream) -> PushUnit | Frame | None:
        """Wait for the next thing to send; None at the end."""
        with self._condition:
            while not self._is_over and not stream.is_lost:
                if (job := self._next_job(stream)) is not None:
                    return job
                self._condition.wait(1.0)
        return None

    def _next_job(self, stream: TransferStream) -> PushUnit | Frame | None:
        if stream.is_first and self._control_frames:
            return self._control_frames.popleft()
        if not self._ready_units:
            # Other streams end on their own when they have nothing left to do; the first does not wait for them.
            if not self._finish_sent or stream.is_first or stream.finish_sent or not stream.handshaken:
                return None
            stream.finish_sent = True
            return ord("F"), b"", b""
        if len(stream.unacked) > 1 and stream.in_flight + self._ready_units[0].wire_size > stream.credit:
            return None
        if not stream.handshaken and not (self._is_first_push and self._may_send_early()):
            return None
        unit = self._ready_units.popleft()
        self._ready_bytes -= unit.wire_size
        stream.unacked[unit.number] = unit
        stream.in_flight += unit.wire_size
        stream.rate.mark_sent()
        self.sent += unit.wire_size
        unit.mark_sent(stream.is_first)
        unit.sent_at, unit.raw_data = monotonic(), None
        self._queue_due_frames()
        return unit

    def _may_send_early(self) -> bool:
        """Return whether units may go before the handshake.

        On a low-latency path or an open connection they go at once; elsewhere they are first compressed harder.
        """
        rtt = self._path_rtt()
        if not rtt or rtt < LOW_LATENCY_RTT or not self._streams[0].connection.needs_login:
            return bool(rtt)
        all_built = self._is_scan_done and not self._building_count and not self._small_files
        return all_built and self._find_recompressible() is None

    # readers

    def _read_frames(self, stream: TransferStream) -> None:
        frames = stream.frames
        try:
            while True:
                kind, head, size = frames.read_header()
                self._handle_frame(stream, kind, head, bytes(frames.read(size)) if size else b"")
        except ConnectionEnded:
            self._handle_lost_stream(stream)
        except (ProtocolViolation, struct.error, zlib.error) as error:
            raise protocol_violation_error(error) from None

    def _handle_frame(self, stream: TransferStream, kind: int, head: bytes, body: bytes) -> None:
        if kind == ord("E"):
            raise remote_os_error(struct.unpack(">I", head)[0], body)
        handlers = {
            ord("A"): self._handle_ack,
            ord("N"): self._handle_manifest_answer,
            ord("O"): self._handle_hello,
            ord("Z"): self._handle_finished,
            ord("b"): self._handle_base,
        }
        if kind not in handlers:
            raise ProtocolViolation(f"a frame of kind {kind}")
        handlers[kind](stream, head, body)

    def _handle_hello(self, stream: TransferStream, head: bytes, body: bytes) -> None:
        with self._condition:
            stream.handshaken = True
            stream.connection.tuned_socket.mark_logged_in()
            self._builder.keep_raw = False
            for unit in self._ready_units:
                unit.raw_data = None
            self._condition.notify_all()

    def _handle_ack(self, stream: TransferStream, head: bytes, body: bytes) -> None:
        number, status = ACK.unpack(head)
        with self._condition:
            upload = self._pending_commits.pop(number, None)
            unit: PushUnit | None = stream.unacked.pop(number, None)
            if upload is not None:
                self._handle_commit_ack(upload, status, body)
            elif unit is not None:
                self._handle_unit_ack(stream, unit, status, body)
            elif not stream.is_lost:  # a lost stream's units are already queued again
                raise ProtocolViolation(f"an acknowledgement of {number}, which was not sent")
            self._queue_due_frames()

    def _handle_unit_ack(self, stream: TransferStream, unit: PushUnit, status: int, body: bytes) -> None:
        stream.in_flight -= unit.wire_size
        stream.rate.record_ack(unit.wire_size, unit.sent_at, not stream.unacked)
        rate = sum(stream.rate.value for stream in self._streams)
        near = 0 < self._path_rtt() < LOW_LATENCY_RTT
        self._level.record_rate(rate, saturated=self._ready_bytes > MAX_READY_BYTES // 3, low_latency=near)
        if status == DONE:
            self._record_arrival(unit, body)
        else:
            self._retry_unit(unit, status)

    def _record_arrival(self, unit: PushUnit, body: bytes) -> None:
        self._acked_bytes += unit.raw_size
        failed = dict(decode_error_rows(body)) if body else {}
        if isinstance(unit.task, FilePack):
            entries, done = unit.task.entries, self._progress.finish_file
            self._progress.advance(sum(entry.size for entry in entries), decode_name(entries[-1].name))
            for entry in entries:
                if entry.name in failed:
                    self._failures.append((entry.name, failed[entry.name]))
                else:
                    done(decode_name(entry.name))
        else:
            self._progress.advance(unit.raw_size, decode_name(unit.task.upload.entry.name))
        unit.mark_acked()

    def _retry_unit(self, unit: PushUnit, status: int) -> None:
        unit.mark_unsent()
        if status == NO_LIBRARY:
            self._builder.use_portable_formats()
        elif status == BAD_DIGEST:
            unit.task.tries += 1
            if unit.task.tries > 2:
                raise damaged_file_error(unit.task.file_name)
        self._retry_tasks.append(unit.task)

    def _handle_base(self, stream: TransferStream, head: bytes, body: bytes) -> None:
        (number,) = struct.unpack(">I", head)
        upload = self._awaiting_base.pop(number)
        skipped = upload.plan_ranges(body, self._builder.digest_kind)
        with self._condition:
            self.resumed += skipped
            self._needed_bytes -= skipped
            self._progress.advance(skipped, decode_name(upload.entry.name))
            self._large_uploads.append(upload)
            self._queue_due_frames()

    # end

    def _is_all_sent(self) -> bool:
        """Return whether nothing is left to send.

        Hard links also wait for the other streams; elsewhere the order of frames is enough.
        """
        return (
            self._is_scan_done
            and not self._small_files
            and not any(upload.ranges for upload in self._large_uploads)
            and not self._awaiting_base
            and not self._open_uploads
            and not self._retry_tasks
            and not self._ready_units
            and not self._building_count
            and (self._is_first_push or not self._manifests)
            and not (self.scan.has_hard_links and any(stream.unacked for stream in self._streams[1:]))
        )

    def _queue_due_frames(self) -> None:
        """Queue due commits of large files, then the end frame; wake the writers. The condition must be held."""
        while due := [upload for upload in self._open_uploads.values() if upload.is_complete()]:
            for upload in due:
                del self._open_uploads[upload.number]
                self._queue_commit(upload)
        if self._is_all_sent() and not self._finish_sent:
            self._finish_sent = True
            self._control_frames.append((ord("F"), b"", b""))
        self._condition.notify_all()

    def _queue_commit(self, upload: LargeUpload) -> None:
        why = upload.describe_change()
        if not why:
            self._pending_commits[upload.number] = upload
            head = upload.make_commit_head(self._full_verify)
            self._control_frames.append((ord("C"), head, upload.entry.name))
            return
        self._stale_uploads.append(upload)
        self._last_number += 1
        fresh = upload.make_retry(self._last_number)
        if fresh is None:
            self._failures.append((upload.entry.name, why))
        else:
            fresh.plan_ranges(None)
            self._open_uploads[fresh.number] = fresh
            self._large_uploads.append(fresh)

    def _handle_commit_ack(self, upload: LargeUpload, status: int, body: bytes) -> None:
        upload.close()
        if status:
            raise damaged_file_error(upload.entry.name)
        if body:
            self._failures.append((upload.entry.name, decode_error_rows(body)[0][1]))
        self._progress.finish_file(decode_name(upload.entry.name))

    def _handle_finished(self, stream: TransferStream, head: bytes, body: bytes) -> None:
        """Note that a stream has nothing left to do; the push ends when that is true of all of them."""
        with self._condition:
            stream.finished = True
            if stream.is_first and body:
                self._final_failures = decode_error_rows(body)
            self._finish_if_done()
            self._condition.notify_all()

    def _finish_if_done(self) -> None:
        """End the push if everything is done, or resume sending. The condition must be held."""
        if not self._finish_sent or not self._streams[0].finished:
            return
        others = [stream for stream in self._streams[1:] if stream.handshaken and not stream.is_lost]
        if self._retry_tasks or self._pending_commits or not self._is_all_sent():
            self._finish_sent = False
            for stream in self._streams:
                stream.finished = stream.finish_sent = False
            self._queue_due_frames()
        elif not any(stream.unacked for stream in self._streams) and all(each.finished for each in others):
            self._mark_finished()

    def _handle_lost_stream(self, stream: TransferStream) -> None:
        """End the push if it was the first stream; queue the work of any other stream again."""
        with self._condition:
            if self._is_over or stream.is_lost:
                return
            stream.is_lost = True
            orphans = list(stream.unacked.values())
            stream.unacked.clear()
            if not stream.is_first:
                for unit in orphans:
                    unit.mark_unsent()
                    self._retry_tasks.append(unit.task)
                self._finish_if_done()
                self._queue_due_frames()
                return
        raise stream.connection.explain_end()
