"""An open line to one machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncssh
from attrs import frozen

from gpurent.errors import RemoteError, UnavailableError
from gpurent.model.access import Endpoint

LARGEST = 8 << 20


@frozen
class Ran:
    """Implements `gpurent.ports.host.Ran`."""

    status: int
    out: str
    err: str


class SshLink:
    """Implements `gpurent.ports.host.Link`."""

    def __init__(
        self, connection: asyncssh.SSHClientConnection, endpoint: Endpoint, key_file: Path, known_hosts: Path
    ) -> None:
        self._connection = connection
        self.endpoint = endpoint
        self.key_file = key_file
        self.known_hosts = known_hosts

    @property
    def connection(self) -> asyncssh.SSHClientConnection:
        return self._connection

    @property
    def alive(self) -> bool:
        return not self._connection.is_closed()

    async def aclose(self) -> None:
        self._connection.close()
        try:
            async with asyncio.timeout(2):
                await self._connection.wait_closed()
        except (TimeoutError, OSError, asyncssh.Error):
            self._connection.abort()

    async def run(self, command: str, *, input: str = "", timeout: float = 60.0) -> Ran:  # noqa: A002 - the role's
        """Run ``command`` by the user's shell in the home; see the role."""
        try:
            async with asyncio.timeout(timeout):
                async with self._connection.create_process(command, encoding=None) as process:
                    process.stdin.write(input.encode())
                    process.stdin.write_eof()
                    out, err = await asyncio.gather(_read(process.stdout), _read(process.stderr))
                    await process.wait_closed()
        except TimeoutError:
            raise UnavailableError(
                f"{self.endpoint}: no answer within {timeout:g} s", retryable=not self.alive
            ) from None
        except (OSError, asyncssh.Error) as error:
            raise UnavailableError(f"the line to {self.endpoint} is lost: {error}", retryable=True) from None
        status = process.exit_status
        if status is None:
            if process.exit_signal is None or not self.alive:
                raise UnavailableError(f"the line to {self.endpoint} is lost", retryable=True)
            status = 128
        return Ran(status, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


async def _read(stream: asyncssh.SSHReader[bytes]) -> bytes:
    found = bytearray()
    while chunk := await stream.read(65536):
        found += chunk
        if len(found) > LARGEST:
            raise RemoteError(f"the machine's answer is larger than {LARGEST >> 20} MiB")
    return bytes(found)
