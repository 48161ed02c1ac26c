"""Pipe ends that are closed while something waits for them."""

import asyncio
import os

import pytest

from gpurent.testing.sandbox.machines.descriptors import AsyncDescriptor


async def _check_waiting(work: "asyncio.Future[bytes] | asyncio.Future[None]") -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not work.done()


async def test_a_number_that_was_closed_under_a_reader_serves_its_next_owner() -> None:
    source, sink = os.pipe()
    old = AsyncDescriptor(source)
    reading = asyncio.ensure_future(old.read())
    await _check_waiting(reading)
    old.close()
    again, new_sink = os.pipe()
    assert again == source
    new = AsyncDescriptor(again)
    read_task = asyncio.ensure_future(new.read())
    async with asyncio.timeout(20):
        assert await reading == b""
        os.write(new_sink, b"greeting")
        assert await read_task == b"greeting"
    new.close()
    os.close(sink)
    os.close(new_sink)


async def test_writer_whose_end_is_closed_gets_an_error() -> None:
    source, sink = os.pipe()
    full = AsyncDescriptor(sink)
    writing = asyncio.ensure_future(full.write(bytes(1 << 20)))
    await _check_waiting(writing)
    full.close()
    async with asyncio.timeout(20):
        with pytest.raises(BrokenPipeError):
            await writing
    os.close(source)
