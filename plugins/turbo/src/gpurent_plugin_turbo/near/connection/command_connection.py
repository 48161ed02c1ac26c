"""A connection that runs one command on the machine."""

from __future__ import annotations

import os
from threading import Timer

from gpurent import api
from gpurent_plugin_turbo.near.connection.tcp_tuning import TunedSocket
from gpurent_plugin_turbo.shared.wire import FrameStream


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
