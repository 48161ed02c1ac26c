"""A chain node that passes calls on to a simulated one and changes some of its answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from plugins.dbcchain.tests.chain_harness import ChainHarness

Lie = Callable[[list[Any], Any], Any]


@asynccontextmanager
async def lying_node(harness: ChainHarness, lies: Mapping[str, Lie]) -> AsyncIterator[str]:
    """Serve the chain of ``harness`` and yield the URL; a result is ``lies[method](parameters, result)`` instead."""

    open_writers: set[asyncio.StreamWriter] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                )
                call = json.loads(await reader.readexactly(length))
                found = await harness.post("/", **call)
                lie = lies.get(call["method"])
                if lie is not None and "result" in found:
                    found = {**found, "result": lie(call["params"], found["result"])}
                body = json.dumps(found).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    + f"content-length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_writers:
            writer.close()
        await server.wait_closed()
