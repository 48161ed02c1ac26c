"""Which user is behind a TCP socket of this computer. Only Linux tells."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

assert sys.platform != "win32"  # noqa: S101 - so that mypy does not read it for Windows

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_ANY_STATE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI")
_SOCKET_ID = struct.Struct("!HH16s16s")
_ANY_DEVICE_AND_COOKIE = struct.pack("=I", 0) + b"\xff" * 8
_OWNER = struct.Struct("=II")
_OWNER_OFFSET = _HEADER.size + 4 + 48 + 12
_LISTENING = "0A"
Address = tuple[str, int]


class ConnectedSocket(Protocol):
    """A socket, or the view of one that asyncio gives."""

    def getpeername(self) -> Address: ...
    def getsockname(self) -> Address: ...


def find_peer_uid(connection: ConnectedSocket) -> int | None:
    """Return the user id at the other end of an IPv4 connection within this computer.

    None if the system does not tell, or if the other end is closed.
    """
    try:
        peer, own = connection.getpeername(), connection.getsockname()
    except OSError:
        return None
    try:
        return _ask_kernel(peer, own)
    except OSError:  # a kernel without that interface
        wanted = [_hexadecimal(peer), _hexadecimal(own)]
        return next((uid for ends, _state, uid in _read_table() if ends == wanted), None)


def find_listener_uid(port: int, host: str = "127.0.0.1") -> int | None:
    """Return the user id that accepts connections to an IPv4 address; None if nobody does, or it is not known."""
    ours = (_hexadecimal((host, port)), _hexadecimal(("0.0.0.0", port)))  # noqa: S104 - compared, not bound
    found = {uid for ends, state, uid in _read_table() if state == _LISTENING and ends[0] in ours}
    return found.pop() if len(found) == 1 else None


def is_own_listener(port: int) -> bool:
    """Return whether this user accepts connections to a port of this computer; false if that is not known."""
    return find_listener_uid(port) == os.getuid()


def _ask_kernel(peer: Address, own: Address) -> int | None:
    """Ask for the one socket that is bound to ``peer`` and connected to ``own``; raises `OSError`."""
    netlink = getattr(socket, "AF_NETLINK", None)
    if netlink is None:
        raise OSError("not Linux")
    ends = _SOCKET_ID.pack(peer[1], own[1], _pad(peer[0]), _pad(own[0]))
    body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY_STATE) + ends + _ANY_DEVICE_AND_COOKIE
    header = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(netlink, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(header + body)
        answer = kernel.recv(1 << 13)
    _length, kind, *_rest = _HEADER.unpack_from(answer)
    if kind != _SOCK_DIAG_BY_FAMILY:
        raise OSError("the kernel does not know the socket")
    return _check_owner(*_OWNER.unpack_from(answer, _OWNER_OFFSET))


def _pad(address: str) -> bytes:
    return socket.inet_aton(address) + bytes(12)


def _check_owner(uid: int, inode: int) -> int | None:
    """A socket that was closed has no inode, and the kernel reports root as its owner, whoever it was."""
    return uid if inode else None


def _read_table() -> Iterator[tuple[list[str], str, int | None]]:
    """Yield the ends, the state and the owner of all IPv4 sockets."""
    try:
        _head, *rows = Path("/proc/net/tcp").read_text().splitlines()
    except (OSError, ValueError):
        return
    for row in rows:
        cells = row.split()
        yield cells[1:3], cells[3], _check_owner(int(cells[7]), int(cells[9]))


def _hexadecimal(address: Address) -> str:
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"
