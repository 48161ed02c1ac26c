"""A machine for each way in which files travel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.testing.ssh_fixture import MachineFixture, machine_fixture
from tests.security.transfer_ways import BACKENDS


@pytest.fixture(params=BACKENDS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def machine(way: str, tmp_path: Path) -> AsyncIterator[MachineFixture]:
    missing = ("python3", "python") if way == "shell" else ()
    async with machine_fixture(tmp_path / "machine", missing=missing) as found:
        yield found
