"""Ports of this computer's loopback interface."""

from __future__ import annotations

import socket
import sys

HOST = "127.0.0.1"


def bind_listener(port: int) -> socket.socket:
    """Return a socket bound to ``port`` (0: any free one) that keeps the port while it does not listen.

    Its protocol is explicit: only then does asyncio disable Nagle, which costs 40 ms per HTTP response.
    """
    while True:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        try:
            listener.bind((HOST, port or find_free_port()))
            return listener
        except OSError:
            listener.close()
            if port:
                raise


def stop_listening(listener: socket.socket) -> None:
    """Refuse connections; the port is kept, and ``listen`` works again later."""
    if sys.platform == "linux":
        listener.shutdown(socket.SHUT_RDWR)


def find_free_port() -> int:
    """Return a TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        number: int = probe.getsockname()[1]
        return number
