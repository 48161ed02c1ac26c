"""A connection that runs one command on the machine."""

from __future__ import annotations

import os
from threading import Timer

from gpurent import api
from gpurent_plugin_turbo import _
from gpurent_plugin_turbo.near.connection.tcp_tuning import TunedSocket
from gpurent_plugin_turbo.shared.wire import FrameStream

MAX_NOISE = 1 << 16  # bytes of it that are kept
NOT_FOUND = 127  # the shell's exit status if there is no such program
NOT_STARTED = (
    1,
    2,
    126,
)  # of a Python that lacks a module, and of the shell for a program that it cannot run


class StartMark:
    """Drops what the start files of the machine's shell print: everything up to the mark."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self.noise = b""
        self.is_found = False

    def feed(self, data: bytes) -> bytes:
        """Return what is not noise of the next ``data`` that was received."""
        if self.is_found:
            return data
        before, mark, rest = (self.noise + data).partition(self._mark)
        self.noise, self.is_found = before[-MAX_NOISE:], bool(mark)
        return rest

    def find_own_words(self, stderr: bytes) -> str:
        """Return what the machine says: what followed the mark on ``stderr``, else everything that was printed."""
        before, mark, rest = stderr.partition(self._mark)
        said = rest if mark else self.noise + b"\n" + before
        return said.decode("utf-8", "replace").strip()


class CommandConnection:
    """A connection; ``frames`` is the command's input and output. `abort` may be called repeatedly, from any thread."""

    frames: FrameStream
    tuned_socket = TunedSocket()  # knows nothing; subclasses replace it if they can
    needs_login = False  # whether it logs in by itself
    handshake_timeout = 120.0  # seconds after which a silent remote side is given up

    def make_handshake_timer(self) -> Timer:
        """Return a timer that aborts the connection if the remote side has not answered when it expires."""
        timer = Timer(self.handshake_timeout, self.abort)
        timer.daemon = True
        return timer

    def read_some(self, most: int) -> bytes:
        """Return received data, at least one byte and at most ``most``; empty at the end."""
        try:
            return os.read(self.frames.source, most)
        except OSError:
            return b""

    def abort(self) -> None:
        """Drop the connection."""

    def close(self) -> None:
        """Abort the connection and release what it holds; ``frames`` must not be used afterwards."""

    def explain_end(self) -> api.GpurentError:
        """Wait for the end and return the error that explains it."""
        raise NotImplementedError

    def _explain_exit(self, endpoint: str, status: int | str, said: str) -> api.GpurentError:
        """Return the error for a command that ended: ``status`` is its exit code, or the name of a signal.

        A Python that does not start will not do so the next time either, so that another method is used.
        """
        if status == NOT_FOUND:
            return api.TransferUnsupported(
                _("{endpoint} has no python3").format(endpoint=endpoint), detail=said
            )
        error = api.helper_ended_error(endpoint, status, said)
        if self.frames.bytes_read or status not in NOT_STARTED:
            return error
        return api.TransferUnsupported(error.message, detail=said)
