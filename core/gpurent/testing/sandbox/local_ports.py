"""Ports of this computer's loopback interface."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


def bind_listener(port: int) -> socket.socket:
    """Return a socket bound to ``port`` (0: any free one) that keeps the port while it does not listen."""
    while True:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        try:
            listener.bind((HOST, port or find_free_port()))
            return listener
        except OSError:
            listener.close()
            if port:
                raise


def find_free_port() -> int:
    """Return a TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        number: int = probe.getsockname()[1]
        return number
