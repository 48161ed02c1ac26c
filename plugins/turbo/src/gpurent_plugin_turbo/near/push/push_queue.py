"""The near half of a push: a scan, the machine's answers to it, and producers of units."""

from __future__ import annotations

import os
import struct
import zlib
from abc import abstractmethod
from collections import deque

from gpurent_plugin_turbo.near.connection.rate_control import MIB, Level, Throttle
from gpurent_plugin_turbo.near.connection.stream_pool import NEAR, Fleet
from gpurent_plugin_turbo.near.connection.tcp_tuning import LONG
from gpurent_plugin_turbo.near.errors import trouble
from gpurent_plugin_turbo.near.push.push_units import Big, Pack, Piece, Unit
from gpurent_plugin_turbo.near.push.unit_builder import Builder
from gpurent_plugin_turbo.shared import wire
from gpurent_plugin_turbo.shared.codec import BEST_DIGEST, BLAKE, Codec
from gpurent_plugin_turbo.shared.errors import Broken
from gpurent_plugin_turbo.shared.push_frames import HAVE, MANIFEST, NEED
from gpurent_plugin_turbo.shared.wire import FILE

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from collections.abc import Callable

    from gpurent.api import Progress
    from gpurent_plugin_turbo.near.connection.ssh_process import Wire
    from gpurent_plugin_turbo.near.push.scan import Entry, Scan

CHUNK = 2048  # entries of a manifest
FIRST = 192  # of the first one where nobody is asked what is there, then twice as many: building begins early
AHEAD = 4  # manifests without an answer
BACKLOG = 20_000  # entries that wait for a producer
READY = 12 * MIB  # finished units that wait for a line
BIG = MIB  # from here a file is cut into segments
PACK_FILES = 1000
PACK = 3 * MIB // 2  # bytes of a pack at most: more of them keep more hands busy over there


