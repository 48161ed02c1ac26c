"""A channel of the SSH connection that core has open: no login, no process; frames pass through the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from concurrent.futures import CancelledError, Future
from threading import Condition
from typing import Any, cast

import asyncssh
from asyncssh.constants import MSG_IGNORE
from asyncssh.packet import String

from gpurent.api import (
    GpurentError,
    ShellStream,
    SshConnection,
    connection_lost_error,
    make_shell_stream,
)
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection, StartMark
from gpurent_plugin_turbo.near.connection.tcp_tuning import SOCKET_TUNER
from gpurent_plugin_turbo.shared.wire import ConnectionEnded, FrameStream

MAX_BUFFERED = 4 << 20  # bytes buffered for a thread before reading from the channel is paused
WRITE_SIZE = 1 << 18
MAX_STDERR = 1 << 12
END_OF_FILE, ABORTED = "end of file", "aborted"  # ends that say nothing to the user


class ChannelFrames(FrameStream, asyncssh.SSHClientSession[bytes]):
    """Frames over one channel. Threads read, write and wait on one condition; the rest runs in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: StartMark, preamble: bytes) -> None:
        super().__init__(-1, -1)
        self._loop, self._start, self._preamble = loop, start, preamble
        self._condition = Condition()
        self._received: deque[memoryview] = deque()
        self._buffered = 0
        self._channel: Any = None
        self._writable = self._paused = False
        self.end_reason = ""
        self.exit_status: int | None = None
        self.exit_signal = ""
        self.stderr = b""
        self.closed = asyncio.Event()

    # called in threads

    def read_into(self, view: memoryview) -> memoryview:
        done = 0
        while done < len(view):
            piece = self.read_some(len(view) - done)
            if not piece:
                raise ConnectionEnded(self.end_reason)
            view[done : done + len(piece)] = piece
            done += len(piece)
        return view

    def read_some(self, most: int) -> memoryview:
        with self._condition:
            self._condition.wait_for(lambda: self._received or self.end_reason)
            if not self._received:
                return memoryview(b"")
            piece = self._received.popleft()
            if len(piece) > most:
                self._received.appendleft(piece[most:])
                piece = piece[:most]
            self._buffered -= len(piece)
            resume = self._paused and self._buffered <= MAX_BUFFERED // 2
        if resume:
            self._loop.call_soon_threadsafe(self._resume_reading)
        self.bytes_read += len(piece)
        return piece

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        for at in range(0, len(view), WRITE_SIZE):
            with self._condition:
                self._condition.wait_for(lambda: self._writable or self.end_reason)
                if self.end_reason:
                    raise ConnectionEnded(self.end_reason)
            self._loop.call_soon_threadsafe(self._write_piece, bytes(view[at : at + WRITE_SIZE]))
        self.bytes_sent += len(view)

    def send_file(self, handle: int, at: int, size: int) -> None:
        while size:
            data = os.pread(handle, min(size, WRITE_SIZE), at)
            if not data:
                self.send_zeros(size)
                return
            self.write(data)
            at, size = at + len(data), size - len(data)

    def mark_ended(self, why: str) -> None:
        with self._condition:
            self.end_reason = self.end_reason or why or END_OF_FILE
            self._condition.notify_all()

    # called in the event loop

    def connection_made(self, chan: Any) -> None:
        """Allow writing from the next step of the event loop on; the exec request goes out in this one.

        Like OpenSSH's client, this does not wait a round trip for the answer to the request.
        """
        self._channel = chan
        self._loop.call_soon(self._begin_writing)

    def _begin_writing(self) -> None:
        self._write_piece(self._preamble)
        self.resume_writing()

    def data_received(self, data: bytes, datatype: Any) -> None:
        if datatype is not None:
            self.stderr = (self.stderr + data)[-MAX_STDERR:]
            return
        if not (data := self._start.feed(data)):
            return
        with self._condition:
            self._received.append(memoryview(data))
            self._buffered += len(data)
            full = self._buffered > MAX_BUFFERED
            self._condition.notify_all()
        if full and not self._paused:
            self._paused = True
            self._channel.pause_reading()

    def _resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._channel.resume_reading()

    def eof_received(self) -> bool:
        self.mark_ended("")
        return True

    def exit_status_received(self, status: int) -> None:
        self.exit_status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self.exit_signal = signal

    def connection_lost(self, exc: Exception | None) -> None:
        self.mark_ended(str(exc or "closed"))
        self.closed.set()

    def pause_writing(self) -> None:
        with self._condition:
            self._writable = False

    def resume_writing(self) -> None:
        with self._condition:
            self._writable = True
            self._condition.notify_all()

    def _write_piece(self, piece: bytes) -> None:
        with contextlib.suppress(OSError):
            self._channel.write(piece)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()


