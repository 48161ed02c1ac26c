"""An open connection to a machine, and the user's terminal attached to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
from pathlib import Path

import asyncssh
from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.errors import RemoteError, UnavailableError
from gpurent.infra.platform.terminal import (
    USUAL_TERMINAL_TYPE,
    TerminalOutput,
    raw_terminal,
    read_input,
    watch_size,
)
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error
from gpurent.ports.connection import CommandResult
from gpurent.roles.transfer_errors import connection_lost_error

MAX_OUTPUT_BYTES = 8 << 20
_MAX_INPUT_BYTES = 65536
# As machines number the signals of SSH, whatever this computer does.
_SIGNAL_NUMBERS = {
    "HUP": 1,
    "INT": 2,
    "QUIT": 3,
    "ILL": 4,
    "TRAP": 5,
    "ABRT": 6,
    "BUS": 7,
    "FPE": 8,
    "KILL": 9,
    "USR1": 10,
    "SEGV": 11,
    "USR2": 12,
    "PIPE": 13,
    "ALRM": 14,
    "TERM": 15,
    "XCPU": 24,
    "XFSZ": 25,
    "SYS": 31,
}
# What the library logs of a broken server is for -v alone; the error says what the user needs.
logging.getLogger("asyncssh").addHandler(logging.NullHandler())


@frozen(eq=False)
class AsyncsshConnection:
    """Implements `gpurent.ports.connection.OpenConnection`."""

    transport: asyncssh.SSHClientConnection
    endpoint: Endpoint
    key_file: Path
    known_hosts: Path

    @property
    def is_alive(self) -> bool:
        return not self.transport.is_closed()

    async def close(self) -> None:
        self.transport.close()
        try:
            async with asyncio.timeout(2):
                await self.transport.wait_closed()
        except (TimeoutError, OSError, asyncssh.Error):
            self.transport.abort()

    async def wait_closed(self) -> None:
        await self.transport.wait_closed()

    async def run_interactive(self, command: str | None) -> int:
        try:
            process = await start_interactive(self.transport, command)
        except (OSError, asyncssh.Error) as error:
            raise self._lost_error(error) from None
        status = await attach_terminal(process)
        if status is None:
            raise self._lost_error()
        return status

    async def run(self, command: str, *, input: str = "", timeout: float = 60.0) -> CommandResult:  # noqa: A002 - the port's
        try:
            async with asyncio.timeout(timeout):
                process = await self.transport.create_process(command, encoding=None)
                try:
                    out, err = await _communicate(process, input.encode())
                except BaseException:
                    _abort_process(process)
                    raise
        except TimeoutError:
            raise UnavailableError(
                _("{endpoint}: no answer within {seconds:g} s").format(
                    endpoint=self.endpoint, seconds=timeout
                ),
                retryable=not self.is_alive,
            ) from None
        except (OSError, asyncssh.Error) as error:
            raise self._lost_error(error) from None
        return CommandResult(
            self._get_exit_status(process), out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
        )

    def _get_exit_status(self, process: asyncssh.SSHClientProcess[bytes]) -> int:
        """Return the exit status as a shell reports it: 128 or more if a signal ended the command."""
        ended_by = process.exit_signal
        if ended_by is not None:
            return 128 + _SIGNAL_NUMBERS.get(ended_by[0], 0)
        if process.exit_status is None:
            raise self._lost_error()
        return process.exit_status

    def _lost_error(self, error: Exception | None = None) -> UnavailableError:
        return connection_lost_error(self.endpoint, describe_error(error) if error is not None else "")


async def _communicate(process: asyncssh.SSHClientProcess[bytes], given: bytes) -> tuple[bytes, bytes]:
    """Send ``given`` and read both outputs to their ends."""
    with contextlib.suppress(BrokenPipeError):
        # A short command may have exited already.
        process.stdin.write(given)
        process.stdin.write_eof()
    reading = [asyncio.ensure_future(_read_stream(stream)) for stream in (process.stdout, process.stderr)]
    try:
        out, err = await asyncio.gather(*reading)
    finally:
        for task in reading:
            task.cancel()
    await process.wait_closed()
    return out, err


def _abort_process(process: asyncssh.SSHClientProcess[bytes]) -> None:
    """Stop the command and close its channel without waiting: an unresponsive machine would never confirm it."""
    with contextlib.suppress(OSError, asyncssh.Error):
        process.terminate()
    process.close()


async def _read_stream(stream: asyncssh.SSHReader[bytes]) -> bytes:
    found = bytearray()
    while chunk := await stream.read(65536):
        found += chunk
        if len(found) > MAX_OUTPUT_BYTES:
            raise RemoteError(
                _("the machine's output is larger than {most} MiB").format(most=MAX_OUTPUT_BYTES >> 20)
            )
    return bytes(found)


async def start_interactive(
    transport: asyncssh.SSHClientConnection, command: str | None
) -> asyncssh.SSHClientProcess[bytes]:
    """Start ``command`` (None: the login shell), with a PTY if we have a terminal, else with pipes."""
    has_terminal = os.isatty(sys.stdin.fileno())
    size = shutil.get_terminal_size()
    return await transport.create_process(
        command,
        term_type=os.environ.get("TERM", USUAL_TERMINAL_TYPE) if has_terminal else None,
        term_size=(size.columns, size.lines) if has_terminal else (0, 0, 0, 0),
        encoding=None,
    )


async def attach_terminal(process: asyncssh.SSHClientProcess[bytes]) -> int | None:
    """Attach our terminal to ``process`` until it ends; return its exit status, None if the connection was dropped."""
    stdin = sys.stdin.fileno()
    with contextlib.ExitStack() as held:
        if os.isatty(stdin):
            held.enter_context(watch_size(process.change_terminal_size))
        held.enter_context(raw_terminal(stdin))
        feeding = asyncio.create_task(_forward_input(process, stdin))
        try:
            await asyncio.gather(
                _forward_output(process.stdout, TerminalOutput(1)),
                _forward_output(process.stderr, TerminalOutput(2)),
            )
            await process.wait_closed()
        finally:
            feeding.cancel()
    return process.exit_status


async def _forward_input(process: asyncssh.SSHClientProcess[bytes], file: int) -> None:
    try:
        while data := await read_input(file, _MAX_INPUT_BYTES):
            process.stdin.write(data)
            await process.stdin.drain()
        process.stdin.write_eof()
    except (BrokenPipeError, asyncssh.Error):
        return


async def _forward_output(stream: asyncssh.SSHReader[bytes], output: TerminalOutput) -> None:
    while chunk := await stream.read(65536):
        output.write(chunk)
