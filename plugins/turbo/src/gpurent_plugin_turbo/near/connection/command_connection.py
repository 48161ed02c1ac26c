"""A connection to the machine that runs one command there."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from gpurent.api import GpurentError
    from gpurent_plugin_turbo.near.connection.tcp_tuning import TunedSocket
    from gpurent_plugin_turbo.shared.wire import FrameStream


class CommandConnection:
    """``frames`` is the command's input and output. Any thread may call `abort`, more than once too."""

    frames: FrameStream
    tuned_socket: TunedSocket | None = None
    needs_login = False  # whether it begins with a login of its own

    @property
    def rtt(self) -> float:
        """Seconds of a round trip on the path; 0.0: not known."""
        return self.tuned_socket.rtt if self.tuned_socket is not None else 0.0

    @property
    def is_lossy(self) -> bool:
        """Whether the path loses packets; true as well where nobody can say."""
        return self.tuned_socket is None or self.tuned_socket.is_lossy()

    def mark_handshaken(self) -> None:
        """The far side has answered: the login is over."""
        if self.tuned_socket is not None:
            self.tuned_socket.end_login()

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

    def explain_end(self) -> GpurentError:
        """What ended it. Waits for the end."""
        raise NotImplementedError
