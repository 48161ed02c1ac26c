"""A line over the connection that core has open: no new login, no process, frames through the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from concurrent.futures import CancelledError, Future
from threading import Condition
from typing import Any

import asyncssh
from asyncssh.constants import MSG_IGNORE
from asyncssh.packet import String

from gpurent.api import GpurentError, SshConnection, TransferUnsupported, UnavailableError
from gpurent_plugin_turbo.near.connection.ssh_process import Wire
from gpurent_plugin_turbo.near.connection.tcp_tuning import HANDS
from gpurent_plugin_turbo.shared.errors import Ended
from gpurent_plugin_turbo.shared.wire import Line

HELD = 4 << 20  # bytes that wait for a thread before the channel is stopped
CHUNK = 1 << 18


class ChannelLine(Line):
    """A line whose bytes come from a session's callbacks. Threads wait on one condition."""

    def __init__(self) -> None:
        super().__init__(-1, -1)
        self.turn = Condition()
        self.arrived: deque[memoryview] = deque()
        self.held = 0
        self.ended = ""
        self.writable = False
        self.session: Session | None = None

    def fill(self, view: memoryview) -> memoryview:
        done = 0
        while done < len(view):
            with self.turn:
                self.turn.wait_for(lambda: self.arrived or self.ended)
                if not self.arrived:
                    raise Ended(self.ended)
                piece = self.arrived.popleft()
                taken = piece[: len(view) - done]
                if len(taken) < len(piece):
                    self.arrived.appendleft(piece[len(taken) :])
                self.held -= len(taken)
                resume = self.held <= HELD // 2
            view[done : done + len(taken)] = taken
            done += len(taken)
            if resume and self.session is not None:
                self.session.resume()
        self.read_bytes += len(view)
        return view

    def some(self) -> bytes:
        """What has come, at least a byte; nothing at the end."""
        with self.turn:
            self.turn.wait_for(lambda: self.arrived or self.ended)
            if not self.arrived:
                return b""
            piece = self.arrived.popleft()
            self.held -= len(piece)
            resume = self.held <= HELD // 2
        if resume and self.session is not None:
            self.session.resume()
        self.read_bytes += len(piece)
        return bytes(piece)

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        for at in range(0, len(view), CHUNK):
            piece = bytes(view[at : at + CHUNK])
            with self.turn:
                self.turn.wait_for(lambda: self.writable or self.ended)
                if self.ended or self.session is None:
                    raise Ended(self.ended)
            self.session.post(piece)
        self.sent_bytes += len(view)

    def move(self, handle: int, at: int, size: int) -> None:
        while size:
            data = os.pread(handle, min(size, CHUNK), at)
            if not data:
                self.fill_up(size)
                return
            self._write(data)
            at, size = at + len(data), size - len(data)

    def end(self, why: str) -> None:
        with self.turn:
            self.ended = self.ended or why or "end of file"
            self.turn.notify_all()


class Session(asyncssh.SSHClientSession[bytes]):
    """asyncssh's side of it; everything here runs in the event loop but `post` and `resume`."""

    def __init__(self, line: ChannelLine, loop: asyncio.AbstractEventLoop) -> None:
        self._line, self._loop = line, loop
        self._channel: Any = None
        self._paused = False
        self.status: int | None = None
        self.gone = asyncio.Event()

    def connection_made(self, chan: Any) -> None:
        """The command is asked for in this very step of the loop; what is written from the next one on comes after it.

        So nobody waits a round trip for the answer, as OpenSSH's client does not either.
        """
        self._channel = chan
        self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._line.session = self
        self.resume_writing()

    def data_received(self, data: bytes, datatype: Any) -> None:
        if datatype is not None:
            return
        with self._line.turn:
            self._line.arrived.append(memoryview(data))
            self._line.held += len(data)
            full = self._line.held > HELD
            self._line.turn.notify_all()
        if full and not self._paused:
            self._paused = True
            self._channel.pause_reading()

    def eof_received(self) -> bool:
        self._line.end("end of file")
        return True

    def exit_status_received(self, status: int) -> None:
        self.status = status

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.end(str(exc or "closed"))
        self.gone.set()

    def pause_writing(self) -> None:
        with self._line.turn:
            self._line.writable = False

    def resume_writing(self) -> None:
        with self._line.turn:
            self._line.writable = True
            self._line.turn.notify_all()

    def post(self, piece: bytes) -> None:
        self._loop.call_soon_threadsafe(self._send, piece)

    def _send(self, piece: bytes) -> None:
        with contextlib.suppress(OSError):
            self._channel.write(piece)

    def resume(self) -> None:
        if self._paused:
            self._loop.call_soon_threadsafe(self._resume)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._channel.resume_reading()

    def close(self) -> None:
        self._channel.close()


class Channel(Wire):
    """One channel; opened in the background, so that the caller may build its first units meanwhile."""

    def __init__(self, link: SshConnection, loop: asyncio.AbstractEventLoop, command: str) -> None:
        self._where, self._loop = str(link.endpoint), loop
        with contextlib.suppress(AttributeError, OSError):
            self.grip = HANDS.hold(link.connection.get_extra_info("socket").fileno())
        self.line: ChannelLine = ChannelLine()
        self._session = Session(self.line, loop)
        self._opening: Future[None] = asyncio.run_coroutine_threadsafe(self._open(link, command), loop)

    async def _open(self, link: SshConnection, command: str) -> None:
        try:
            self._loop.call_soon(self._warm, link)  # behind the request, which is sent in this very step
            await link.connection.create_session(lambda: self._session, command, encoding=None)
        except (OSError, asyncssh.Error) as error:
            self.line.end(str(error) or type(error).__name__)

    def _warm(self, link: SshConnection) -> None:
        """Let the kernel learn the path while the channel opens: what is ignored there is acknowledged all the same.

        A connection that carried little so far begins slowly, and doubles with each round trip; this one is not lost.
        """
        size = self.grip.young() if self.grip is not None else 0
        if size:
            with contextlib.suppress(OSError, asyncssh.Error):  # whoever waits for the channel hears of it
                link.connection.send_packet(MSG_IGNORE, String(bytes(size)))

    def end(self) -> None:
        self.line.end("ended here")
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        self._opening.cancel()
        if self.line.session is not None:
            self._session.close()

    def close(self) -> None:
        self.end()
        HANDS.drop(self.grip)

    def why(self) -> GpurentError:
        with contextlib.suppress(TimeoutError, CancelledError):
            asyncio.run_coroutine_threadsafe(
                asyncio.wait_for(self._session.gone.wait(), 5), self._loop
            ).result(6)
        if self._session.status == 127:
            return TransferUnsupported(f"{self._where} has no python3")
        return UnavailableError(f"the line to {self._where} is lost: {self.line.ended}", retryable=True)