def get_transport(connection: SshConnection) -> asyncssh.SSHClientConnection:
    return cast(asyncssh.SSHClientConnection, connection.transport)


class SshChannel(CommandConnection):
    """One channel; opened in the background, so that the caller can build its first units meanwhile."""

    def __init__(self, connection: SshConnection, loop: asyncio.AbstractEventLoop, script: str) -> None:
        self._endpoint, self._loop = str(connection.endpoint), loop
        stream = make_shell_stream(connection.endpoint.user, script)
        self._start = StartMark(stream.mark)
        with contextlib.suppress(AttributeError, OSError):
            self.tuned_socket = SOCKET_TUNER.tune_descriptor(
                get_transport(connection).get_extra_info("socket").fileno()
            )
        self.frames: ChannelFrames = ChannelFrames(loop, self._start, stream.preamble)
        self._opening: Future[None] = asyncio.run_coroutine_threadsafe(
            self._open_channel(connection, stream), loop
        )

    async def _open_channel(self, connection: SshConnection, stream: ShellStream) -> None:
        async def start(transport: asyncssh.SSHClientConnection) -> None:
            await transport.create_session(lambda: self.frames, stream.line, encoding=None)

        try:
            self._loop.call_soon(
                self._send_padding, connection
            )  # runs after the channel request, which is sent in this step
            try:
                await start(get_transport(connection))
            except asyncssh.ChannelOpenError as error:
                # The machine allows no further session on this connection.
                async with connection.reopen_session(error, start):
                    await self.frames.closed.wait()
        except (OSError, asyncssh.Error, GpurentError) as error:
            self.frames.mark_ended(str(error) or type(error).__name__)

    def _send_padding(self, connection: SshConnection) -> None:
        """Grow the TCP window while the channel opens: SSH ignores this padding, but TCP acknowledges it.

        A connection in slow start doubles its rate with each round trip; this round trip would otherwise be wasted.
        """
        size = self.tuned_socket.read_slow_start_window()
        if size:
            with contextlib.suppress(OSError, asyncssh.Error):  # opening the channel reports the error
                get_transport(connection).send_packet(MSG_IGNORE, String(bytes(size)))

    def read_some(self, most: int) -> bytes:
        return bytes(self.frames.read_some(most))

    def abort(self) -> None:
        self.frames.mark_ended(ABORTED)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._close_channel)

    def _close_channel(self) -> None:
        self._opening.cancel()
        self.frames.close()

    def close(self) -> None:
        self.abort()
        SOCKET_TUNER.release_socket(self.tuned_socket)

    def explain_end(self) -> GpurentError:
        with contextlib.suppress(TimeoutError, CancelledError):
            asyncio.run_coroutine_threadsafe(
                asyncio.wait_for(self.frames.closed.wait(), 5), self._loop
            ).result(6)
        if self.frames.exit_signal or self.frames.exit_status is not None:
            status = self.frames.exit_signal or self.frames.exit_status or 0
            return self._explain_exit(self._endpoint, status, self._start.find_own_words(self.frames.stderr))
        reason = self.frames.end_reason
        return connection_lost_error(self._endpoint, "" if reason in (END_OF_FILE, ABORTED) else reason)
