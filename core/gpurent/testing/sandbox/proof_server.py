"""Proves to a client that this is the sandbox of its handle: one line with a challenge, one line with the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from gpurent.infra.sandbox_handle import PROOF_SECONDS
from gpurent.testing.sandbox.local_ports import bind_listener
from gpurent.testing.sandbox.peers import is_own_peer

MAX_LINE_BYTES = 256


class ProofServer:
    """Answers with ``make_proof(challenge)`` on a port of its own, from `start` on."""

    def __init__(self, make_proof: Callable[[str], str]) -> None:
        self._make_proof = make_proof
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        listener = bind_listener(0)
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=MAX_LINE_BYTES)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, ValueError):  # a client that is gone, slow, or writes too much
            if is_own_peer(writer.get_extra_info("socket")):
                async with asyncio.timeout(PROOF_SECONDS):
                    challenge = (await reader.readline()).decode("ascii").strip()
                    writer.write(f"{self._make_proof(challenge)}\n".encode())
                    await writer.drain()
        writer.close()
