"""A duplicate of the socket that an ssh process opened, and what is turned off on it."""

from __future__ import annotations

import _socket as socket
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpurent.testing.load_timeouts import load_factor, wait_until
from gpurent.testing.ssh_fixture import machine_fixture
from gpurent_plugin_turbo.near.connection.ssh_process import SshProcess
from gpurent_plugin_turbo.near.connection.tcp_tuning import SocketTuner, TunedSocket


async def test_an_ssh_process_acknowledges_and_sends_at_once(tmp_path: Path) -> None:
    async with machine_fixture(tmp_path) as remote:
        opened = await remote.connect()
        connection = SshProcess(opened, {}, "sleep 3600")
        try:
            tuned = connection.tuned_socket

            async def measured() -> bool:
                return bool(tuned.rtt)

            await wait_until(measured)
            assert 0 < tuned.rtt < 5 * load_factor()
            assert tuned._socket is not None
            assert tuned._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        finally:
            connection.close()
        assert tuned._socket is None


@pytest.fixture
def pid() -> Iterator[int]:
    """Yield a process without any socket."""
    child = os.posix_spawnp("sleep", ["sleep", "3600"], {})
    yield child
    os.kill(child, 9)
    os.waitpid(child, 0)


def test_a_process_without_a_connection_is_left_alone(pid: int) -> None:
    tuner = SocketTuner()
    tuned = tuner.tune_process(pid, 22)
    time.sleep(0.02)
    assert tuned.rtt == 0.0
    tuner.release_socket(tuned)
    assert tuned._pidfd == -1


def test_dead_process_ends_the_search() -> None:
    child = os.posix_spawnp("true", ["true"], {})
    os.waitpid(child, 0)
    assert not TunedSocket(child, 22).tune()
