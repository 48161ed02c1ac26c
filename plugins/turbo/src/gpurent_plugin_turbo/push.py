"""Up: a scan feeds producers, producers feed lines, acknowledgements tell what has arrived."""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Callable
from time import monotonic

from gpurent.api import Progress, TransferError, TransferReport
from gpurent_plugin_turbo import wire
from gpurent_plugin_turbo.far import (
    ACK,
    BAD_DIGEST,
    HAVE,
    NEED,
    NO_LIBRARY,
)
from gpurent_plugin_turbo.fleet import Fleet, Stream
from gpurent_plugin_turbo.lines import Wire
from gpurent_plugin_turbo.names import shown
from gpurent_plugin_turbo.pace import MIB, Level, Throttle
from gpurent_plugin_turbo.scan import Entry, Scan
from gpurent_plugin_turbo.troubles import refused
from gpurent_plugin_turbo.units import Big, Builder, FileRange, Pack, Piece, Unit
from gpurent_plugin_turbo.wire import FILE, Ended

CHUNK = 2048  # entries of a manifest
AHEAD = 4  # manifests without an answer
BACKLOG = 20_000  # entries that wait for a producer
READY = 12 * MIB  # finished units that wait for a line
BIG = MIB  # from here a file is cut into segments
PACK_FILES = 1000


