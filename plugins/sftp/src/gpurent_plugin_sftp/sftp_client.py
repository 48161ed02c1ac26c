"""The far side over SFTP and, for hashes, over its shell; and how long it may say nothing."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from time import monotonic
from typing import TypeVar, cast

import asyncssh

from gpurent.api import SshConnection, TransferError, UnavailableError, escape_name

T = TypeVar("T")
BLOCK_SIZE = 1 << 20
CLOSE_TIMEOUT = 5.0  # seconds for the far side to close its end
MAX_SILENCE = 300.0  # seconds without a sign of it


class FileChanged(Exception):
    """A file is not what it was when it was listed."""


class SftpIdleTimeout:
    """Ends what waits for a far side that has said nothing for too long."""

    def __init__(self) -> None:
        self._deadline = monotonic() + MAX_SILENCE

    def reset(self, seconds: float = 0.0) -> None:
        """Something was heard; before the next sign of life it may work for ``seconds``."""
        self._deadline = monotonic() + seconds + MAX_SILENCE

    async def run_with_timeout(self, work: Coroutine[None, None, T]) -> T:
        """What comes of ``work``; an `UnavailableError` where nothing is heard any more."""
        task = asyncio.ensure_future(work)
        try:
            while (left := self._deadline - monotonic()) > 0:
                await asyncio.wait({task}, timeout=left)
                if task.done():
                    return task.result()
        finally:
            while not task.done():  # whatever it awaits to tidy up behind itself may hang as well
                task.cancel()
                await asyncio.wait({task}, timeout=1)
            if not task.cancelled():
                task.exception()  # that it was cut short is no news
        raise UnavailableError("the machine's file transfer says nothing any more", retryable=True)


@asynccontextmanager
async def open_sftp_client(connection: SshConnection) -> AsyncIterator[asyncssh.SFTPClient]:
    """An SFTP client whose errors are ours: a lost line is an `UnavailableError`, everything else a `TransferError`."""
    try:
        sftp = await cast(asyncssh.SSHClientConnection, connection.transport).start_sftp_client()
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
        ConnectionError,
    ) as error:
        raise UnavailableError(
            f"the line to {connection.endpoint} is lost: {error}", retryable=True
        ) from None
    except asyncssh.ChannelOpenError as error:
        raise UnavailableError(
            f"{connection.endpoint} opens no file transfer: {error}", retryable=True
        ) from None
    except asyncssh.SFTPError as error:
        raise translate_sftp_error(str(connection.endpoint), error) from None


def translate_sftp_error(what: str, error: asyncssh.SFTPError) -> TransferError | UnavailableError:
    """The far side's no, in our words."""
    text = escape_name(error.reason or type(error).__name__)
    if isinstance(error, asyncssh.SFTPConnectionLost | asyncssh.SFTPNoConnection):
        return UnavailableError(f"the line is lost: {text}", retryable=True)
    if (
        isinstance(error, asyncssh.SFTPNoSpaceOnFilesystem | asyncssh.SFTPQuotaExceeded)
        or "space" in text.lower()
    ):
        return disk_full(what)
    if isinstance(error, asyncssh.SFTPPermissionDenied | asyncssh.SFTPWriteProtect):
        return TransferError(f"the machine does not let us write or read there: {what}", detail=text)
    if isinstance(error, asyncssh.SFTPNoSuchFile | asyncssh.SFTPNoSuchPath):
        return TransferError(f"it is not there: {what}", detail=text)
    return TransferError(f"{what}: {text}", detail=text)


def disk_full(what: str) -> TransferError:
    return TransferError(
        f"the machine's disk is full: {what}",
        hint="Free some space on the machine, then send again; it goes on.",
    )


async def run_concurrently(coroutines: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Run all; the first error ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(thing) for thing in coroutines]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def summarize_failures(failures: Sequence[str]) -> str:
    """The first five of them, and how many there are besides."""
    more = f" and {len(failures) - 5} more" if len(failures) > 5 else ""
    return "; ".join(failures[:5]) + more


async def read_remote_clock(connection: SshConnection) -> int | None:
    """The machine's time in seconds since the epoch; None where it does not say."""
    said = (await connection.run("date +%s")).stdout.split()
    return int(said[-1]) if said and said[-1].isdecimal() else None


class RemoteHasher:
    """SHA-256 of remote files: by the machine's own tool in batches, else by reading them back."""

    def __init__(self, connection: SshConnection, sftp: asyncssh.SFTPClient) -> None:
        self._connection = connection
        self._sftp = sftp
        self._has_sha256sum: bool | None = None

    async def hash_files(self, paths: Sequence[str], timeout: float = 3600.0) -> list[str]:
        """One hex digest a path, empty where it cannot be read. ``paths``: as many as one command may name.

        ``timeout``: seconds for all of them.
        """
        if self._has_sha256sum is None:
            self._has_sha256sum = not (
                await self._connection.run("command -v sha256sum >/dev/null")
            ).exit_status
        digests = await self._run_sha256sum(paths, timeout) if self._has_sha256sum and paths else []
        return digests or [await self._hash_by_reading(path) for path in paths]

    async def _run_sha256sum(self, paths: Sequence[str], timeout: float) -> list[str]:
        """Nothing where it does not print a digest for each."""
        quoted = " ".join(shlex.quote(path if path.startswith("/") else f"./{path}") for path in paths)
        ran = await self._connection.run(f"sha256sum {quoted}", timeout=timeout)
        digests = [line.removeprefix("\\")[:64] for line in ran.stdout.splitlines()]
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
