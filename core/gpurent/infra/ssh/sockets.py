"""Sockets to machines: the addresses of a name are looked up once, and only these are dialled."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from gpurent.domain.access import Endpoint
from gpurent.errors import UnavailableError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error


def make_unreachable_error(endpoint: Endpoint, error: Exception) -> UnavailableError:
    if isinstance(error, ValueError):
        text = _("{endpoint} does not answer as an SSH server should").format(endpoint=endpoint)
    else:
        text = _("{endpoint} does not answer: {what}").format(endpoint=endpoint, what=describe_error(error))
    return UnavailableError(text, retryable=True)


async def resolve_host(endpoint: Endpoint, timeout: float) -> Sequence[str]:
    """Return the numeric addresses of the endpoint's host, without duplicates; raises `UnavailableError`."""
    try:
        async with asyncio.timeout(timeout):
            return await _look_up(endpoint)
    except (OSError, TimeoutError, UnicodeError) as error:
        raise make_unreachable_error(endpoint, error) from None


async def _look_up(endpoint: Endpoint) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(endpoint.address, endpoint.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_others, address in found))


async def open_socket(endpoint: Endpoint, addresses: Sequence[str]) -> socket.socket:
    """Return a socket that is connected to the first of ``addresses`` that accepts; without any, look them up.

    Raises the `OSError` of the last one.
    """
    failure: OSError = ConnectionRefusedError()
    for address in addresses or await _look_up(endpoint):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, (address, endpoint.port))
        except OSError as error:
            made.close()
            failure = error
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise failure
