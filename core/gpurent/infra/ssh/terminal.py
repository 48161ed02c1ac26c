"""The user's terminal tied to a remote one."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import asyncssh

from gpurent.errors import UnavailableError
from gpurent.infra.ssh.connection import AsyncsshConnection
from gpurent.locale import _


@contextmanager
def raw(handle: int) -> Iterator[None]:
    """The terminal in raw mode, restored whatever happens."""
    if not os.isatty(handle):
        yield
        return
    before = termios.tcgetattr(handle)
    try:
        tty.setraw(handle)
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


async def interactive(link: AsyncsshConnection, command: str | None) -> int:
    """Run ``command`` (None: the login shell) with this process's terminal; its exit status.

    Without a terminal of our own the remote command gets none either, and plain pipes.
    """
    stdin, stdout = sys.stdin.fileno(), sys.stdout.fileno()
    has_terminal = os.isatty(stdin)
    size = shutil.get_terminal_size()
    try:
        process = await link.connection.create_process(
            command,
            term_type=os.environ.get("TERM", "xterm") if has_terminal else None,
            term_size=(size.columns, size.lines) if has_terminal else (0, 0, 0, 0),
            encoding=None,
        )
    except (OSError, asyncssh.Error) as error:
        raise UnavailableError(
            _("the line to {endpoint} is lost: {error}").format(endpoint=link.endpoint, error=error),
            retryable=True,
        ) from None
    loop = asyncio.get_running_loop()
    if has_terminal:
        loop.add_signal_handler(
            signal.SIGWINCH, lambda: process.change_terminal_size(*shutil.get_terminal_size())
        )
    with raw(stdin):
        feeding = asyncio.create_task(_feed(process, stdin))
        try:
            await asyncio.gather(_drain(process.stdout, stdout), _drain(process.stderr, sys.stderr.fileno()))
            await process.wait_closed()
        finally:
            feeding.cancel()
            if has_terminal:
                loop.remove_signal_handler(signal.SIGWINCH)
    if process.exit_status is None:
        raise UnavailableError(
            _("the line to {endpoint} is lost").format(endpoint=link.endpoint), retryable=True
        )
    return process.exit_status


async def _feed(process: asyncssh.SSHClientProcess[bytes], handle: int) -> None:
    loop = asyncio.get_running_loop()
    try:
        while True:
            data = await _next(loop, handle)
            if not data:
                process.stdin.write_eof()
                return
            process.stdin.write(data)
            await process.stdin.drain()
    except PermissionError:
        # A plain file as stdin cannot be waited for, and need not be.
        process.stdin.write(await asyncio.to_thread(_all, handle))
        process.stdin.write_eof()
    except (BrokenPipeError, asyncssh.Error):
        return


async def _next(loop: asyncio.AbstractEventLoop, handle: int) -> bytes:
    """What is typed next. Read in the loop's own callback: later nothing may be left, and reading would block."""
    arrived: asyncio.Future[bytes] = loop.create_future()

    def take() -> None:
        loop.remove_reader(handle)
        try:
            arrived.set_result(os.read(handle, 65536))
        except OSError as error:
            arrived.set_exception(error)

    loop.add_reader(handle, take)
    try:
        return await arrived
    finally:
        loop.remove_reader(handle)


def _all(handle: int) -> bytes:
    found = bytearray()
    while chunk := os.read(handle, 1 << 20):
        found += chunk
    return bytes(found)


async def _drain(stream: asyncssh.SSHReader[bytes], handle: int) -> None:
    while chunk := await stream.read(65536):
        view = memoryview(chunk)
        while view:
            view = view[os.write(handle, view) :]
