"""Ctrl-C, a termination, a closed terminal and a closed pipe: each detaches, and the second one ends at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

from attrs import define

from gpurent.cli.failures import StopSignal
from gpurent.cli.output import write_last_words
from gpurent.composition.terminal import STOP_SIGNALS as STOP_SIGNALS, handle_stop_signals
from gpurent.locale import _

T = TypeVar("T")


@define(eq=False)
class StopRequests:
    """Runs one coroutine, and cancels it at the first signal, so that it can clean up."""

    _task: asyncio.Task[Any] | None = None
    _number: int | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` in a new event loop. Raises `StopSignal` if it was stopped."""
        return asyncio.run(self._run(work))

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        self._task = task = asyncio.get_running_loop().create_task(work)
        with handle_stop_signals(self.request_stop):
            try:
                return await task
            except asyncio.CancelledError:
                if self._number is None:
                    raise
                raise StopSignal(self._number) from None

    def request_stop(self, number: int) -> None:
        """Stop the work; if that was requested before, end the process at once."""
        if self._number is not None and number in STOP_SIGNALS:
            _exit_at_once(number)
        self._number = self._number or number
        if self._task is not None:
            self._task.cancel()


def _exit_at_once(number: int) -> NoReturn:
    text = _("Ended at once. To see what is still open: gpurent trips, gpurent ls --refresh")
    write_last_words(text)
    os._exit(128 + number)
