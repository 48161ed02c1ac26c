"""Asynchronous reading and writing of raw file descriptors (pipes, terminals)."""

import asyncio
import os


class AsyncDescriptor:
    """A non-blocking end of a pipe, or the master side of a terminal."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._waiting: set[asyncio.Future[None]] = set()

    async def read(self, size: int = 65536) -> bytes:
        """Return some bytes; empty at end of file, for a terminal when nobody has its other side open."""
        while self.fd >= 0:
            try:
                return os.read(self.fd, size)
            except BlockingIOError:
                await self._wait_until_ready(reading=True)
            except OSError:
                break
        return b""

    async def write(self, data: bytes) -> None:
        """Write all of ``data``. Raises ``BrokenPipeError`` if nobody reads, or after ``close``."""
        while data:
            if self.fd < 0:
                raise BrokenPipeError
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                await self._wait_until_ready(reading=False)
            except OSError:
                raise BrokenPipeError from None

    def close(self) -> None:
        """Close it. A pending ``read`` gets end of file, a pending ``write`` a ``BrokenPipeError``. Idempotent."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        if self._waiting:
            # Otherwise the loop would think the number is still watched, and its next owner would never be woken.
            loop = asyncio.get_running_loop()
            loop.remove_reader(fd)
            loop.remove_writer(fd)
            for ready in self._waiting:
                _set_done(ready)
        os.close(fd)

    async def _wait_until_ready(self, *, reading: bool) -> None:
        loop = asyncio.get_running_loop()
        fd, ready = self.fd, loop.create_future()
        add, remove = (
            (loop.add_reader, loop.remove_reader) if reading else (loop.add_writer, loop.remove_writer)
        )
        add(fd, _set_done, ready)
        self._waiting.add(ready)
        try:
            await ready
        finally:
            self._waiting.discard(ready)
            if self.fd == fd:  # otherwise the number may belong to another file by now
                remove(fd)


def _set_done(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
