"""A connection to the machine that runs one command there."""

from __future__ import annotations

import os
from threading import Timer

from gpurent import api
from gpurent_plugin_turbo.near.connection.tcp_tuning import TunedSocket
from gpurent_plugin_turbo.shared.wire import FrameStream


class CommandConnection:
    """``frames`` is the command's input and output. Any thread may call `abort`, more than once too."""

    frames: FrameStream
    tuned_socket = TunedSocket()  # of which nothing is known, where there is no better one
    needs_login = False  # whether it begins with a login of its own
    handshake_timeout = 120.0  # seconds after which a far side that said nothing is given up

    def make_handshake_timer(self) -> Timer:
        """Aborts it, once started and unless cancelled, when the far side has had its time to answer."""
        timer = Timer(self.handshake_timeout, self.abort)
        timer.daemon = True
        return timer

    def read_some(self, most: int) -> bytes:
        """What has come, at least a byte and at most ``most``; nothing at the end."""
        try:
            return os.read(self.frames.source, most)
        except OSError:
            return b""

    def abort(self) -> None:
        """Cut it."""

    def close(self) -> None:
        """Abort it and release what it holds; nobody may use ``frames`` afterwards."""

    def explain_end(self) -> api.GpurentError:
        """What ended it. Waits for the end."""
        raise NotImplementedError
