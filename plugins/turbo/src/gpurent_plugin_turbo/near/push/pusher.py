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
    FrameKind,
    ProtocolViolation,
)


class StreamPusher(PushQueue):
    """One push. `run` blocks; `stop` ends it from any thread."""

    def run(self) -> None:
        """Send everything; files that could not be sent raise a `TransferError` at the end."""
        started_at = monotonic()
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
        self.seconds = monotonic() - started_at

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
            return  # the reader thread handles the loss, after it has read the remote side's last frames

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
            # The first stream's finish frame is one of its control frames and does not wait for the other streams,
            # which are told to finish here; `_finish_or_resume` waits for all of them.
            if (
                not self._is_finish_queued
                or stream.is_first
                or stream.is_finish_sent
                or not stream.is_handshaken
            ):
                return None
            stream.is_finish_sent = True
            return FrameKind.FINISH, b"", b""
        if (
            len(stream.unacked) > 1
            and stream.in_flight + self._ready_units[0].wire_size > stream.max_in_flight
        ):
            return None
        if not stream.is_handshaken and not (self._is_first_push and self._may_send_early()):
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

        On a low-latency path, or on a connection that needs no login, they go at once; otherwise they are first
        recompressed at a higher level while the login runs.
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
            raise protocol_violation_error(error, is_begun=stream.is_handshaken) from None

    def _handle_frame(self, stream: TransferStream, kind: int, head: bytes, body: bytes) -> None:
        if kind == FrameKind.ERROR:
            raise remote_os_error(struct.unpack(">I", head)[0], body)
        handlers = {
            FrameKind.ACK: self._handle_ack,
            FrameKind.MANIFEST_ANSWER: self._handle_manifest_answer,
            FrameKind.HELLO: self._handle_hello,
            FrameKind.FINISHED: self._handle_finished,
            FrameKind.BLOCK_DIGESTS: self._handle_block_digests,
        }
        if kind not in handlers:
            raise ProtocolViolation(f"a frame of kind {kind}")
        handlers[kind](stream, head, body)

    def _handle_hello(self, stream: TransferStream, head: bytes, body: bytes) -> None:
        with self._condition:
            stream.is_handshaken = True
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
        is_queue_backed_up = self._ready_bytes > MAX_READY_BYTES // 3
        self._level.record_rate(
            rate, is_queue_backed_up=is_queue_backed_up, is_low_latency=self._is_low_latency()
        )
        if status == DONE:
            self._record_arrival(unit, body)
        else:
            self._retry_unit(unit, status)

    def _record_arrival(self, unit: PushUnit, body: bytes) -> None:
        self._acked_bytes += unit.raw_size
        failed = dict(decode_error_rows(body)) if body else {}
        if isinstance(unit.task, FilePack):
            entries, finish_file = unit.task.entries, self._progress.finish_file
            self._progress.advance(sum(entry.size for entry in entries), decode_name(entries[-1].name))
            for entry in entries:
                if entry.name in failed:
                    self._failures.append((entry.name, failed[entry.name]))
                else:
                    finish_file(decode_name(entry.name))
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

    def _handle_block_digests(self, stream: TransferStream, head: bytes, body: bytes) -> None:
        (number,) = struct.unpack(">I", head)
        upload = self._awaiting_block_digests.pop(number)
        skipped = upload.plan_ranges(body, self._builder.digest_kind)
        with self._condition:
            self.resumed += skipped
            self._needed_bytes -= skipped
            self._progress.advance(skipped, decode_name(upload.entry.name))
            self._large_uploads.append(upload)
            self._queue_due_frames()

    # end

    def _has_no_pending_work(self) -> bool:
        """Return whether everything was found, built and sent, and nothing needs to be sent again.

        With hard links, the other streams must also have acknowledged everything, because a link may be to any of their
        files; without them, the order of frames on each stream suffices.
        """
        return (
            self._is_scan_done
            and not self._small_files
            and not any(upload.ranges for upload in self._large_uploads)
            and not self._awaiting_block_digests
            and not self._open_uploads
            and not self._retry_tasks
            and not self._ready_units
            and not self._building_count
            and (self._is_first_push or not self._manifests)
            and not (self.scan.has_hard_links and any(stream.unacked for stream in self._streams[1:]))
        )

    def _queue_due_frames(self) -> None:
        """Queue due commits of large files, then the finish frame; wake the writers. The condition must be held."""
        while due := [upload for upload in self._open_uploads.values() if upload.is_complete()]:
            for upload in due:
                del self._open_uploads[upload.number]
                self._queue_commit(upload)
        if self._has_no_pending_work() and not self._is_finish_queued:
            self._is_finish_queued = True
            self._control_frames.append((FrameKind.FINISH, b"", b""))
        self._condition.notify_all()

    def _queue_commit(self, upload: LargeUpload) -> None:
        change = upload.describe_change()
        if not change:
            self._pending_commits[upload.number] = upload
            head = upload.make_commit_head(self._full_verify)
            self._control_frames.append((FrameKind.COMMIT, head, upload.entry.name))
            return
        self._stale_uploads.append(upload)
        self._last_number += 1
        retry = upload.make_retry(self._last_number)
        if retry is None:
            self._failures.append((upload.entry.name, change))
        else:
            retry.plan_ranges(None)
            self._open_uploads[retry.number] = retry
            self._large_uploads.append(retry)

    def _handle_commit_ack(self, upload: LargeUpload, status: int, body: bytes) -> None:
        upload.close()
        if status:
            raise damaged_file_error(upload.entry.name)
        if body:
            self._failures.append((upload.entry.name, decode_error_rows(body)[0][1]))
        else:
            self._progress.finish_file(decode_name(upload.entry.name))

    def _handle_finished(self, stream: TransferStream, head: bytes, body: bytes) -> None:
        """Note that the remote side has done everything that this stream sent; the push ends when all streams have."""
        with self._condition:
            stream.is_finished = True
            if stream.is_first and body:
                self._final_failures = decode_error_rows(body)
            self._finish_or_resume()
            self._condition.notify_all()

    def _finish_or_resume(self) -> None:
        """Once the first stream has finished, end the push, or resume sending if anything must be sent again.

        The condition must be held.
        """
        if not self._is_finish_queued or not self._streams[0].is_finished:
            return
        others = [stream for stream in self._streams[1:] if stream.is_handshaken and not stream.is_lost]
        if self._retry_tasks or self._pending_commits or not self._has_no_pending_work():
            self._is_finish_queued = False
            for stream in self._streams:
                stream.is_finished = stream.is_finish_sent = False
            self._queue_due_frames()
        elif not any(stream.unacked for stream in self._streams) and all(
            stream.is_finished for stream in others
        ):
            self._mark_finished()

    def _handle_lost_stream(self, stream: TransferStream) -> None:
        """End the push if it was the first stream; queue the work of any other stream again."""
        with self._condition:
            if self._is_over or stream.is_lost:
                return
            stream.is_lost = True
            unacked_units = list(stream.unacked.values())
            stream.unacked.clear()
            if not stream.is_first:
                for unit in unacked_units:
                    unit.mark_unsent()
                    self._retry_tasks.append(unit.task)
                self._finish_or_resume()
                self._queue_due_frames()
                return
        raise stream.connection.explain_end()
