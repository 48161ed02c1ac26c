"""An open line to one machine."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import asyncssh
from attrs import frozen

from gpurent.domain.access import Endpoint
from gpurent.errors import RemoteError, UnavailableError
from gpurent.locale import _

LARGEST = 8 << 20


@frozen
class FinishedCommand:
    """Implements `gpurent.roles.plugin_context.FinishedCommand`."""

    status: int
    out: str
    err: str


class AsyncsshConnection:
    """Implements `gpurent.roles.plugin_context.Link`."""

    def __init__(
        self, connection: asyncssh.SSHClientConnection, endpoint: Endpoint, key_file: Path, known_hosts: Path
    ) -> None:
        self._connection = connection
        self.endpoint = endpoint
        self.key_file = key_file
        self.known_hosts = known_hosts

    @property
    def connection(self) -> asyncssh.SSHClientConnection:
        return self._connection

    @property
    def alive(self) -> bool:
        return not self._connection.is_closed()

    async def aclose(self) -> None:
        self._connection.close()
        try:
            async with asyncio.timeout(2):
                await self._connection.wait_closed()
        except (TimeoutError, OSError, asyncssh.Error):
            self._connection.abort()

    async def run(self, command: str, *, input: str = "", timeout: float = 60.0) -> FinishedCommand:  # noqa: A002 - the role's
        """Run ``command`` by the user's shell in the home; see the role."""
        try:
            async with asyncio.timeout(timeout):
                process = await self._connection.create_process(command, encoding=None)
                try:
                    out, err = await _talk(process, input.encode())
                except BaseException:
                    _abandon(process)
                    raise
        except TimeoutError:
            raise UnavailableError(
                _("{endpoint}: no answer within {seconds:g} s").format(
                    endpoint=self.endpoint, seconds=timeout
                ),
                retryable=not self.alive,
            ) from None
        except (OSError, asyncssh.Error) as error:
            raise UnavailableError(
                _("the line to {endpoint} is lost: {error}").format(endpoint=self.endpoint, error=error),
                retryable=True,
            ) from None
        return FinishedCommand(
            self._status(process), out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
        )

    def _status(self, process: asyncssh.SSHClientProcess[bytes]) -> int:
        """As a shell tells it: 128 and more for an end by a signal."""
        ended_by = process.exit_signal
        if ended_by is not None:
            return 128 + getattr(signal, f"SIG{ended_by[0]}", 0)
        if process.exit_status is None:
            raise UnavailableError(
                _("the line to {endpoint} is lost").format(endpoint=self.endpoint), retryable=True
            )
        return process.exit_status


async def _talk(process: asyncssh.SSHClientProcess[bytes], given: bytes) -> tuple[bytes, bytes]:
    """Feed ``given``, read both outputs to their ends."""
    with contextlib.suppress(BrokenPipeError):
        # A short command may have ended already.
        process.stdin.write(given)
        process.stdin.write_eof()
    reading = [asyncio.ensure_future(_read(stream)) for stream in (process.stdout, process.stderr)]
    try:
        out, err = await asyncio.gather(*reading)
    finally:
        for task in reading:
            task.cancel()
    await process.wait_closed()
    return out, err


def _abandon(process: asyncssh.SSHClientProcess[bytes]) -> None:
    """End the command and its channel, without waiting: a silent machine would never confirm it."""
    with contextlib.suppress(OSError, asyncssh.Error):
        process.terminate()
    process.close()


async def _read(stream: asyncssh.SSHReader[bytes]) -> bytes:
    found = bytearray()
    while chunk := await stream.read(65536):
        found += chunk
        if len(found) > LARGEST:
            raise RemoteError(_("the machine's answer is larger than {most} MiB").format(most=LARGEST >> 20))
    return bytes(found)