class Queue(Fleet):
    """What is known of a push: what there is, what waits to be built, what waits for a line."""

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
        self._manifests: dict[int, tuple[list[Entry], int]] = {}  # with the bytes that travel unasked
        self._small: deque[Entry] = deque()
        self._bigs: deque[Big] = deque()
        self._open_bigs: dict[int, Big] = {}
        self._again: deque[Pack | Piece] = deque()
        self._ready: deque[Unit] = deque()
        self._ready_bytes = 0
        self._building = 0
        self._scanned = self._presses = False
        self._control: deque[tuple[int, bytes, bytes]] = deque()
        self._commits: dict[int, Big] = {}
        self._stale: list[Big] = []  # given up; a line may still read of them
        self._asked: dict[int, Big] = {}
        self._number = 0
        self._finish_sent = False
        self._final: list[tuple[int, int, int, int, bytes, bytes]] = []
        # what came of it
        self.sent = self.resumed = 0
        self._needed = self._large = self._planned = self._built = self._acked = 0
        self._lost: list[tuple[bytes, str]] = []
        self._told = (0, 0)

    def _waiting(self) -> int:
        return max(0, self._needed - self._acked)

    @abstractmethod
    def _settle(self) -> None:
        """Send what is due. The turn is held."""

    # the scan

    def _scanning(self) -> None:
        number, chunk = 0, []
        most = FIRST if self._cold else CHUNK
        for entry in self._scan.entries():
            chunk.append(entry)
            if len(chunk) >= most:
                self._manifest(number, chunk)
                number, chunk, most = number + 1, [], min(2 * most, CHUNK)
        self._manifest(number, chunk)
        with self._turn:
            self._scanned = True
            self._settle()
            self._turn.notify_all()

    def _manifest(self, number: int, chunk: list[Entry]) -> None:
        """What the machine is to know. Of files that travel anyway it hears when they come."""
        files = [entry for entry in chunk if entry.kind == FILE] if self._cold else []
        if self._cold:
            chunk = [entry for entry in chunk if entry.kind != FILE]
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
            self._tell_total()
            self._need([entry for entry in files if entry.size < BIG])
            for entry in files:
                if entry.size >= BIG:
                    self._big(entry, base=False)
            weight = max(0, self._planned - self._acked) if self._cold else 0
            self._manifests[number] = (chunk, weight)
            self._control.append((ord("M"), MANIFEST.pack(number, weight), body))
            self._turn.notify_all()

    def _tell_total(self) -> None:
        told = (self._scan.files, self._scan.size)
        if told != self._told:
            self._told = told
            self._progress.total(*told)

    def _answer(self, head: bytes, body: bytes) -> None:
        number, free, count = struct.unpack(">IQI", head)
        chunk, weight = self._manifests.get(number, ([], 0))
        if number not in self._manifests or count != len(chunk) or len(body) < count:
            raise Broken("an answer to nothing")
        wanted, have = ([], []) if self._cold else self._sorted(chunk, body)
        with self._turn:
            del self._manifests[number]
            for entry in have:
                self.resumed += entry.size
                self._progress.advance(entry.size, text(entry.name))
                self._progress.file_done(text(entry.name))
            self._room_for(weight or self._waits(wanted), free)
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
            else:
                wanted.append((entry, state != NEED))
        return wanted, have

    def _waits(self, wanted: list[tuple[Entry, bool]]) -> int:
        """Bytes that the machine's disk must take from now on."""
        return sum(_weight(entry) for entry, base in wanted if not base) + max(0, self._planned - self._acked)

    def _room_for(self, size: int, free: int) -> None:
        if size > free:
            raise trouble(
                f"the machine has {free} bytes free, and {size} are to be sent",
                hint="Leave something out with .gpurentignore, or rent a larger disk.",
            )

    def _need(self, entries: list[Entry]) -> None:
        self._small.extend(entries)
        size = sum(entry.size for entry in entries)
        self._needed += size
        self._planned += size
        if self._trip() > NEAR:  # else the crew on the machine is what helps, and one line does
            self._more_lines(self._needed)

    def _big(self, entry: Entry, base: bool) -> None:
        self._number += 1
        big = Big(self._number, entry)
        self._open_bigs[big.number] = big
        self._needed += entry.size
        self._planned += _weight(entry)
        if base:
            self._asked[big.number] = big
            kind = BEST_DIGEST if not self._builder.plain_digest else BLAKE
            head = struct.pack(">IQ33sB", big.number, entry.size, big.part, kind)
            self._control.append((ord("B"), head, entry.name))
        else:
            big.plan(None)
            self._bigs.append(big)
        self._large += entry.size
        self._more_lines(self._large)

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
        return not self._scanned and sum(entry.size for entry in self._small) < self._first_size()

    def _first_size(self) -> int:
        """Bytes of the first pack: a connection that is open has nothing to do before it comes."""
        return MIB if self._streams[0].wire.logs_in else MIB // 4

    def _next_pack(self) -> Pack:
        taken: list[Entry] = []
        size = 0
        most = min(self._unit_size(), PACK) if self._built else self._first_size()
        while self._small and size < most and len(taken) < PACK_FILES:
            entry = self._small.popleft()
            taken.append(entry)
            size += entry.size
        self._turn.notify_all()
        return Pack(taken)

    def _unit_size(self) -> int:
        """Some hundredths of a second of one line, a fifth of what it may owe; less when the end is near."""
        lines = max(len(self._streams), 1)
        rate = sum(stream.rate.value for stream in self._streams) / lines
        size = min(max(rate * 0.06, MIB // 2), 4 * MIB) if rate else MIB // 2 if self._trip() > LONG else MIB
        left = (self._needed - self._built) / (2 * lines) if self._scanned else size
        return int(max(min(size, left), MIB // 4))

    def _producing(self) -> None:
        codec = Codec()
        while (task := self._take_task()) is not None:
            if isinstance(task, Unit):
                self._builder.polish(task, codec)
                unit: Unit | None = task
                lost: list[tuple[bytes, str]] = []
            else:
                unit, lost = self._builder.build(task, codec)
            with self._turn:
                self._building -= 1
                self._lost += lost
                if unit is not None:
                    self._presses = unit.level > 0
                    if not unit.number:
                        self._number += 1
                        unit.number = self._number
                    self._ready.append(unit)
                    self._ready_bytes += unit.wire_size
                self._settle()
                self._turn.notify_all()

    def _take_task(self) -> Pack | Piece | Unit | None:
        """What to build next, or a unit to press harder; waits for it. None: it is over."""
        with self._turn:
            while not self._over:
                task: Pack | Piece | Unit | None = None
                if self._ready_bytes < READY and not self._crowded():
                    task = self._next()
                task = task or self._rough()
                if task is not None:
                    self._building += 1
                    self._built += 0 if isinstance(task, Unit) else task.size
                    if self._trip() > LONG:
                        first = self._streams[0]
                        waits = first.wire.logs_in or first.flight > MIB // 4
                        self._level.far(self._trip(), waits)
                    return task
                self._turn.wait(1.0)
        return None

    def _may_go(self) -> bool:
        """Whether units go before the greeting: on a near path at once; on a far one they are pressed harder first."""
        trip = self._trip()
        if not trip or trip < NEAR or not self._streams[0].wire.logs_in:
            return bool(trip)
        rough = any(unit.raw is not None and 0 < unit.level < self._level.patient for unit in self._ready)
        return not rough and self._scanned and not self._building and not self._small

    def _patient(self) -> bool:
        """Whether there is nothing to do but to wait for a login on a long path."""
        waits = all(stream.wire.logs_in and not stream.greeted for stream in self._streams)
        return waits and self._trip() >= NEAR

    def _crowded(self) -> bool:
        """On a near path a second producer takes processors from a login, and the interpreter from the first one.

        Pressing needs no interpreter: two do it at once. The turn is held.
        """
        if not self._building or self._trip() >= NEAR:
            return False
        reads = bool(self._small) and not self._presses
        return reads or any(stream.wire.logs_in and not stream.greeted for stream in self._streams)

    def _rough(self) -> Unit | None:
        """A unit that may be pressed harder, as long as nobody can send it; it leaves the queue for that time."""
        if not self._patient():
            return None
        for unit in self._ready:
            if unit.raw is not None and unit.level and unit.level < self._level.patient:
                self._ready.remove(unit)
                self._ready_bytes -= unit.wire_size
                return unit
        return None


def _weight(entry: Entry) -> int:
    """Bytes that a file takes on a disk: holes take none."""
    if entry.size < BIG:
        return entry.size
    try:
        return min(entry.size, os.lstat(entry.path).st_blocks * 512)
    except OSError:
        return entry.size


def text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
