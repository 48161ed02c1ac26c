"""The connection dropped at random bytes, in pushes and pulls."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpurent.testing.contracts.random_cuts import RandomCuts
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.ssh_fixture import machine_fixture
from gpurent_plugin_sftp.backend import SftpBackend


async def cut_transfers(tmp_path: Path, seed: int, cuts: int) -> None:
    async with machine_fixture(tmp_path) as remote:
        done = RandomCuts(remote, lambda: SftpBackend(LOCAL_FILES), tmp_path, seed)
        await done.run_until(cuts)
        assert done.cut_count >= cuts


async def test_cuts_at_random_bytes(tmp_path: Path) -> None:
    await cut_transfers(tmp_path, 0, 15)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 110))
async def test_many_cuts_at_random_bytes(tmp_path: Path, seed: int) -> None:
    await cut_transfers(tmp_path, seed, 250)
