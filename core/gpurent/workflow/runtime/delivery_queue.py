"""Delivers items in order to a receiver that may be slow, hang, print or fail, in threads nobody has to wait for."""

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
MAX_PENDING = 100


@frozen(kw_only=True)
class DeliveryOutcome:
    """The outcome of one delivery; ``reason`` is empty on success. ``seconds`` are real seconds."""

    name: str
    reason: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.reason


class DeliveryQueue(Generic[T]):
    """Calls ``send`` for each queued item, one at a time; ``report`` receives each outcome.

    A call that exceeds ``limit`` seconds is reported as failed; the next one starts when it returns. Both callbacks run
    in daemon threads of the queue, so whatever hangs in them ends with the process. At most `MAX_PENDING` items wait;
    then the oldest is dropped for the newest.
    """

    def __init__(
        self, name: str, send: Callable[[T], object], limit: float, report: Callable[[DeliveryOutcome], None]
    ) -> None:
        self.name = name
        self.timeout = limit
        self.dropped_count = 0
        self._send = send
        self._report = report
        self._pending: deque[T] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_overdue = False
        self._is_busy = False

    def put(self, item: T) -> None:
        with self._changed:
            if len(self._pending) >= MAX_PENDING:
                self._pending.popleft()
                self.dropped_count += 1
            self._pending.append(item)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run_worker, name=f"notify-{self.name}", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    @property
    def pending_count(self) -> int:
        """The number of unsent items, including the one in progress."""
        with self._changed:
            return len(self._pending) + self._is_busy

    def drain(self, timeout: float) -> int:
        """Wait until everything is sent, a call exceeds its limit, or ``timeout`` passes; return how many are left."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_overdue or not (self._pending or self._is_busy), timeout)
        return self.pending_count

    def _run_worker(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending)
                thing = self._pending.popleft()
                self._is_busy = True
            delivery = Delivery(self.name, self._send, thing, self.timeout)
            outcome = delivery.wait_for_outcome()
            self._report(outcome)
            with self._changed:
                self._is_overdue = not (outcome.ok or delivery.is_done)
                self._changed.notify_all()
            delivery.join()
            with self._changed:
                self._is_overdue = self._is_busy = False
                self._changed.notify_all()


class Delivery:
    """One call of ``send`` in its own thread; it may raise anything, exit, print or never return."""

    def __init__(self, name: str, send: Callable[[T], object], thing: T, limit: float) -> None:
        self._name = name
        self._timeout = limit
        self._errors: list[str] = []
        self._started_at = monotonic()
        self._thread = threading.Thread(
            target=self._send_muted, args=(send, thing), name=f"send-{name}", daemon=True
        )
        self._thread.start()

    def _send_muted(self, send: Callable[[T], object], item: T) -> None:
        try:
            with mute_output():
                send(item)
        except BaseException as error:  # noqa: BLE001 - a plugin may fail in any way, sys.exit() too
            self._errors.append(_format_error(error))

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def join(self) -> None:
        self._thread.join()

    def wait_for_outcome(self) -> DeliveryOutcome:
        """Wait for the outcome, at most until the time limit."""
        self._thread.join(max(0.0, self._started_at + self._timeout - monotonic()))
        seconds = min(monotonic() - self._started_at, self._timeout)
        if not self.is_done:
            why = _("no answer within {seconds:g} s").format(seconds=self._timeout)
            return DeliveryOutcome(name=self._name, reason=why, seconds=self._timeout)
        return DeliveryOutcome(
            name=self._name, reason=self._errors[0] if self._errors else "", seconds=seconds
        )


def _format_error(error: BaseException) -> str:
    message = getattr(error, "message", None)
    if isinstance(message, str) and message:
        return message
    try:
        text = " ".join(str(error).split())[:300]
    except Exception:  # noqa: BLE001 - even an error's own text may fail
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


_thread_state = threading.local()


class _FilteredStream:
    """Wraps a standard stream and drops what muted threads write."""

    def __init__(self, real: Any) -> None:
        self.wrapped = real

    def write(self, text: str) -> int:
        if getattr(_thread_state, "muted", False):
            return len(text)
        written: int = self.wrapped.write(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)


def install_stream_filters() -> None:
    """Drop the output of muted threads from now on. Idempotent."""
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), _FilteredStream):
            setattr(sys, name, _FilteredStream(getattr(sys, name)))


def remove_stream_filters() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, _FilteredStream):
            setattr(sys, name, stream.wrapped)


@contextmanager
def mute_output() -> Iterator[None]:
    """Drop what this thread prints inside the block; requires `install_stream_filters`."""
    _thread_state.muted = True
    try:
        yield
    finally:
        _thread_state.muted = False