class Pusher(Fleet):
    """One push. `run` blocks; `stop` ends it from any thread."""

    def __init__(
        self,
        scan: Scan,
        progress: Progress,
        dial: Callable[[bool], Wire],
        *,
        cold: bool = False,
        whole: bool = False,
        lines: int = 8,
        limit: int = 0,
    ) -> None:
        super().__init__(dial, lines)
        self._scan, self._progress = scan, progress
        self._cold, self._whole = cold, whole
        self._throttle = Throttle(limit)
        self._level = Level()
        self._builder = Builder(self._level, whole)
        # what is to be done
        self._manifests: dict[int, list[Entry]] = {}
        self._small: deque[Entry] = deque()
        self._bigs: deque[Big] = deque()
        self._open_bigs: dict[int, Big] = {}
        self._again: deque[Pack | Piece] = deque()
        self._ready: deque[Unit] = deque()
        self._ready_bytes = 0
        self._building = 0
        self._scanned = self._saw_big = False
        self._control: deque[tuple[int, bytes, bytes]] = deque()
        self._commits: dict[int, Big] = {}
        self._stale: list[Big] = []  # given up; a line may still read of them
        self._asked: dict[int, Big] = {}
        self._number = 0
        self._finish_sent = False
        self._final: list[tuple[int, int, int, int, bytes, bytes]] = []
        # what came of it
        self.sent = self.resumed = 0
        self._needed = self._planned = self._acked = 0
        self._lost: list[tuple[bytes, str]] = []
        self._told = (0, 0)

    def run(self) -> TransferReport:
        """Carry everything; what could not be carried is told at the end."""
        begun = monotonic()
        self._scan.check()
        try:
            self._add_stream()
            self._start(self._scanning)
            for _ in range(2):
                self._start(self._producing)
            self._wait_for_end()
        finally:
            self._end()
            for big in [*self._stale, *self._open_bigs.values(), *self._commits.values()]:
                big.close()
        if self._error is not None:
            raise self._error
        self._judge()
        return TransferReport(
            files=self._scan.files,
            total=self._scan.size,
            sent=self.sent,
            resumed=self.resumed,
            seconds=monotonic() - begun,
            skipped=tuple(self._scan.skipped),
        )

    def _judge(self) -> None:
        lost = [(name, why) for name, why in self._lost]
        lost += [(row[4], row[5].decode("utf-8", "replace")) for row in self._final]
        if lost:
            told = "; ".join(f"{shown(_text(name))}: {why}" for name, why in lost[:5])
            more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
            raise TransferError(
                f"{told}{more}",
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

    # the scan

    def _scanning(self) -> None:
        first, number, chunk = self._streams[0], 0, []
        for entry in self._scan.entries():
            chunk.append(entry)
            if len(chunk) >= CHUNK:
                self._manifest(first, number, chunk)
                number, chunk = number + 1, []
        self._manifest(first, number, chunk)
        with self._turn:
            self._scanned = True
            self._settle()
            self._turn.notify_all()

    def _manifest(self, first: Stream, number: int, chunk: list[Entry]) -> None:
        body = zlib.compress(wire.table([entry.row for entry in chunk]), 1)
        with self._turn:
            self._turn.wait_for(
                lambda: (
                    self._over
                    or (
                        len(self._manifests) < AHEAD
                        and len(self._small) < BACKLOG
                        and len(self._bigs) < BACKLOG
                    )
                )
            )
            self._manifests[number] = chunk
            self._control.append((ord("M"), struct.pack(">I", number), body))
            self._tell_total()
            if self._cold:
                files = [entry for entry in chunk if entry.kind == FILE]
                self._saw_big = self._saw_big or any(entry.size >= BIG for entry in files)
                self._need([entry for entry in files if entry.size < BIG])
            self._turn.notify_all()

    def _tell_total(self) -> None:
        told = (self._scan.files, self._scan.size)
        if told != self._told:
            self._told = told
            self._progress.total(*told)

    def _answer(self, head: bytes, body: bytes) -> None:
        number, free, count = struct.unpack(">IQI", head)
        chunk = self._manifests.get(number)
        if chunk is None or count != len(chunk) or len(body) < count:
            raise wire.Broken("an answer to nothing")
        wanted, have = self._sorted(chunk, body)
        with self._turn:
            del self._manifests[number]
            if not self._cold:
                for entry in have:
                    self.resumed += entry.size
                    self._progress.advance(entry.size, _text(entry.name))
                    self._progress.file_done(_text(entry.name))
            self._room_for(sum(_weight(entry) for entry, base in wanted if not base), free)
            self._need([entry for entry, _ in wanted if entry.size < BIG])
            for entry, base in wanted:
                if entry.size >= BIG:
                    self._big(entry, base)
            self._settle()
            self._turn.notify_all()

    def _sorted(self, chunk: list[Entry], body: bytes) -> tuple[list[tuple[Entry, bool]], list[Entry]]:
        """What is to be sent, with whether something of it is there, and what is there as it is."""
        wanted, have = [], []
        digests = body[len(chunk) :]
        for entry, state in zip(chunk, body, strict=False):
            if entry.kind != FILE:
                continue
            good = state == HAVE
            if good and self._whole:
                mine, digests = digests[:16], digests[16:]
                good = mine == self._builder.whole_digest(entry.path)
            if good:
                have.append(entry)
            elif not self._cold or entry.size >= BIG:
                wanted.append((entry, state != NEED))
        return wanted, have

    def _room_for(self, size: int, free: int) -> None:
        waiting = size + max(0, self._planned - self._acked)
        if waiting > free:
            raise TransferError(
                f"the machine has {free} bytes free, and {waiting} are to be sent",
                hint="Leave something out with .gpurentignore, or rent a larger disk.",
            )

    def _need(self, entries: list[Entry]) -> None:
        self._small.extend(entries)
        size = sum(entry.size for entry in entries)
        self._needed += size
        self._planned += size
        self._more_lines(self._needed)

    def _big(self, entry: Entry, base: bool) -> None:
        self._number += 1
        big = Big(self._number, entry)
        self._open_bigs[big.number] = big
        self._needed += entry.size
        self._planned += _weight(entry)
        if base:
            self._asked[big.number] = big
            kind = wire.BEST_DIGEST if not self._builder.plain_digest else wire.BLAKE
            head = struct.pack(">IQ33sB", big.number, entry.size, big.part, kind)
            self._control.append((ord("B"), head, entry.name))
        else:
            big.plan(None)
            self._bigs.append(big)
        self._more_lines(self._needed)

    # producers

    def _next(self) -> Pack | Piece | None:
        """The next thing to build; None: nothing now."""
        if self._again:
            return self._again.popleft()
        if self._small and (len(self._small) >= PACK_FILES or not self._more_coming()):
            return self._next_pack()
        while self._bigs:
            piece = self._bigs[0].next_piece(self._unit_size())
            if piece is not None:
                return piece
            self._bigs.popleft()
        return self._next_pack() if self._small else None

    def _more_coming(self) -> bool:
        return not self._scanned and sum(entry.size for entry in self._small) < MIB

    def _next_pack(self) -> Pack:
        taken: list[Entry] = []
        size = 0
        while self._small and size < self._unit_size() and len(taken) < PACK_FILES:
            entry = self._small.popleft()
            taken.append(entry)
            size += entry.size
        self._turn.notify_all()
        return Pack(taken)

    def _unit_size(self) -> int:
        rate = sum(stream.rate.value for stream in self._streams)
        if not rate:
            return MIB
        return int(min(max(rate * 0.15, MIB // 2), 4 * MIB))

    def _producing(self) -> None:
        codec = wire.Codec()
        while True:
            with self._turn:
                task, rough = None, None
                while task is None:
                    if self._over:
                        return
                    if self._ready_bytes < READY:
                        task = self._next()
                    if task is None and (rough := self._rough()) is not None:
                        break
                    if task is None:
                        self._turn.wait(1.0)
                self._building += 1
            if task is None and rough is not None:
                self._builder.polish(rough, codec)
                with self._turn:
                    self._building -= 1
                    self._ready.append(rough)
                    self._ready_bytes += rough.wire_size
                    self._turn.notify_all()
                continue
            if task is None:
                return
            unit, lost = self._builder.build(task, codec)
            with self._turn:
                self._building -= 1
                self._lost += lost
                if unit is not None:
                    self._number += 1
                    unit.number = self._number
                    self._ready.append(unit)
                    self._ready_bytes += unit.wire_size
                self._settle()
                self._turn.notify_all()

    def _roughs(self) -> bool:
        """Whether the time until the greeting is better spent on pressing than on filling the pipe."""
        patient = self._level.patient
        rough = any(unit.raw is not None and 0 < unit.level < patient for unit in self._ready)
        return rough or not self._scanned or bool(self._building or self._small)

    def _rough(self) -> Unit | None:
        """A unit that may be pressed harder, as long as nobody can send it; it leaves the queue for that time."""
        if any(stream.greeted for stream in self._streams):
            return None
        for unit in self._ready:
            if unit.raw is not None and unit.level and unit.level < self._level.patient:
                self._ready.remove(unit)
                self._ready_bytes -= unit.wire_size
                return unit
        return None

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
                            self._turn.wait_for(lambda: self._over, pause)
                    _send(stream.line, job)
                    job.body = ()
                else:
                    stream.line.send(job[0], job[1], job[2])
            except Ended:
                self._line_ended(stream)
                return

    def _job(self, stream: Stream) -> Unit | tuple[int, bytes, bytes] | None:
        if stream.first and self._control:
            return self._control.popleft()
        if not self._ready:
            return None
        if stream.flight and stream.flight + self._ready[0].wire_size > stream.rate.credit:
            return None
        if not stream.greeted and (not stream.first or not self._cold or self._roughs()):
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

    # readers

    def _reading(self, stream: Stream) -> None:
        line = stream.line
        try:
            while True:
                kind, head, size = line.header()
                body = bytes(line.take(size)) if size else b""
                if kind == ord("A"):
                    self._acknowledged(stream, head, body)
                elif kind == ord("O"):
                    with self._turn:
                        stream.greeted = True
                        self._turn.notify_all()
                elif kind == ord("N"):
                    self._answer(head, zlib.decompress(body))
                elif kind == ord("b"):
                    self._based(head, body)
                elif kind == ord("Z"):
                    self._done(body)
                elif kind == ord("E"):
                    (number,) = struct.unpack(">I", head)
                    raise refused(number, body)
                else:
                    raise wire.Broken(f"a frame of kind {kind}")
        except Ended:
            self._line_ended(stream)
        except (wire.Broken, struct.error, zlib.error) as error:
            raise TransferError(f"the machine's helper says what it may not say: {error}") from None

    def _acknowledged(self, stream: Stream, head: bytes, body: bytes) -> None:
        number, status = ACK.unpack(head)
        with self._turn:
            big = self._commits.pop(number, None)
            if big is not None:
                self._committed(big, status, body)
            else:
                unit = stream.unacked.pop(number, None)
                if unit is None:
                    raise wire.Broken(f"it acknowledges {number}, which was not sent")
                stream.flight -= unit.wire_size
                stream.rate.acked(unit.wire_size, unit.sent_at, not stream.unacked)
                rate = sum(stream.rate.value for stream in self._streams)
                self._level.carried(rate, full=self._ready_bytes > READY // 3)
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
            for entry in unit.task.entries:
                self._progress.advance(entry.size, _text(entry.name))
                if entry.name in lost:
                    self._lost.append((entry.name, lost[entry.name][5].decode("utf-8", "replace")))
                else:
                    self._progress.file_done(_text(entry.name))
        else:
            self._progress.advance(unit.raw_size, _text(unit.task.big.entry.name))
        unit.mark_acked()

    def _refused(self, unit: Unit, status: int) -> None:
        unit.unmark()
        if status == NO_LIBRARY:
            self._builder.plain()
        elif status == BAD_DIGEST:
            unit.task.tries += 1
            if unit.task.tries > 2:
                raise TransferError(f"{unit.task.title} did not arrive as it is here", hint="Send again.")
        self._again.append(unit.task)

    def _based(self, head: bytes, body: bytes) -> None:
        (number,) = struct.unpack(">I", head)
        big = self._asked.pop(number)
        skipped = big.plan(body, self._builder)
        with self._turn:
            self.resumed += skipped
            self._needed -= skipped
            self._progress.advance(skipped, _text(big.entry.name))
            self._bigs.append(big)
            self._settle()
            self._turn.notify_all()

    # ends

    def _settle(self) -> None:
        """Send what is due: commits of large files, then the end. The turn is held."""
        for big in list(self._open_bigs.values()):
            if big.due():
                del self._open_bigs[big.number]
                self._commit(big)
        if self._all_sent() and not self._finish_sent:
            self._finish_sent = True
            self._control.append((ord("F"), b"", b""))

    def _all_sent(self) -> bool:
        """Nothing is left to send, and other lines owe nothing: the first line's own order sees to the rest."""
        return (
            self._scanned
            and not self._small
            and not any(big.ranges for big in self._bigs)
            and not self._asked
            and not self._open_bigs
            and not self._again
            and not self._ready
            and not self._building
            and (not self._manifests or (self._cold and not self._saw_big))
            and not any(stream.unacked for stream in self._streams if not stream.first)
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
            raise TransferError(
                f"{shown(_text(big.entry.name))} did not arrive as it is here", hint="Send again."
            )
        if body:
            self._lost.append((big.entry.name, wire.rows(body)[0][0][5].decode("utf-8", "replace")))
        self._progress.file_done(_text(big.entry.name))

    def _done(self, body: bytes) -> None:
        with self._turn:
            if self._again or self._commits or any(stream.unacked for stream in self._streams):
                self._finish_sent = False
                self._settle()
            else:
                self._final = wire.rows(body)[0] if body else []
                self._finished = True
            self._turn.notify_all()

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
                self._settle()
                self._turn.notify_all()
                return
        raise stream.wire.why()


def _weight(entry: Entry) -> int:
    """Bytes that a file takes on a disk: holes take none."""
    if entry.size < BIG:
        return entry.size
    try:
        return min(entry.size, os.lstat(entry.path).st_blocks * 512)
    except OSError:
        return entry.size


def _send(line: wire.Line, unit: Unit) -> None:
    (body,) = unit.body
    if not isinstance(body, FileRange):
        line.send(unit.kind, unit.head, body)
        return
    line.announce(unit.kind, unit.head, body.size)
    line.move(body.handle, body.at, body.size)
    line.sent_bytes += body.size


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
