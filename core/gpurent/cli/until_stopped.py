"""Commands that run until Ctrl-C: how they end, and what goes on and costs money after them."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from gpurent.cli.failures import get_exit_code
from gpurent.cli.output import write_line
from gpurent.errors import GpurentError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.cli.context import CliContext
    from gpurent.composition.application import Application
    from gpurent.composition.state import StoredState


def run_until_stopped(
    app: CliContext, lease: str, action: Callable[[Application], Awaitable[None]], text: str
) -> None:
    """Run ``action`` on a machine until Ctrl-C, which is a success; then say ``text`` and what costs money.

    Another signal says the same, and ends the command with the exit code of that signal.
    """
    try:
        app.run(action)
    except KeyboardInterrupt as stop:
        with suppress(OSError, GpurentError):  # a terminal that is gone, a Store that cannot be read
            write_line(text, err=True)
            if cost := app.read_state(partial(_describe_cost, lease_id=lease)):
                write_line(cost, colour="yellow", err=True)
        app.detached_text = text
        if get_exit_code(stop) != 128 + signal.SIGINT:
            raise


async def _describe_cost(state: StoredState, lease_id: str) -> str:
    lease = await state.leases.get_lease(lease_id)
    if lease.is_over or not lease.has_cost:
        return ""
    return _("{lease} still costs money. Release it with: gpurent release {lease}").format(lease=lease.id)
