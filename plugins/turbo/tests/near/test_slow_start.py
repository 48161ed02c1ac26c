"""A connection in slow start: the padding it gets to grow its window, and what the padding must not do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from asyncssh.constants import MSG_IGNORE

from gpurent.api import PushRequest
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.sandbox.machines import DriverName
from gpurent.testing.ssh_fixture import machine_fixture
from gpurent_plugin_turbo.backend import TurboBackend
from gpurent_plugin_turbo.near.connection import tcp_tuning
from gpurent_plugin_turbo.near.connection.tcp_tuning import SOCKET_TUNER


@pytest.mark.parametrize("driver", ["embedded", "auto"])
async def test_slow_start_padding_is_ignored_by_the_server(
    driver: DriverName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp_tuning, "SLOW_START_RTT", 0.0)
    monkeypatch.setattr(tcp_tuning, "read_congestion_window", lambda made: 14_000)
    source = tmp_path / "source"
    source.mkdir()
    for number in range(20):
        (source / f"f{number}").write_bytes(os.urandom(5000))
    async with machine_fixture(tmp_path / "site", driver) as remote:
        connection = await remote.connect()
        sent: list[int] = []
        send = connection.transport.send_packet

        def record_frame(kind: int, *args: bytes, **more: Any) -> None:
            sent.append(len(args[0]) if kind == MSG_IGNORE else 0)
            send(kind, *args, **more)

        monkeypatch.setattr(connection.transport, "send_packet", record_frame)
        await TurboBackend({}, LOCAL_FILES).push(
            connection, PushRequest(sources=(source,), target="work", contents_only=True), CountingProgress()
        )
        assert max(sent) == 14_004
        remote_files = {path.name: path.read_bytes() for path in (remote.home / "work").iterdir()}
    assert remote_files == {path.name: path.read_bytes() for path in source.iterdir()}


async def test_low_latency_connection_needs_no_padding(tmp_path: Path) -> None:
    async with machine_fixture(tmp_path) as remote:
        connection = await remote.connect()
        held = SOCKET_TUNER.tune_descriptor(connection.transport.get_extra_info("socket").fileno())
        try:
            assert held.read_slow_start_window() == 0
        finally:
            SOCKET_TUNER.release_socket(held)
        assert held.read_slow_start_window() == 0


async def test_trip_connection_uses_the_fast_cipher(tmp_path: Path) -> None:
    async with machine_fixture(tmp_path) as remote:
        connection = await remote.connect()
        assert connection.transport.get_extra_info("send_cipher") == "aes128-gcm@openssh.com"
