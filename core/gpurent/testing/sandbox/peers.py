"""Only the sandbox's own user is served.

A random port is no secret, and the services of real providers ask for no login at some calls. So whoever connects is
looked up, at every listener of the sandbox.
"""

from __future__ import annotations

import os
import socket

from gpurent.errors import UsageError
from gpurent.infra.platform.posix.socket_owner import ConnectedSocket, find_peer_uid
from gpurent.locale import _
from gpurent.testing.sandbox.local_ports import HOST


def get_owner() -> int:
    """Return the user whose sandbox this is."""
    return os.getuid()


def is_own_peer(connection: ConnectedSocket) -> bool:
    """Return whether the other end of an accepted connection belongs to the sandbox's user."""
    return find_peer_uid(connection) == get_owner()


def check_peers_are_known() -> None:
    """Raise `UsageError` where it cannot be told who opens a connection: there, nobody could be refused."""
    with socket.create_server((HOST, 0)) as server, socket.create_connection(server.getsockname()):
        accepted, _address = server.accept()
        with accepted:
            if find_peer_uid(accepted) is None:
                raise UsageError(
                    _("this system does not tell which user opens a connection"),
                    hint=_("The sandbox would be open to all users of this computer. It needs Linux."),
                )
