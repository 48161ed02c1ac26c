"""A malicious SFTP server: it lies in the protocol, or does not speak it at all."""

from __future__ import annotations

import asyncio
import inspect
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.sftp import SFTPAttrs, SFTPName
from attrs import define, field

from gpurent.domain.access import Endpoint
from gpurent.infra.ssh.connection import AsyncsshConnection

MALICIOUS_CONTENT = b"evil"
FILE, FOLDER, LINK, DEVICE = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR
MTIME = 10**9


def make_attributes(
    kind: int = FILE, size: int = len(MALICIOUS_CONTENT), mode: int = 0o644, mtime: int = MTIME
) -> SFTPAttrs:
    return SFTPAttrs(size=size, permissions=kind | mode, atime=mtime, mtime=mtime)


def make_entry(name: bytes, kind: int = FILE, **more: Any) -> SFTPName:
    return SFTPName(name, longname=b"-", attrs=make_attributes(kind, **more))


@define
class MaliciousScript:
    """The server's answers: ``listings`` by path; every other answer may be replaced by a function."""

    listings: dict[bytes, list[SFTPName]] = field(factory=dict)
    links: dict[bytes, bytes] = field(factory=dict)
    answers: dict[str, Callable[..., Any]] = field(factory=dict)
    shell: Callable[[asyncssh.SSHServerProcess[bytes]], Any] | None = None
    raw: bytes | None = None
    requests: list[str] = field(factory=list)
    over: asyncio.Event = field(factory=asyncio.Event)

    async def wait_until_over(self, *args: object) -> None:
        """Wait until the test is over."""
        await self.over.wait()


class _MaliciousSftpServer(asyncssh.SFTPServer):
    def __init__(self, channel: Any, script: MaliciousScript) -> None:
        super().__init__(channel)
        self._script = script

    async def _answer(self, operation: str, *args: Any) -> Any:
        self._script.requests.append(operation)
        found = self._script.answers[operation](*args)
        return await found if inspect.isawaitable(found) else found

    async def lstat(self, path: bytes) -> SFTPAttrs:
        if "lstat" in self._script.answers:
            return await self._answer("lstat", path)  # type: ignore[no-any-return]
        for folder, entries in self._script.listings.items():
            for item in entries:
                if folder + b"/" + bytes(item.filename) == path:  # type: ignore[arg-type]
                    return item.attrs
        return make_attributes(FOLDER)

    async def fstat(self, file_obj: object) -> SFTPAttrs:
        if "fstat" in self._script.answers:
            return await self._answer("fstat", file_obj)  # type: ignore[no-any-return]
        return await self.lstat(file_obj)  # type: ignore[arg-type]

    async def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        if "scandir" in self._script.answers:
            async for item in self._script.answers["scandir"](path):
                yield item
            return
        for item in self._script.listings.get(path, []):
            yield item

    async def readlink(self, path: bytes) -> bytes:
        if "readlink" in self._script.answers:
            return await self._answer("readlink", path)  # type: ignore[no-any-return]
        return self._script.links[path]

    async def open(self, path: bytes, pflags: int, attrs: SFTPAttrs) -> object:
        if "open" in self._script.answers:
            await self._answer("open", path)
        return path

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        if "read" in self._script.answers:
            return await self._answer("read", offset, size)  # type: ignore[no-any-return]
        return MALICIOUS_CONTENT[offset : offset + size]

    async def close(self, file_obj: object) -> None:
        if "close" in self._script.answers:
            await self._answer("close")


class _NoAuthServer(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return False


@asynccontextmanager
async def malicious_connection(script: MaliciousScript) -> AsyncIterator[AsyncsshConnection]:
    """Open a connection to a machine that answers as ``script`` says."""
    key = asyncssh.generate_private_key("ssh-ed25519")

    async def process(process: asyncssh.SSHServerProcess[bytes]) -> None:
        if process.subsystem:
            await process.stdin.readexactly(9)  # the client's SFTP init packet
            process.stdout.write(script.raw or b"")
            await script.over.wait()
        elif script.shell is not None:
            await script.shell(process)
        process.exit(1)

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=_NoAuthServer,
        server_host_keys=[key],
        process_factory=process,
        sftp_factory=None
        if script.raw is not None
        else lambda channel: _MaliciousSftpServer(channel, script),
        encoding=None,
    )
    port = server.get_port()
    trusted = [key.convert_to_public()]
    try:
        async with asyncssh.connect(
            "127.0.0.1", port, username="mist", known_hosts=(trusted, [], []), config=None, client_keys=None
        ) as connection:
            yield AsyncsshConnection(
                connection, Endpoint("mist", "127.0.0.1", port), Path("key"), Path("known")
            )
            script.over.set()
            connection.abort()
    finally:
        script.over.set()
        server.close()
        await server.wait_closed()
