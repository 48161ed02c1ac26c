"""Delivers to somebody who may be slow, hang, print or break: in order, in threads that nobody has to wait for."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Generic, TypeVar

from attrs import frozen

from gpurent.locale import _

T = TypeVar("T")
CAPACITY = 100


@frozen(kw_only=True)
class Outcome:
    """How one delivery went; ``why`` is empty when it went well. ``seconds`` are real ones."""

    name: str
    why: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return not self.why


class DeliveryQueue(Generic[T]):
    """Calls ``send`` for each thing that was put, one after another; ``report`` hears how each call went.

    A call that exceeds ``limit`` seconds is reported as failed; the next one begins when it is over. Both are called in
    threads of the queue. They are daemons: whatever hangs in them ends with the process. At most `CAPACITY` things
    wait; the oldest makes room for the newest.
    """

    def __init__(
        self, name: str, send: Callable[[T], object], limit: float, report: Callable[[Outcome], None]
    ) -> None:
        self.name = name
        self.limit = limit
        self.dropped = 0
        self._send = send
        self._report = report
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._overdue = False
        self._busy = False

    def put(self, thing: T) -> None:
        with self._changed:
            if len(self._waiting) >= CAPACITY:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(thing)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"notify-{self.name}", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    @property
    def left(self) -> int:
        """How many things are not sent yet, the one under way included."""
        with self._changed:
            return len(self._waiting) + self._busy

    def drain(self, seconds: float) -> int:
        """Wait until all is sent, or a call has exceeded its limit, or ``seconds`` are over; what is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._overdue or not (self._waiting or self._busy), seconds)
        return self.left

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                thing = self._waiting.popleft()
                self._busy = True
            delivery = Delivery(self.name, self._send, thing, self.limit)
            outcome = delivery.outcome()
            self._report(outcome)
            with self._changed:
                self._overdue = not (outcome.good or delivery.over)
                self._changed.notify_all()
            delivery.join()
            with self._changed:
                self._overdue = self._busy = False
                self._changed.notify_all()


class Delivery:
    """One call of ``send`` in a thread of its own, which may raise anything, exit, print or never return."""

    def __init__(self, name: str, send: Callable[[T], object], thing: T, limit: float) -> None:
        self._name = name
        self._limit = limit
        self._why: list[str] = []
        self._begun = monotonic()
        self._thread = threading.Thread(
            target=self._run, args=(send, thing), name=f"send-{name}", daemon=True
        )
        self._thread.start()

    def _run(self, send: Callable[[T], object], thing: T) -> None:
        try:
            with muted():
                send(thing)
        except BaseException as error:  # noqa: BLE001 - a plugin may fail in any way, sys.exit() too
            self._why.append(_reason(error))

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def join(self) -> None:
        self._thread.join()

    def outcome(self) -> Outcome:
        """How it went; waits no longer than until its limit."""
        self._thread.join(max(0.0, self._begun + self._limit - monotonic()))
        seconds = min(monotonic() - self._begun, self._limit)
        if not self.over:
            why = _("no answer within {seconds:g} s").format(seconds=self._limit)
            return Outcome(name=self._name, why=why, seconds=self._limit)
        return Outcome(name=self._name, why=self._why[0] if self._why else "", seconds=seconds)


def _reason(error: BaseException) -> str:
    message = getattr(error, "message", None)
    if isinstance(message, str) and message:
        return message
    try:
        text = " ".join(str(error).split())[:300]
    except Exception:  # noqa: BLE001 - even an error's own text may fail
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


_thread = threading.local()


class _FilteredStream:
    """A standard stream that drops what muted threads write and is the real one for everybody else."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def write(self, text: str) -> int:
        if getattr(_thread, "muted", False):
            return len(text)
        written: int = self.real.write(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def filter_streams() -> None:
    """From now on the output of muted threads is dropped; again: does nothing."""
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), _FilteredStream):
            setattr(sys, name, _FilteredStream(getattr(sys, name)))


def restore_streams() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, _FilteredStream):
            setattr(sys, name, stream.real)


@contextmanager
def muted() -> Iterator[None]:
    """What this thread prints inside the block is dropped, once `filter_streams` was called."""
    _thread.muted = True
    try:
        yield
    finally:
        _thread.muted = False
