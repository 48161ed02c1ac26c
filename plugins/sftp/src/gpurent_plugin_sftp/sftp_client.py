"""The remote side over SFTP, and how long it may stay silent."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import Any, TypeVar, cast

import asyncssh

from gpurent.api import (
    RemoteError,
    SshConnection,
    TransferError,
    TransferUnsupported,
    UnavailableError,
    connection_lost_error,
    escape_name,
    remote_file_error,
    silence_timeout_error,
)
from gpurent_plugin_sftp import _

T = TypeVar("T")
BLOCK_SIZE = 1 << 20
# Of one answer: some servers would send 4 MiB at once, of which nothing is known before the last byte has arrived.
PIECE_SIZE = 256 << 10
CLOSE_TIMEOUT = 5.0  # seconds for the remote side to close its end
MAX_SILENCE = 300.0  # seconds without any data


class FileChanged(Exception):
    """A file differs from its listing."""


class SftpSilenceTimeout:
    """Ends an operation whose remote side has been silent for too long."""

    def __init__(self) -> None:
        self._deadline = monotonic() + MAX_SILENCE

    def reset(self, seconds: float = 0.0) -> None:
        """Restart the timeout; the remote side may work for ``seconds`` before it sends anything again."""
        self._deadline = monotonic() + seconds + MAX_SILENCE

    async def run_with_timeout(self, work: Coroutine[None, None, T]) -> T:
        """Return the result of ``work``. Raises `UnavailableError` if the remote side is silent for too long."""
        task = asyncio.ensure_future(work)
        try:
            while (left := self._deadline - monotonic()) > 0:
                await asyncio.wait({task}, timeout=left)
                if task.done():
                    return task.result()
        finally:
            await _cancel_tasks([task])
        raise silence_timeout_error()


async def run_concurrently(coroutines: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Run all coroutines; the first error cancels the others."""
    tasks = [asyncio.ensure_future(thing) for thing in coroutines]
    together = asyncio.gather(*tasks)
    try:
        await asyncio.wait({together})
        return together.result()
    finally:
        await _cancel_tasks([*tasks, together])


async def _cancel_tasks(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel what has not ended, again and again: its own clean-up may hang as well, which a task group waits for."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):  # the caller is ending already
            await asyncio.wait(left, timeout=1)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # retrieve the error so that asyncio does not log it


@asynccontextmanager
async def open_sftp_client(connection: SshConnection) -> AsyncIterator[asyncssh.SFTPClient]:
    """Open an SFTP client in the home folder; it raises our own errors.

    A lost connection is an `UnavailableError`, everything else a `TransferError`.
    """
    home = (await read_output(connection, "pwd")).removesuffix("\n")
    try:
        async with _start_sftp(connection) as sftp:
            # Where the server is run by a shell, its start files may have changed the folder.
            if home:
                with contextlib.suppress(asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                    await sftp.chdir(home)
            try:
                yield sftp
            finally:
                sftp.exit()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_TIMEOUT):
                        await sftp.wait_closed()
    except (
        asyncssh.SFTPConnectionLost,
        asyncssh.SFTPNoConnection,
        asyncssh.DisconnectError,
        asyncssh.ChannelOpenError,
        ConnectionError,
    ) as error:
        raise connection_lost_error(connection.endpoint, error) from None
    except asyncssh.SFTPError as error:
        raise translate_sftp_error(str(connection.endpoint), error) from None


@asynccontextmanager
async def _start_sftp(connection: SshConnection) -> AsyncIterator[asyncssh.SFTPClient]:
    """Start SFTP, by a connection of its own if the machine allows no further session on this one.

    Raises `TransferUnsupported` if the machine does not offer it, or answers something else.
    """

    async def start(transport: asyncssh.SSHClientConnection) -> asyncssh.SFTPClient:
        return await transport.start_sftp_client()

    async with AsyncExitStack() as stack:
        try:
            try:
                sftp = await start(cast(asyncssh.SSHClientConnection, connection.transport))
            except asyncssh.ChannelOpenError as refusal:
                sftp = await stack.enter_async_context(connection.reopen_session(refusal, start))
        except (asyncssh.ChannelOpenError, asyncssh.SFTPError, RemoteError) as error:
            if not getattr(connection, "is_alive", True):
                raise
            raise TransferUnsupported(
                _("{endpoint} refused to start SFTP: {error}").format(
                    endpoint=connection.endpoint, error=error
                )
            ) from None
        yield sftp


async def read_output(connection: SshConnection, script: str, timeout: float = 60.0) -> str:
    """Return what a script prints; nothing on a machine that runs none, which may have SFTP all the same."""
    try:
        return (await connection.run(script, timeout=timeout)).stdout
    except RemoteError:
        return ""


@asynccontextmanager
async def open_remote_file(sftp: asyncssh.SFTPClient, path: str) -> AsyncIterator[asyncssh.SFTPClientFile]:
    """Open a remote file for `read_chunk`."""
    piece = min(PIECE_SIZE, sftp.limits.max_read_len)
    async with sftp.open(path, "rb", encoding=None, block_size=piece) as file:
        yield file


async def read_chunk(
    file: asyncssh.SFTPClientFile, at: int, size: int, on_data: Callable[[int], None]
) -> memoryview:
    """Return up to ``size`` bytes of a remote file; fewer at its end.

    ``on_data`` is called for every piece with the number of bytes that have arrived so far.
    """
    data, come = bytearray(size), 0
    async for where, piece in await file.read_parallel(size, at):
        come += len(piece)
        if come > size or where < at or where + len(piece) > at + size:
            raise TransferError(_("the machine sent more data than requested"))
        data[where - at : where - at + len(piece)] = piece
        on_data(come)
    return memoryview(data)[:come]


def translate_sftp_error(what: str, error: asyncssh.SFTPError) -> TransferError | UnavailableError:
    """Return an SFTP error as one of our own."""
    text = escape_name(error.reason or type(error).__name__)
    if isinstance(error, asyncssh.SFTPConnectionLost | asyncssh.SFTPNoConnection):
        return UnavailableError(_("the SFTP connection was lost: {error}").format(error=text), retryable=True)
    if (
        isinstance(error, asyncssh.SFTPNoSpaceOnFilesystem | asyncssh.SFTPQuotaExceeded)
        or "space" in text.lower()
    ):
        number = errno.ENOSPC
    elif isinstance(error, asyncssh.SFTPPermissionDenied | asyncssh.SFTPWriteProtect):
        number = errno.EACCES
    elif isinstance(error, asyncssh.SFTPNoSuchFile | asyncssh.SFTPNoSuchPath):
        number = errno.ENOENT
    else:
        number = errno.EIO
    return remote_file_error(number, what, text)


async def read_remote_clock(connection: SshConnection) -> int | None:
    """Return the machine's time in seconds since the epoch; None if it does not report it."""
    said = (await read_output(connection, "date +%s")).split()
    return int(said[-1]) if said and said[-1].isdecimal() else None
