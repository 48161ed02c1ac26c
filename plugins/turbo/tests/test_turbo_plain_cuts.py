"""The line to a machine without Python cut at random bytes, up and down."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpurent.testing.contracts.cuts import Cuts
from gpurent.testing.contracts.site import site
from gpurent_plugin_turbo.backend import Turbo


async def cut(tmp_path: Path, seed: int, cuts: int) -> None:
    async with site(tmp_path, missing=("python3", "python")) as place:
        done = Cuts(place, lambda: Turbo({}), tmp_path, seed)
        await done.run(cuts)
        assert done.struck >= cuts


@pytest.mark.parametrize("seed", range(2))
async def test_cuts_at_random_bytes(tmp_path: Path, seed: int) -> None:
    await cut(tmp_path, seed, 12)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 104))
async def test_many_cuts_at_random_bytes(tmp_path: Path, seed: int) -> None:
    await cut(tmp_path, seed, 150)
