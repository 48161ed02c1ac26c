"""Several lines at once and their threads: opening, adding more while that helps, ending, failing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import Condition, RLock, Thread
from time import monotonic

from gpurent_plugin_turbo.near.connection.rate_control import MIB, Rate
from gpurent_plugin_turbo.near.connection.tcp_tuning import LONG
from gpurent_plugin_turbo.near.errors import lost_line

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from gpurent_plugin_turbo.near.connection.ssh_process import Wire

MANY = 12 * MIB  # from here a second line is worth its login
GREETING = 120.0  # seconds after which a line whose far end said nothing is given up
WINDOW, GAIN = 2.0, 1.15  # seconds of a look at what all lines carry; more by so much is worth a line
FAR = 0.015  # seconds of a round trip from which a line may be slower than the path
YOUNG = 2  # so many of them then
LONG_WAY = 8.0  # seconds that are still to go, or another line is not worth its login
LITTLE = MIB  # for so much it does not matter
NEAR = 0.002  # seconds of a round trip below which the line is hardly the slowest part


class Stream:
    """One line and what is under way on it, by number."""

    def __init__(self, wire: Wire, first: bool) -> None:
        self.wire, self.line, self.first = wire, wire.line, first
        self.unacked: dict[int, Any] = {}
        self.flight = 0
        self.rate = Rate()
        self.since = monotonic()
        self.greeted = False
        self.dead = False
        self.left = self.ended = False  # told that nothing more will come; has answered that

    @property
    def credit(self) -> int:
        """Bytes that may be under way on it."""
        return self.rate.credit(self.wire.trip, self.first)


class Fleet(ABC):
    """`stop` may be called from any thread. ``_turn`` guards everything that threads share.

    Who waits for the end alone waits for ``_ending``: to be woken for each unit costs more than the unit.
    """

    def __init__(self, dial: Callable[[bool], Wire], most: int) -> None:
        self._dial, self._most = dial, most
        lock = RLock()
        self._turn, self._ending = Condition(lock), Condition(lock)
        self._error: BaseException | None = None
        self._stopped = self._finished = self._tuned = False
        self._streams: list[Stream] = []
        self._threads: list[Thread] = []

    @abstractmethod
    def _work(self, stream: Stream) -> None:
        """Start the threads of a new line."""

    @abstractmethod
    def _busy(self) -> bool:
        """Whether the lines are what everything waits for."""

    @abstractmethod
    def _moved(self) -> int:
        """Bytes that the lines have carried."""

    def stop(self) -> None:
        with self._turn:
            self._stopped = True
            self._wake_all()
        for stream in list(self._streams):
            stream.wire.end()

    @property
    def _over(self) -> bool:
        return self._stopped or self._finished or self._error is not None

    def _finish(self) -> None:
        """Everything is done. The turn is held."""
        self._finished = True
        self._wake_all()

    def _wake_all(self) -> None:
        self._turn.notify_all()
        self._ending.notify_all()

    def _wait_for_end(self) -> None:
        with self._turn:
            while not self._over:
                self._ending.wait(1.0)
                self._give_up_mute()

    def _give_up_mute(self) -> None:
        """Lines that never greeted are taken for cut: nothing may hang for ever. The turn is held."""
        for stream in list(self._streams):
            if stream.greeted or stream.dead or self._over or monotonic() - stream.since < GREETING:
                continue
            if stream.first:
                self._error = lost_line("the helper on the machine says nothing")
            else:
                stream.wire.end()

    def _end(self) -> None:
        self.stop()
        for thread in self._threads:
            thread.join(20)
        for stream in self._streams:
            stream.wire.close()

    def _start(self, work: Callable[..., None], *given: object) -> None:
        def guarded() -> None:
            try:
                work(*given)
            except BaseException as error:  # noqa: BLE001 - carried over to the thread that waits
                self._fail(error)

        thread = Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _fail(self, error: BaseException) -> None:
        with self._turn:
            if not self._over:
                self._error = error
            self._wake_all()

    # lines

    def _add_stream(self) -> None:
        stream = Stream(self._dial(not self._streams), not self._streams)
        self._streams.append(stream)
        self._work(stream)

    def _more_lines(self, size: int) -> None:
        """A second line where there is much to carry; further ones come when they help."""
        if not self._tuned and self._most > 1 and size > MANY:
            self._tuned = True
            if len(self._streams) < 2 and not self._long():
                self._add_stream()
            self._start(self._tuning)

    def _far(self) -> bool:
        trips = [stream.rate.trip for stream in self._streams if stream.rate.trip]
        return min(trips, default=0.0) > FAR

    def _trip(self) -> float:
        """Seconds of a round trip as the kernel knows it before anybody has answered; 0.0: nobody knows."""
        return self._streams[0].wire.trip if self._streams else 0.0

    def _long(self) -> bool:
        """A path on which young lines come by another way."""
        return self._trip() >= LONG and self._streams[0].wire.logs_in

    def _lining_up(self) -> None:
        """Over a long path a young connection is slow, and a few of them are quicker: they log in side by side."""
        with self._turn:
            self._turn.wait_for(lambda: self._over or self._streams[0].greeted or self._trip() > 0, 1.0)
            if not self._long():
                return
            self._turn.wait_for(
                lambda: self._over or self._streams[0].greeted or self._waiting() > LITTLE, 1.0
            )
            if self._over or self._streams[0].greeted:
                return
        while len(self._streams) < min(YOUNG, self._most):
            self._add_stream()

    @abstractmethod
    def _waiting(self) -> int:
        """Bytes that are known to be carried and are not on a line yet."""

    def _lossy(self) -> bool:
        return any(stream.wire.lossy for stream in self._streams if not stream.dead)

    def _tuning(self) -> None:
        """More lines as long as they carry more: what one line loses to a lossy path, several do not."""
        before = 0.0
        self._look(1.0)  # young lines tell nothing
        while len(self._streams) < self._most:
            rate = self._look(WINDOW)
            with self._turn:
                if self._over:
                    return
                worth = self._busy() and self._far() and self._lossy() and self._waiting() > LONG_WAY * rate
            if not worth:
                continue
            if rate < before * GAIN:
                return
            before = rate
            self._add_stream()

    def _look(self, seconds: float) -> float:
        """Bytes a second that all lines carry, seen for some time."""
        start, at = self._moved(), monotonic()
        with self._turn:
            self._ending.wait_for(lambda: self._over, seconds)
        return (self._moved() - start) / (monotonic() - at)
