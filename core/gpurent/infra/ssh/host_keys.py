"""The host key that a machine shows, before any login."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncssh

from gpurent.domain.access import Endpoint
from gpurent.errors import HostKeyChanged, RemoteError, UnavailableError
from gpurent.infra.ssh.sockets import make_unreachable_error, open_socket
from gpurent.locale import _
from gpurent.locale.foreign_text import quote_text
from gpurent.ports.connection import Reachability

PROBE_TIMEOUT = 8.0
RESET_TRIES = 3
# What the library raises for a server that cannot be reached, or does not speak SSH as it should. ValueError: text of
# the server's that is not in the encoding that it must have.
CONNECT_ERRORS = (OSError, TimeoutError, asyncssh.Error, ValueError)


async def fetch_host_key(
    endpoint: Endpoint, timeout: float, addresses: Sequence[str] = ()
) -> asyncssh.SSHKey:
    """Return the host key that the machine presents now.

    Raises `UnavailableError` if it does not answer, `RemoteError` if it speaks only algorithms that we do not.
    """
    try:
        key = await _request_whole(endpoint, timeout, addresses)
    except asyncssh.KeyExchangeFailed as error:
        raise RemoteError(
            _("the SSH server of {endpoint} has only algorithms that are not safe enough: {said}").format(
                endpoint=endpoint, said=quote_text(error.reason.rpartition(" received ")[2] or error.reason)
            ),
            hint=_("Update it, or allow others in its sshd_config."),
            detail=error.reason,
        ) from None
    except CONNECT_ERRORS as error:
        raise make_unreachable_error(endpoint, error) from None
    if key is None:
        raise UnavailableError(
            _("{endpoint} presented no host key").format(endpoint=endpoint), retryable=True
        )
    return key


async def probe_host_key(endpoint: Endpoint, pinned: asyncssh.SSHKey | None) -> Reachability:
    """Check whether the machine with the host key ``pinned`` is still there; sends nothing that needs a login."""
    try:
        key = await _request_host_key(endpoint, PROBE_TIMEOUT)
    except ConnectionRefusedError:
        return Reachability.REFUSED
    except (TimeoutError, asyncssh.Error, ConnectionError, ValueError):
        return Reachability.NO_ANSWER
    except OSError:
        # No DNS or no route: our own network may be down.
        return Reachability.UNKNOWN
    if key is None or pinned is None:
        return Reachability.NO_ANSWER
    same = key.get_fingerprint() == pinned.get_fingerprint()
    return Reachability.REACHABLE if same else Reachability.OTHER_MACHINE


async def make_host_key_error(
    endpoint: Endpoint, pinned: asyncssh.SSHKey | None, timeout: float, addresses: Sequence[str]
) -> HostKeyChanged:
    """Make the error that names both host keys."""
    shown = await fetch_host_key(endpoint, timeout, addresses)
    return HostKeyChanged(
        _("{endpoint} presented the host key {shown}, but {pinned} is pinned for this lease").format(
            endpoint=endpoint,
            shown=shown.get_fingerprint(),
            pinned=pinned.get_fingerprint() if pinned else _("none"),
        ),
        hint=_(
            "Someone may be intercepting the connection, or the machine was replaced. No password was sent."
        ),
    )


async def _request_whole(
    endpoint: Endpoint, timeout: float, addresses: Sequence[str]
) -> asyncssh.SSHKey | None:
    """As `_request_host_key`. A server with other algorithms resets the connection, also before its offer is read."""
    for tries_left in range(RESET_TRIES - 1, -1, -1):
        try:
            return await _request_host_key(endpoint, timeout, addresses)
        except (ConnectionResetError, asyncssh.ConnectionLost):
            if not tries_left:
                raise
    raise AssertionError


async def _request_host_key(
    endpoint: Endpoint, timeout: float, addresses: Sequence[str] = ()
) -> asyncssh.SSHKey | None:
    async with asyncio.timeout(timeout):
        made = await open_socket(endpoint, addresses)
        # The library would read the keys in ~/.ssh, although nobody logs in.
        options = asyncssh.SSHClientConnectionOptions(config=None, client_keys=None, agent_path=None)
        try:
            return await asyncssh.get_server_host_key(
                endpoint.address, endpoint.port, config=None, sock=made, options=options
            )
        finally:
            made.close()
