"""The connection dropped at random bytes, in pushes and pulls, to machines with and without Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpurent.testing.contracts.random_cuts import RandomCuts
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.ssh_fixture import machine_fixture
from gpurent_plugin_turbo.backend import TurboBackend

NO_PYTHON = ("python3", "python")


async def cut_transfers(tmp_path: Path, seed: int, cuts: int, missing: tuple[str, ...]) -> None:
    async with machine_fixture(tmp_path, missing=missing) as remote:
        done = RandomCuts(remote, lambda: TurboBackend({}, LOCAL_FILES), tmp_path, seed)
        await done.run_until(cuts)
        assert done.cut_count >= cuts


@pytest.mark.parametrize(
    ("seed", "cuts", "missing"),
    [(0, 15, ()), (1, 5, NO_PYTHON)],
)
async def test_cuts_at_random_bytes(tmp_path: Path, seed: int, cuts: int, missing: tuple[str, ...]) -> None:
    await cut_transfers(tmp_path, seed, cuts, missing)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 110))
async def test_many_cuts_at_random_bytes(tmp_path: Path, seed: int) -> None:
    await cut_transfers(tmp_path, seed, 250, ())


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 104))
async def test_many_cuts_at_random_bytes_without_python(tmp_path: Path, seed: int) -> None:
    await cut_transfers(tmp_path, seed, 150, NO_PYTHON)
