"""Up: a scan feeds producers, producers feed lines, acknowledgements tell what has arrived."""

from __future__ import annotations

import struct
import zlib
from time import monotonic

from gpurent_plugin_turbo.near.connection.stream_pool import NEAR, Stream
from gpurent_plugin_turbo.near.errors import refused, told, trouble
from gpurent_plugin_turbo.near.push.push_queue import READY, Queue, text
from gpurent_plugin_turbo.near.push.push_units import Big, FileRange, Pack, Unit
from gpurent_plugin_turbo.shared import wire
from gpurent_plugin_turbo.shared.errors import Broken, Ended
from gpurent_plugin_turbo.shared.push_frames import ACK, BAD_DIGEST, NO_LIBRARY

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from gpurent_plugin_turbo.near.push.scan import Scan


class Carried:
    """What a push came to; what core calls a `TransferReport`, without the import."""

    def __init__(self, scan: Scan, sent: int, resumed: int, seconds: float) -> None:
        self.files, self.total, self.skipped = scan.files, scan.size, tuple(scan.skipped)
        self.sent, self.resumed, self.seconds = sent, resumed, seconds


class Pusher(Queue):
    """One push. `run` blocks; `stop` ends it from any thread."""

    def run(self) -> Carried:
        """Carry everything; what could not be carried is told at the end."""
        begun = monotonic()
        self._scan.check()
        try:
            self._add_stream()
            self._start(self._scanning)
            for _ in range(2):
                self._start(self._producing)
            if self._cold:
                self._start(self._lining_up)
            self._wait_for_end()
        finally:
            self._end()
            for big in [*self._stale, *self._open_bigs.values(), *self._commits.values()]:
                big.close()
        if self._error is not None:
            raise self._error
        self._judge()
        return Carried(self._scan, self.sent, self.resumed, monotonic() - begun)

    def _judge(self) -> None:
        lost = [(name, why) for name, why in self._lost]
        lost += [(row[4], row[5].decode("utf-8", "replace")) for row in self._final]
        if lost:
            some = "; ".join(f"{told(name)}: {why}" for name, why in lost[:5])
            more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
            raise trouble(
                f"{some}{more}",
                hint="Everything else has arrived, and nothing half-written was left. Send again.",
            )

    # lines

    def _work(self, stream: Stream) -> None:
        self._start(self._writing, stream)
        self._start(self._reading, stream)

    def _busy(self) -> bool:
        return self._ready_bytes > READY // 4

    def _moved(self) -> int:
        return sum(stream.line.sent_bytes - stream.flight for stream in self._streams)

    # writers

    def _writing(self, stream: Stream) -> None:
        while True:
            with self._turn:
                job = None
                while job is None:
                    if self._over or stream.dead:
                        return
                    job = self._job(stream)
                    if job is None:
                        self._turn.wait(1.0)
            try:
                if isinstance(job, Unit):
                    if (pause := self._throttle.wait(job.wire_size)) > 0:
                        with self._turn:
                            self._ending.wait_for(lambda: self._over, pause)
                    _send(stream.line, job)
                    job.body = ()
                    self._builder.recycle(job)
                else:
                    stream.line.send(job[0], job[1], job[2])
            except Ended:
                self._line_ended(stream)
                return

    def _job(self, stream: Stream) -> Unit | tuple[int, bytes, bytes] | None:
        if stream.first and self._control:
            return self._control.popleft()
        if not self._ready:
            return self._farewell(stream)
        if len(stream.unacked) > 1 and stream.flight + self._ready[0].wire_size > stream.credit:
            return None
        if not stream.greeted and not (self._cold and self._may_go()):
            return None
        unit = self._ready.popleft()
        self._ready_bytes -= unit.wire_size
        stream.unacked[unit.number] = unit
        stream.flight += unit.wire_size
        stream.rate.sent()
        self.sent += unit.wire_size
        unit.mark_sent(stream.first)
        unit.sent_at, unit.raw = monotonic(), None
        self._settle()
        self._turn.notify_all()
        return unit

    def _farewell(self, stream: Stream) -> tuple[int, bytes, bytes] | None:
        """Other lines end by themselves when they have nothing more to do; the first waits for none of them."""
        if not self._finish_sent or stream.first or stream.left or not stream.greeted:
            return None
        stream.left = True
        return ord("F"), b"", b""

    # readers

    def _reading(self, stream: Stream) -> None:
        line = stream.line
        try:
            while True:
                kind, head, size = line.header()
                self._heard(stream, kind, head, bytes(line.take(size)) if size else b"")
        except Ended:
            self._line_ended(stream)
        except (Broken, struct.error, zlib.error) as error:
            raise trouble(f"the machine's helper says what it may not say: {error}") from None

    def _heard(self, stream: Stream, kind: int, head: bytes, body: bytes) -> None:
        if kind == ord("A"):
            self._acknowledged(stream, head, body)
        elif kind == ord("O"):
            self._greeted(stream)
        elif kind == ord("N"):
            self._answer(head, zlib.decompress(body))
        elif kind == ord("b"):
            self._based(head, body)
        elif kind == ord("Z"):
            self._done(stream, body)
        elif kind == ord("E"):
            raise refused(struct.unpack(">I", head)[0], body)
        else:
            raise Broken(f"a frame of kind {kind}")

    def _greeted(self, stream: Stream) -> None:
        with self._turn:
            stream.greeted = True
            stream.wire.greeted()
            self._builder.keep = False
            for unit in self._ready:
                unit.raw = None
            self._turn.notify_all()

    def _acknowledged(self, stream: Stream, head: bytes, body: bytes) -> None:
        number, status = ACK.unpack(head)
        with self._turn:
            big = self._commits.pop(number, None)
            if big is not None:
                self._committed(big, status, body)
            else:
                unit = stream.unacked.pop(number, None)
                if unit is None:
                    raise Broken(f"it acknowledges {number}, which was not sent")
                stream.flight -= unit.wire_size
                stream.rate.acked(unit.wire_size, unit.sent_at, not stream.unacked)
                rate = sum(stream.rate.value for stream in self._streams)
                near = 0 < self._trip() < NEAR
                self._level.carried(rate, full=self._ready_bytes > READY // 3, near=near)
                if status == 0:
                    self._arrived(unit, body)
                else:
                    self._refused(unit, status)
            self._settle()
            self._turn.notify_all()

    def _arrived(self, unit: Unit, body: bytes) -> None:
        self._acked += unit.raw_size
        lost = {row[4]: row for row in wire.rows(body)[0]} if body else {}
        if isinstance(unit.task, Pack):
            entries, done = unit.task.entries, self._progress.file_done
            self._progress.advance(sum(entry.size for entry in entries), text(entries[-1].name))
            for entry in entries:
                if entry.name in lost:
                    self._lost.append((entry.name, lost[entry.name][5].decode("utf-8", "replace")))
                else:
                    done(text(entry.name))
        else:
            self._progress.advance(unit.raw_size, text(unit.task.big.entry.name))
        unit.mark_acked()

    def _refused(self, unit: Unit, status: int) -> None:
        unit.unmark()
        if status == NO_LIBRARY:
            self._builder.plain()
        elif status == BAD_DIGEST:
            unit.task.tries += 1
            if unit.task.tries > 2:
                raise trouble(f"{unit.task.title} did not arrive as it is here", hint="Send again.")
        self._again.append(unit.task)

    def _based(self, head: bytes, body: bytes) -> None:
        (number,) = struct.unpack(">I", head)
        big = self._asked.pop(number)
        skipped = big.plan(body, self._builder.digest_kind)
        with self._turn:
            self.resumed += skipped
            self._needed -= skipped
            self._progress.advance(skipped, text(big.entry.name))
            self._bigs.append(big)
            self._settle()
            self._turn.notify_all()

    # ends

    def _settle(self) -> None:
        """Send what is due: commits of large files, then the end. The turn is held."""
        while due := [big for big in self._open_bigs.values() if big.due()]:
            for big in due:
                del self._open_bigs[big.number]
                self._commit(big)
        if self._all_sent() and not self._finish_sent:
            self._finish_sent = True
            self._control.append((ord("F"), b"", b""))

    def _all_sent(self) -> bool:
        """Nothing is left to send. Hard links wait for other lines, too; else the order of each sees to it."""
        return (
            self._scanned
            and not self._small
            and not any(big.ranges for big in self._bigs)
            and not self._asked
            and not self._open_bigs
            and not self._again
            and not self._ready
            and not self._building
            and (self._cold or not self._manifests)
            and not (
                self._scan.linked and any(stream.unacked for stream in self._streams if not stream.first)
            )
        )

    def _commit(self, big: Big) -> None:
        why = big.changed()
        if why:
            self._stale.append(big)
            fresh = big.again()
            if fresh is None:
                self._lost.append((big.entry.name, why))
            else:
                self._number += 1
                fresh.number = self._number
                fresh.plan(None)
                self._open_bigs[fresh.number] = fresh
                self._bigs.append(fresh)
            return
        self._commits[big.number] = big
        self._control.append((ord("C"), big.commit_head(self._whole), big.entry.name))

    def _committed(self, big: Big, status: int, body: bytes) -> None:
        big.close()
        if status:
            raise trouble(f"{told(big.entry.name)} did not arrive as it is here", hint="Send again.")
        if body:
            self._lost.append((big.entry.name, wire.rows(body)[0][0][5].decode("utf-8", "replace")))
        self._progress.file_done(text(big.entry.name))

    def _done(self, stream: Stream, body: bytes) -> None:
        """A line has nothing to do any more. When that is true of all of them, so has the push."""
        with self._turn:
            stream.ended = True
            if stream.first and body:
                self._final = wire.rows(body)[0]
            self._close()
            self._turn.notify_all()

    def _close(self) -> None:
        """Whether this is the end. The turn is held."""
        if not self._finish_sent or not self._streams[0].ended:
            return
        others = [stream for stream in self._streams[1:] if stream.greeted and not stream.dead]
        if self._again or self._commits or not self._all_sent():
            self._finish_sent = False
            for stream in self._streams:
                stream.ended = stream.left = False
            self._settle()
        elif all(stream.ended for stream in others) and not any(stream.unacked for stream in self._streams):
            self._finish()

    def _line_ended(self, stream: Stream) -> None:
        """The first line's end ends the push; another's work goes back to the others."""
        with self._turn:
            if self._over or stream.dead:
                return
            stream.dead = True
            orphans = list(stream.unacked.values())
            stream.unacked.clear()
            if not stream.first:
                for unit in orphans:
                    unit.unmark()
                    self._again.append(unit.task)
                self._close()
                self._settle()
                self._turn.notify_all()
                return
        raise stream.wire.why()


def _send(line: wire.Line, unit: Unit) -> None:
    (body,) = unit.body
    if not isinstance(body, FileRange):
        line.send(unit.kind, unit.head, body)
        return
    line.announce(unit.kind, unit.head, body.size)
    line.move(body.handle, body.at, body.size)
    line.sent_bytes += body.size
