"""A pytest plugin: a hanging test is stopped with all stacks shown; on a loaded computer every test gets more time.

Load it with ``-p gpurent.testing.time_limit``. The ini value ``time_limit`` is what a test with its fixtures may take,
in seconds on an idle computer (0: unlimited); ``@pytest.mark.timeout(seconds)`` overrides it for one test. A test over
its limit fails where it hangs. If it does not end even then, the whole process exits.
"""

from __future__ import annotations

import asyncio
import faulthandler
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from types import FrameType

import pytest
from attrs import define, field

from gpurent.testing.load_timeouts import LoadDeadline

POLL_SECONDS = 0.5
"""Seconds between two checks by the watcher."""
GRACE_SECONDS = 10.0
"""Seconds (on an idle computer) in which a stopped test must end, including its fixtures."""
MAX_STOPS = 3
"""How often a test is stopped; one that catches it (hypothesis retries the example) has no more time after that."""
EXIT_CODE = 70


@define(eq=False)
class TimeLimitWatcher:
    """Watches one test from its own thread, in which it calls ``stop_test``, and ``give_up`` if that did not help."""

    limit: float
    stop_test: Callable[[], None]
    give_up: Callable[[], None]
    poll_seconds: float = POLL_SECONDS
    grace_seconds: float = field(factory=lambda: GRACE_SECONDS)
    _cancelled: threading.Event = field(factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, name="time limit", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop watching: the test has ended, or a person debugs it."""
        self._cancelled.set()
        self._thread.join()

    def _watch(self) -> None:
        for limit in (self.limit, *[self.grace_seconds] * (MAX_STOPS - 1)):
            if self._wait_for_end(limit):
                return
            self.stop_test()
        if not self._wait_for_end(self.grace_seconds):
            self.give_up()

    def _wait_for_end(self, seconds: float) -> bool:
        deadline = LoadDeadline(seconds)
        while not deadline.is_over:
            if self._cancelled.wait(min(self.poll_seconds, seconds / 4)):
                return True
        return False


class TimeLimitPlugin:
    """The plugin's state: the watcher of the running test."""

    def __init__(self, seconds: float, stderr: int) -> None:
        """Set up the plugin; ``stderr`` is a descriptor that is not captured yet."""
        self._seconds = seconds
        self._stderr = stderr
        self._watcher: TimeLimitWatcher | None = None
        self._timeout_message = ""

    def get_limit(self, item: pytest.Item) -> float:
        mark = item.get_closest_marker("timeout")
        return float(mark.args[0]) if mark is not None and mark.args else self._seconds

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        limit = self.get_limit(item)
        if limit <= 0 or threading.current_thread() is not threading.main_thread():
            return (yield)
        self._timeout_message = f"{item.nodeid} took more than {limit:g} s of an idle computer"
        before = signal.signal(signal.SIGALRM, self._on_alarm)
        self._watcher = TimeLimitWatcher(limit, _interrupt_main_thread, self._give_up)
        self._watcher.start()
        try:
            return (yield)
        finally:
            self._stop_watching()
            signal.signal(signal.SIGALRM, before)

    def pytest_enter_pdb(self) -> None:
        """Stop watching: a debugged test has no time limit."""
        self._stop_watching()

    def _stop_watching(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        """Fail the test; runs in the main thread, wherever the test is."""
        if self._watcher is not None:
            pytest.fail(f"{self._timeout_message}\n{format_all_stacks()}", pytrace=True)

    def _give_up(self) -> None:
        """Exit the process: the main thread is stuck in C code or swallows every exception."""
        os.write(self._stderr, f"\n{self._timeout_message} and cannot be stopped\n".encode())
        faulthandler.dump_traceback(self._stderr, all_threads=True)
        os._exit(EXIT_CODE)


def _interrupt_main_thread() -> None:
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGALRM)


def format_all_stacks() -> str:
    """Return the stacks of every thread and of every task of the running event loop."""
    parts = []
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident():
            parts.append(f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}")
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # no event loop runs
        tasks = set()
    for task in tasks:
        text = io.StringIO()
        task.print_stack(file=text)
        parts.append(text.getvalue())
    return "\n".join(parts)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("time_limit", "seconds of an idle computer that a test may take; 0: for ever", default="0")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "timeout(seconds): how long an idle computer may take for this test")
    config.addinivalue_line("markers", "nightly: takes long, as `gpurent.testing.contracts` marks its tests")
    # Nothing is captured yet; later, descriptor 2 is a file that is lost with the process.
    config.pluginmanager.register(
        TimeLimitPlugin(float(config.getini("time_limit")), os.dup(2)), "gpurent-time-limit"
    )
