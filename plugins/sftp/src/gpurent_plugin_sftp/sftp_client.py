"""The remote side over SFTP and, for hashes, over its shell; and how long it may stay silent."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shlex
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from time import monotonic
from typing import TypeVar, cast

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
            while not task.done():  # its own clean-up may hang as well
                task.cancel()
                await asyncio.wait({task}, timeout=1)
            if not task.cancelled():
                task.exception()  # retrieve the error so that asyncio does not log it
        raise silence_timeout_error()


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


async def run_concurrently(coroutines: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Run all coroutines; the first error cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(thing) for thing in coroutines]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def read_remote_clock(connection: SshConnection) -> int | None:
    """Return the machine's time in seconds since the epoch; None if it does not report it."""
    said = (await read_output(connection, "date +%s")).split()
    return int(said[-1]) if said and said[-1].isdecimal() else None


class RemoteHasher:
    """SHA-256 of remote files: by the machine's own tool in batches, or else by reading them back."""

    def __init__(self, connection: SshConnection, sftp: asyncssh.SFTPClient) -> None:
        self._connection = connection
        self._sftp = sftp
        self._has_sha256sum: bool | None = None

    async def hash_files(self, paths: Sequence[str], timeout: float = 3600.0) -> list[str]:
        """Return a hex digest for each path, empty if it cannot be read.

        ``paths``: as many as fit in one command; ``timeout``: seconds for all of them.
        """
        if self._has_sha256sum is None:
            self._has_sha256sum = bool(await read_output(self._connection, "command -v sha256sum"))
        digests = await self._run_sha256sum(paths, timeout) if self._has_sha256sum and paths else []
        return digests or [await self._hash_by_reading(path) for path in paths]

    async def _run_sha256sum(self, paths: Sequence[str], timeout: float) -> list[str]:
        """Return the digests that the tool prints; empty unless it prints one for each path."""
        quoted = " ".join(shlex.quote(path if path.startswith("/") else f"./{path}") for path in paths)
        said = await read_output(self._connection, f"sha256sum {quoted}", timeout)
        digests = [line.removeprefix("\\")[:64] for line in said.splitlines()]
        complete = len(digests) == len(paths) and all(len(digest) == 64 for digest in digests)
        return digests if complete else []

    async def _hash_by_reading(self, path: str) -> str:
        digest = sha256()
        try:
            async with self._sftp.open(path, "rb", encoding=None) as file:
                while data := await file.read(BLOCK_SIZE):
                    digest.update(cast(bytes, data))
        except asyncssh.SFTPError as error:
            if isinstance(error, asyncssh.SFTPConnectionLost | asyncssh.SFTPNoConnection):
                raise
            return ""
        return digest.hexdigest()
