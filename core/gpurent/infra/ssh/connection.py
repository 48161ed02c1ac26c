"""An open connection to a machine, and the user's terminal attached to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
from attrs import define, field

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.errors import RemoteError, UnavailableError
from gpurent.infra.platform.terminal import USUAL_TERMINAL_TYPE
from gpurent.infra.ssh.attached_terminal import attach_terminal, read_terminal_size
from gpurent.infra.ssh.run_command import abort_process, communicate
from gpurent.infra.ssh.sessions import Sessions
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error, quote_text
from gpurent.ports.connection import CommandResult, TerminalLine
from gpurent.remote.terminal_types import COMMON_TYPE, KNOWN_TYPES, find_type_command, parse_type
from gpurent.roles.shell_door import DoorRun, make_run
from gpurent.roles.transfer_errors import connection_lost_error
from gpurent.terminal_text import ForeignText

T = TypeVar("T")
MAX_SAID = 300
TERMINAL_TIMEOUT = 15.0
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


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Return False for what asyncio says of the library's own requests, which nobody awaits after a cut."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, asyncssh.Error)


# What the library logs of a broken server is for -v alone; the error says what the user needs.
logging.getLogger("asyncssh").addHandler(logging.NullHandler())
logging.getLogger("asyncio").addFilter(_is_worth_logging)


@define(eq=False)
class AsyncsshConnection:
    """Implements `gpurent.ports.connection.OpenConnection`.

    ``redial`` logs in once more, for machines that allow one session at a time on a connection.
    """

    transport: asyncssh.SSHClientConnection
    endpoint: Endpoint
    key_file: Path
    known_hosts: Path
    redial: Callable[[], Awaitable[asyncssh.SSHClientConnection]] | None = None
    _sessions: Sessions = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._sessions = Sessions(self.endpoint, self.transport, self.redial)

    @property
    def is_alive(self) -> bool:
        return not self.transport.is_closed()

    @property
    def is_session_limited(self) -> bool:
        return self._sessions.is_limited

    async def close(self) -> None:
        await self._sessions.close()

    async def wait_closed(self) -> None:
        await self.transport.wait_closed()

    def reopen_session(
        self, refusal: Exception, start: Callable[[Any], Awaitable[T]]
    ) -> contextlib.AbstractAsyncContextManager[T]:
        if not isinstance(refusal, asyncssh.ChannelOpenError):
            raise refusal
        return self._sessions.reopen_session(refusal, start)

    async def run_interactive(self, command: TerminalLine | str | None) -> int:
        term = await self._find_terminal_type() if os.isatty(sys.stdin.fileno()) else None
        size = read_terminal_size() if term else (0, 0)
        line, mark = (command.line, command.mark) if isinstance(command, TerminalLine) else (command, b"")
        async with contextlib.AsyncExitStack() as stack:
            try:
                opening = self._sessions.open_process(line, term_type=term, term_size=size)
                process = await stack.enter_async_context(opening)
            except (OSError, asyncssh.Error) as error:
                raise self._lost_error(error) from None
            has_begun = await attach_terminal(process, mark)
        status = self._get_exit_status(process)
        if not has_begun:
            raise self._make_refusal(ForeignText(""), status)
        return status

    async def _find_terminal_type(self) -> str:
        """Return our terminal's type if the machine knows it, else one that it knows."""
        wanted = os.environ.get("TERM") or USUAL_TERMINAL_TYPE
        if wanted in KNOWN_TYPES:
            return wanted
        try:
            ran = await self.run(find_type_command(wanted), timeout=TERMINAL_TIMEOUT)
        except (RemoteError, UnavailableError):
            return COMMON_TYPE
        return parse_type(ran.stdout, wanted)

    async def run(
        self,
        command: str,
        *,
        input: str | Secret = "",  # noqa: A002 - the port's
        timeout: float = 60.0,
    ) -> CommandResult:
        run = make_run(self.endpoint.user, command, input)
        try:
            async with asyncio.timeout(timeout), self._sessions.open_process(run.line) as process:
                try:
                    await communicate(process, run)
                except BaseException:
                    abort_process(process)
                    raise
        except TimeoutError:
            raise self._make_timeout_error(run, timeout) from None
        except (OSError, asyncssh.Error) as error:
            raise self._lost_error(error) from None
        status = run.out.exit_status
        if status is None:
            status = self._get_exit_status(process)
            if not run.out.is_begun:
                raise self._make_refusal(run.said, status)
        out, err = (bytes(part.data).decode("utf-8", "replace") for part in (run.out, run.err))
        return CommandResult(status, out, err)

    def _get_exit_status(self, process: asyncssh.SSHClientProcess[bytes]) -> int:
        """Return the exit status as a shell reports it: 128 or more if a signal ended the command."""
        ended_by = process.exit_signal
        if ended_by is not None:
            return 128 + _SIGNAL_NUMBERS.get(ended_by[0], 0)
        if process.exit_status is None:
            raise self._lost_error()
        return process.exit_status

    def _make_timeout_error(self, run: DoorRun, timeout: float) -> UnavailableError:
        text = _("{endpoint}: no answer within {seconds:g} s").format(endpoint=self.endpoint, seconds=timeout)
        if run.said and not run.out.is_begun:
            text = _("{problem}; its login shell printed: {said}").format(
                problem=text, said=quote_text(run.said[:MAX_SAID])
            )
        return UnavailableError(text, detail=run.said, retryable=not self.is_alive)

    def _make_refusal(self, said: ForeignText, status: int) -> RemoteError:
        return RemoteError(
            _(
                "the login shell of {endpoint} ended before it ran a command (exit code {code}): {said}"
            ).format(endpoint=self.endpoint, code=status, said=quote_text(said[:MAX_SAID]) if said else "-"),
            hint=_("See for yourself: {command}").format(command=self.endpoint),
            detail=said,
        )

    def _lost_error(self, error: Exception | None = None) -> UnavailableError:
        return connection_lost_error(self.endpoint, describe_error(error) if error is not None else "")
