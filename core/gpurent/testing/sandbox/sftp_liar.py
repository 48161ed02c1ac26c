"""A hostile SFTP server: it speaks the protocol and lies in it, or does not even speak it."""

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

EVIL = b"evil"
FILE, FOLDER, LINK, DEVICE = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR
TIME = 10**9


def told(kind: int = FILE, size: int = len(EVIL), mode: int = 0o644, mtime: int = TIME) -> SFTPAttrs:
    return SFTPAttrs(size=size, permissions=kind | mode, atime=mtime, mtime=mtime)


def entry(name: bytes, kind: int = FILE, **more: Any) -> SFTPName:
    return SFTPName(name, longname=b"-", attrs=told(kind, **more))


@define
class Lies:
    """What is said of what is asked. ``listings`` by path; every other answer may be replaced by a function."""

    listings: dict[bytes, list[SFTPName]] = field(factory=dict)
    links: dict[bytes, bytes] = field(factory=dict)
    answers: dict[str, Callable[..., Any]] = field(factory=dict)
    shell: Callable[[asyncssh.SSHServerProcess[bytes]], Any] | None = None
    raw: bytes | None = None
    asked: list[str] = field(factory=list)
    over: asyncio.Event = field(factory=asyncio.Event)

    async def hang(self, *given: object) -> None:
        """Until the test is over."""
        await self.over.wait()


class Liar(asyncssh.SFTPServer):
    def __init__(self, channel: Any, lies: Lies) -> None:
        super().__init__(channel)
        self._lies = lies

    async def _say(self, what: str, *given: Any) -> Any:
        self._lies.asked.append(what)
        found = self._lies.answers[what](*given)
        return await found if inspect.isawaitable(found) else found

    async def lstat(self, path: bytes) -> SFTPAttrs:
        if "lstat" in self._lies.answers:
            return await self._say("lstat", path)  # type: ignore[no-any-return]
        for folder, entries in self._lies.listings.items():
            for item in entries:
                if folder + b"/" + bytes(item.filename) == path:  # type: ignore[arg-type]
                    return item.attrs
        return told(FOLDER)

    async def fstat(self, file_obj: object) -> SFTPAttrs:
        if "fstat" in self._lies.answers:
            return await self._say("fstat", file_obj)  # type: ignore[no-any-return]
        return await self.lstat(file_obj)  # type: ignore[arg-type]

    async def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        if "scandir" in self._lies.answers:
            async for item in self._lies.answers["scandir"](path):
                yield item
            return
        for item in self._lies.listings.get(path, []):
            yield item

    async def readlink(self, path: bytes) -> bytes:
        if "readlink" in self._lies.answers:
            return await self._say("readlink", path)  # type: ignore[no-any-return]
        return self._lies.links[path]

    async def open(self, path: bytes, pflags: int, attrs: SFTPAttrs) -> object:
        if "open" in self._lies.answers:
            await self._say("open", path)
        return path

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        if "read" in self._lies.answers:
            return await self._say("read", offset, size)  # type: ignore[no-any-return]
        return EVIL[offset : offset + size]

    async def close(self, file_obj: object) -> None:
        if "close" in self._lies.answers:
            await self._say("close")


class Door(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return False


@asynccontextmanager
async def line(lies: Lies) -> AsyncIterator[AsyncsshConnection]:
    """A line to a machine that lies so."""
    key = asyncssh.generate_private_key("ssh-ed25519")

    async def process(process: asyncssh.SSHServerProcess[bytes]) -> None:
        if process.subsystem:
            await process.stdin.readexactly(9)  # a greeting
            process.stdout.write(lies.raw or b"")
            await lies.over.wait()
        elif lies.shell is not None:
            await lies.shell(process)
        process.exit(1)

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=Door,
        server_host_keys=[key],
        process_factory=process,
        sftp_factory=None if lies.raw is not None else lambda channel: Liar(channel, lies),
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
            lies.over.set()
            connection.abort()
    finally:
        lies.over.set()
        server.close()
        await server.wait_closed()
