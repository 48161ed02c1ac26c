"""Reading and writing raw file descriptors (pipes, terminals) from the event loop."""

import asyncio
import os


class AsyncDescriptor:
    """One non-blocking end of a pipe, or the master side of a terminal."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._waiting: set[asyncio.Future[None]] = set()

    async def read(self, size: int = 65536) -> bytes:
        """Some bytes; empty at the end, which for a terminal is that nobody has its other side open."""
        while self.fd >= 0:
            try:
                return os.read(self.fd, size)
            except BlockingIOError:
                await self._wait_until_ready(reading=True)
            except OSError:
                break
        return b""

    async def write(self, data: bytes) -> None:
        """All of it. Raises ``BrokenPipeError`` when nobody reads, or after ``close``."""
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
        """Idempotent; who waits in ``read`` gets the end, who waits in ``write`` a ``BrokenPipeError``."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        if self._waiting:
            # Left in the loop, the number would be taken for watched, and its next owner never be woken.
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
            if self.fd == fd:  # else the number may be another's by now
                remove(fd)


def _set_done(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
