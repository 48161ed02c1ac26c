"""The far side over SFTP and, for hashes, over its shell."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import TypeVar

import asyncssh

from gpurent.api import SshConnection, TransferError, UnavailableError, shown

T = TypeVar("T")
BLOCK = 1 << 20
BATCH = 100
FAREWELL = 5.0  # seconds for the far side to close its end


@asynccontextmanager
async def far_side(link: SshConnection) -> AsyncIterator[asyncssh.SFTPClient]:
    """An SFTP client whose errors are ours: a lost line is an `UnavailableError`, everything else a `TransferError`."""
    try:
        sftp = await link.connection.start_sftp_client()
        try:
            yield sftp
        finally:
            sftp.exit()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await sftp.wait_closed()
    except (
        asyncssh.SFTPConnectionLost,
        asyncssh.SFTPNoConnection,
        asyncssh.DisconnectError,
        ConnectionError,
    ) as error:
        raise UnavailableError(f"the line to {link.endpoint} is lost: {error}", retryable=True) from None
    except asyncssh.ChannelOpenError as error:
        raise UnavailableError(f"{link.endpoint} opens no file transfer: {error}", retryable=True) from None
    except BrokenPipeError as error:
        raise UnavailableError(f"the line to {link.endpoint} is lost: {error}", retryable=True) from None
    except asyncssh.SFTPError as error:
        raise refused(str(link.endpoint), error) from None


def refused(what: str, error: asyncssh.SFTPError) -> TransferError | UnavailableError:
    """The far side's no, in our words."""
    text = shown(error.reason or type(error).__name__)
    if isinstance(error, asyncssh.SFTPConnectionLost | asyncssh.SFTPNoConnection):
        return UnavailableError(f"the line is lost: {text}", retryable=True)
    if (
        isinstance(error, asyncssh.SFTPNoSpaceOnFilesystem | asyncssh.SFTPQuotaExceeded)
        or "space" in text.lower()
    ):
        return TransferError(
            f"the machine's disk is full: {what}",
            hint="Free some space on the machine, then send again; it goes on.",
        )
    if isinstance(error, asyncssh.SFTPPermissionDenied | asyncssh.SFTPWriteProtect):
        return TransferError(f"the machine does not let us write or read there: {what}", detail=text)
    if isinstance(error, asyncssh.SFTPNoSuchFile | asyncssh.SFTPNoSuchPath):
        return TransferError(f"it is not there: {what}", detail=text)
    return TransferError(f"{what}: {text}", detail=text)


async def all_of(things: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Run all; the first error ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(thing) for thing in things]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def raw(data: str | bytes) -> bytes:
    """What a file opened without an encoding gives: bytes, though its type says more."""
    return data if isinstance(data, bytes) else data.encode()


class Hashes:
    """SHA-256 of remote files: by the machine's own tool in batches, else by reading them back."""

    def __init__(self, link: SshConnection, sftp: asyncssh.SFTPClient) -> None:
        self._link = link
        self._sftp = sftp
        self._tool: bool | None = None

    async def of(self, paths: Sequence[str], timeout: float = 3600.0) -> list[str]:
        """One hex digest a path, empty where it cannot be read. ``timeout``: seconds for each batch of them."""
        if self._tool is None:
            self._tool = not (await self._link.run("command -v sha256sum >/dev/null")).status
        found: list[str] = []
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            found += await (self._by_tool(batch, timeout) if self._tool else self._by_reading(batch))
        return found

    async def _by_tool(self, paths: Sequence[str], timeout: float) -> list[str]:
        quoted = " ".join(shlex.quote(path if path.startswith("/") else f"./{path}") for path in paths)
        ran = await self._link.run(f"sha256sum {quoted}", timeout=timeout)
        digests = [line.removeprefix("\\")[:64] for line in ran.out.splitlines()]
        if len(digests) == len(paths) and all(len(digest) == 64 for digest in digests):
            return digests
        return await self._by_reading(paths)

    async def _by_reading(self, paths: Sequence[str]) -> list[str]:
        return [await self._read(path) for path in paths]

    async def _read(self, path: str) -> str:
        digest = sha256()
        try:
            async with self._sftp.open(path, "rb", encoding=None) as file:
                while data := await file.read(BLOCK):
                    digest.update(raw(data))
        except asyncssh.SFTPError as error:
            if isinstance(error, asyncssh.SFTPConnectionLost | asyncssh.SFTPNoConnection):
                raise
            return ""
        return digest.hexdigest()
