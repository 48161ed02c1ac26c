"""A copy of the socket that an ssh process has opened, and what is switched off on it."""

from __future__ import annotations

import _socket as socket
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpurent.testing.contracts.site import site
from gpurent_plugin_turbo.near.connection.ssh_process import SshProcess
from gpurent_plugin_turbo.near.connection.tcp_tuning import Grip, Hands


async def test_an_ssh_process_acknowledges_and_sends_at_once(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        link = await place.link()
        wire = SshProcess(link, {}, "sleep 30")
        try:
            until = time.monotonic() + 20
            while not wire.trip and time.monotonic() < until:
                await _breathe()
            assert 0 < wire.trip < 5
            grip = wire.grip
            assert grip is not None
            assert grip._socket is not None
            assert grip._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        finally:
            wire.close()
        assert grip._socket is None


async def _breathe() -> None:
    import asyncio

    await asyncio.sleep(0.01)


@pytest.fixture
def pid() -> Iterator[int]:
    """A process without any socket."""
    child = os.posix_spawnp("sleep", ["sleep", "30"], {})
    yield child
    os.kill(child, 9)
    os.waitpid(child, 0)


def test_a_process_without_a_connection_is_left_alone(pid: int) -> None:
    hands = Hands()
    grip = hands.take(pid, 22)
    assert grip is not None
    time.sleep(0.02)
    assert grip.trip == 0.0
    hands.drop(grip)
    assert grip._pidfd == -1


def test_a_process_that_is_gone_ends_the_looking() -> None:
    child = os.posix_spawnp("true", ["true"], {})
    os.waitpid(child, 0)
    assert not Grip(child, 22).look()
