"""Builds the units of a push from what waits in its queue."""

from __future__ import annotations

from gpurent_plugin_turbo.near.connection.rate_control import MIB
from gpurent_plugin_turbo.near.connection.stream_pool import NEAR_RTT
from gpurent_plugin_turbo.near.connection.tcp_tuning import LONG_RTT
from gpurent_plugin_turbo.near.push.push_queue import MAX_READY, PushQueue
from gpurent_plugin_turbo.near.push.push_units import Pack, Piece, PushUnit
from gpurent_plugin_turbo.shared.codec import Codec

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from gpurent_plugin_turbo.near.push.scan import SourceEntry

MAX_PACK_FILES = 1000
MAX_PACK_BYTES = 3 * MIB // 2  # more packs keep more workers busy over there


class PushProducer(PushQueue):
    """`_build_units` runs in several threads."""

    def _next_task(self) -> Pack | Piece | None:
        """The next thing to build; None: nothing now."""
        if self._retries:
            return self._retries.popleft()
        if self._small_files and (len(self._small_files) >= MAX_PACK_FILES or not self._expects_more()):
            return self._next_pack()
        while self._large_files:
            piece = self._large_files[0].cut_piece(self._unit_size())
            if piece is not None:
                return piece
            self._large_files.popleft()
        return self._next_pack() if self._small_files else None

    def _expects_more(self) -> bool:
        return not self._scanned and sum(entry.size for entry in self._small_files) < self._first_pack_size()

    def _first_pack_size(self) -> int:
        """Bytes of the first pack: a connection that is open has nothing to do before it comes."""
        return MIB if self._streams[0].connection.needs_login else MIB // 4

    def _next_pack(self) -> Pack:
        taken: list[SourceEntry] = []
        size = 0
        most = min(self._unit_size(), MAX_PACK_BYTES) if self._built_bytes else self._first_pack_size()
        while self._small_files and size < most and len(taken) < MAX_PACK_FILES:
            entry = self._small_files.popleft()
            taken.append(entry)
            size += entry.size
        self._condition.notify_all()
        return Pack(taken)

    def _unit_size(self) -> int:
        """Some hundredths of a second of one stream, a fifth of its credit; less when the end is near."""
        streams = max(len(self._streams), 1)
        rate = sum(stream.rate.value for stream in self._streams) / streams
        unrated = MIB // 2 if self._rtt() > LONG_RTT else MIB
        size = min(max(rate * 0.06, MIB // 2), 4 * MIB) if rate else unrated
        left = (self._needed_bytes - self._built_bytes) / (2 * streams) if self._scanned else size
        return int(max(min(size, left), MIB // 4))

    def _build_units(self) -> None:
        codec = Codec()
        while (task := self._wait_for_task()) is not None:
            if isinstance(task, PushUnit):
                self._builder.recompress(task, codec)
                unit: PushUnit | None = task
                failures: list[tuple[bytes, str]] = []
            else:
                unit, failures = self._builder.build_unit(task, codec)
            with self._condition:
                self._building -= 1
                self._failures += failures
                if unit is not None:
                    self._compressed = unit.level > 0
                    if not unit.number:
                        self._last_number += 1
                        unit.number = self._last_number
                    self._ready.append(unit)
                    self._ready_bytes += unit.wire_size
                self._queue_due()

    def _wait_for_task(self) -> Pack | Piece | PushUnit | None:
        """What to build next, or a unit to compress harder; waits for it. None: it is over."""
        with self._condition:
            while not self._is_over:
                task: Pack | Piece | PushUnit | None = None
                if self._ready_bytes < MAX_READY and not self._is_crowded():
                    task = self._next_task()
                task = task or self._pop_recompressible()
                if task is not None:
                    self._building += 1
                    self._built_bytes += 0 if isinstance(task, PushUnit) else task.size
                    if self._rtt() > LONG_RTT:
                        first = self._streams[0]
                        waits = first.connection.needs_login or first.in_flight > MIB // 4
                        self._level.raise_for_long_path(self._rtt(), waits)
                    return task
                self._condition.wait(1.0)
        return None

    def _may_send_early(self) -> bool:
        """Whether units go before the handshake: on a near path at once; else they are compressed harder first."""
        rtt = self._rtt()
        if not rtt or rtt < NEAR_RTT or not self._streams[0].connection.needs_login:
            return bool(rtt)
        improvable = any(
            unit.raw is not None and 0 < unit.level < self._level.idle_level for unit in self._ready
        )
        return not improvable and self._scanned and not self._building and not self._small_files

    def _waits_for_login(self) -> bool:
        """Whether there is nothing to do but to wait for a login on a long path."""
        waits = all(stream.connection.needs_login and not stream.handshaken for stream in self._streams)
        return waits and self._rtt() >= NEAR_RTT

    def _is_crowded(self) -> bool:
        """On a near path a second thread takes processors from a login, and the interpreter from the first one.

        Compressing needs no interpreter: two do it at once. The condition is held.
        """
        if not self._building or self._rtt() >= NEAR_RTT:
            return False
        reads = bool(self._small_files) and not self._compressed
        return reads or any(
            stream.connection.needs_login and not stream.handshaken for stream in self._streams
        )

    def _pop_recompressible(self) -> PushUnit | None:
        """A unit that may be compressed harder, as long as nobody can send it; it leaves the queue for that time."""
        if not self._waits_for_login():
            return None
        for unit in self._ready:
            if unit.raw is not None and unit.level and unit.level < self._level.idle_level:
                self._ready.remove(unit)
                self._ready_bytes -= unit.wire_size
                return unit
        return None
