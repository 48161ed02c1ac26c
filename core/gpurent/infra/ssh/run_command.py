"""Runs one script in a session: sends what it reads once it has begun, and reads both outputs to its end."""

from __future__ import annotations

import asyncio
import contextlib

import asyncssh

from gpurent.errors import RemoteError
from gpurent.locale import _
from gpurent.roles.shell_door import MAX_OUTPUT_BYTES, DoorOutput, DoorRun

CLOSE_GRACE = 0.3
DECOY_INTERVAL = 1.0


async def communicate(process: asyncssh.SSHClientProcess[bytes], run: DoorRun) -> None:
    """Run ``run`` to its end, or to the end of ``process``."""
    begun = asyncio.Event()
    tasks = [
        asyncio.ensure_future(_send_input(process, run, begun)),
        asyncio.ensure_future(_read_stream(process.stdout, run.out, begun)),
        asyncio.ensure_future(_read_stream(process.stderr, run.err, begun)),
    ]
    try:
        await asyncio.gather(*tasks[1:])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if not run.has_ended:
        await process.wait_closed()
        return
    await _wait_for_exit(process)
    process.close()


async def _wait_for_exit(process: asyncssh.SSHClientProcess[bytes]) -> None:
    """Wait until the shell has ended: what a start file left behind keeps the session open for ever."""
    closed = asyncio.ensure_future(process.wait_closed())
    try:
        until = asyncio.get_running_loop().time() + CLOSE_GRACE
        while process.exit_status is None and asyncio.get_running_loop().time() < until:
            if (await asyncio.wait({closed}, timeout=0.005))[0]:
                return
    finally:
        closed.cancel()


def abort_process(process: asyncssh.SSHClientProcess[bytes]) -> None:
    """Stop the command and close its channel without waiting: an unresponsive machine would never confirm it."""
    with contextlib.suppress(OSError, asyncssh.Error):
        process.terminate()
    process.close()


async def _send_input(process: asyncssh.SSHClientProcess[bytes], run: DoorRun, begun: asyncio.Event) -> None:
    # A short command may have exited already.
    with contextlib.suppress(BrokenPipeError):
        while run.stdin and not begun.is_set():
            try:
                async with asyncio.timeout(DECOY_INTERVAL):
                    await begun.wait()
            except TimeoutError:
                process.stdin.write(run.decoy)
        process.stdin.write(run.stdin)
        process.stdin.write_eof()


async def _read_stream(stream: asyncssh.SSHReader[bytes], output: DoorOutput, begun: asyncio.Event) -> None:
    while not output.has_ended and (chunk := await stream.read(65536)):
        output.feed(chunk)
        if output.is_begun:
            begun.set()
        if output.is_too_large:
            raise RemoteError(
                _("the machine's output is larger than {most} MiB").format(most=MAX_OUTPUT_BYTES >> 20)
            )
    begun.set()
