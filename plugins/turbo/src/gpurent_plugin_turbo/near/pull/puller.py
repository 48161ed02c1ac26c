"""Down: the far side is hostile. Its names are judged, its sizes not believed, its links not followed."""

from __future__ import annotations

import os
import posixpath
import struct
import zlib
from threading import Lock
from time import monotonic

from gpurent.api import TransferError, TransferReport, objection, shown
from gpurent_plugin_turbo.near.connection.stream_pool import Stream
from gpurent_plugin_turbo.near.pull.name_policy import LOST, Job
from gpurent_plugin_turbo.near.pull.pull_receiver import Arriving
from gpurent_plugin_turbo.shared import wire
from gpurent_plugin_turbo.shared.codec import Codec, compute_digest
from gpurent_plugin_turbo.shared.errors import Broken, Ended
from gpurent_plugin_turbo.shared.pull_frames import CHANGED
from gpurent_plugin_turbo.shared.wire import UNIT

TORN = 8  # answers that may be torn


class Puller(Arriving):
    """One pull. `run` blocks; `stop` ends it from any thread."""

    def run(self) -> TransferReport:
        """Bring everything; a source that is missing is told at the end, after the others came."""
        begun = monotonic()
        try:
            for source in self._cargo.sources:
                why = objection(posixpath.basename(posixpath.normpath(source)), self._cargo.limits.name)
                if why:
                    raise TransferError(f"{shown(source)} cannot be brought home: its name {why}")
            self._add_stream()
            self._wait_for_end()
            if self._finished:
                self._judge.make_links(self._shelf)
        finally:
            self._end()
            for handle in self._open:
                os.close(handle)
            self._shelf.close()
        if self._error is not None:
            raise self._error
        self._tell_lost()
        return TransferReport(
            files=self._judge.files,
            total=self._judge.size,
            sent=sum(stream.line.read_bytes for stream in self._streams),
            resumed=self.resumed,
            seconds=monotonic() - begun,
            skipped=tuple(self._judge.skipped),
        )

    def _tell_lost(self) -> None:
        if self._lost:
            text = "; ".join(f"{name} {why}" for name, why in self._lost[:5])
            more = f" and {len(self._lost) - 5} more" if len(self._lost) > 5 else ""
            raise TransferError(f"{text}{more}", hint="Everything else has come home. Pull again.")
        if self._judge.missing:
            names = ", ".join(self._judge.missing)
            raise TransferError(f"not on the machine: {names}", hint="What was there has come home.")

    # lines

    def _work(self, stream: Stream) -> None:
        self._locks[id(stream)] = Lock()
        self._start(self._reading, stream)

    def _busy(self) -> bool:
        return bool(self._small or self._wholes)

    def _moved(self) -> int:
        return sum(stream.line.read_bytes for stream in self._streams)

    def _reading(self, stream: Stream) -> None:
        codec = Codec()
        try:
            self._feed(stream)
            while not self._over:
                kind, head, size = stream.line.header()
                with self._turn:
                    self._working += 1
                try:
                    self._take(stream, kind, head, size, codec)
                finally:
                    with self._turn:
                        self._working -= 1
                self._feed_all()
        except Ended:
            self._line_ended(stream)
        except (Broken, LookupError, struct.error, zlib.error, ValueError) as error:
            raise TransferError(f"the machine's helper says what it may not say: {error}") from None

    def _take(self, stream: Stream, kind: int, head: bytes, size: int, codec: Codec) -> None:
        if kind == ord("O"):
            stream.line.take(size)
            stream.greeted = True
            stream.wire.greeted()
        elif kind == ord("M") and stream.first:
            self._listing(head, bytes(stream.line.take(size)))
        elif kind in (ord("P"), ord("S")):
            self._unit(stream, kind, head, size, codec)
        elif kind == ord("c"):
            self._changed(stream, head, bytes(stream.line.take(size)))
        elif kind == ord("b"):
            self._blocks(stream, head, bytes(stream.line.take(size)))
        elif kind == ord("h"):
            self._holes(stream, head, bytes(stream.line.take(size)))
        elif kind == ord("v"):
            self._verified(stream, head, bytes(stream.line.take(size)))
        else:
            raise Broken(f"a frame of kind {kind}")

    def _line_ended(self, stream: Stream) -> None:
        with self._turn:
            if self._over or stream.dead:
                return
            stream.dead = True
            if not stream.first:
                for job in stream.unacked.values():
                    self._give_back(job)
                stream.unacked.clear()
                self._turn.notify_all()
        if stream.first:
            raise stream.wire.why()
        self._feed_all()

    def _give_back(self, job: Job) -> None:
        """What did not come, or not as it is, is to be asked for again. The turn is held."""
        self._small.extend(job.files)
        if job.whole is None:
            return
        job.whole.owed -= 1
        if job.whole.lost:
            return
        if job.blocks:
            self._verify.append(job.whole)
        elif job.size:
            job.whole.ranges.append((job.at, job.size))
            if job.whole not in self._wholes:
                self._wholes.append(job.whole)
        else:
            job.whole.digest = LOST
            self._large.append(job.whole.far)

    # what comes

    def _unit(self, stream: Stream, kind: int, head: bytes, size: int, codec: Codec) -> None:
        number, used, digest, length, expected = UNIT.unpack(head)
        job = stream.unacked.get(number)
        if job is None or (kind == ord("P")) != bool(job.files):
            raise Broken("an answer to nothing")
        if length > job.size + (wire.TABLE.size + 21 * len(job.files) if job.files else 0):
            raise Broken("more than was asked for")
        if self._limit:
            self._slow_down(size)
        data = memoryview(codec.unpack(used, stream.line.take(size), length))
        if compute_digest(digest, data) != expected:
            self._ask_anew(stream, number)
            return
        if job.files:
            self._files(job, data)
        elif job.whole is not None:
            if length != job.size:
                raise Broken("less than was asked for")
            self._shelf.write(job.whole.far.name, job.whole.handle, data, job.at)
            self._progress.advance(length, job.whole.far.text)
        self._job(stream, number)
        if job.whole is not None:
            self._came(job.whole)

    def _ask_anew(self, stream: Stream, number: int) -> None:
        """It changed between two looks of the far side, or the line spoilt it: the next answer tells which."""
        self._torn += 1
        if self._torn > TORN:
            raise TransferError("what came is not what was sent", hint="Pull again; it goes on.")
        job = self._job(stream, number)
        with self._turn:
            self._give_back(job)

    def _slow_down(self, size: int) -> None:
        with self._turn:
            self._ending.wait_for(lambda: self._over, size * len(self._streams) / self._limit)

    def _files(self, job: Job, data: memoryview) -> None:
        rows, at = wire.rows(data)
        if len(rows) != len(job.files):
            raise Broken("another number of files than was asked for")
        for far, (state, mode, size, time, _, _) in zip(job.files, rows, strict=True):
            if state == CHANGED:
                self._once_more(far, size if time else mode, time)
                continue
            if size != far.size or at + size > len(data):
                raise Broken("another size than was asked for")
            self._shelf.small(far.name, data[at : at + size], mode & 0o777, far.time)
            at += size
            self._progress.advance(size, far.text)
            self._progress.file_done(far.text)

    def _settle(self) -> None:
        """Whether everything has come. The turn is held."""
        if (
            self._listed
            and not self._small
            and not self._large
            and not self._verify
            and not self._working
            and not any(whole.ranges or whole.owed for whole in self._wholes)
            and not any(stream.unacked for stream in self._streams)
        ):
            self._finish()
