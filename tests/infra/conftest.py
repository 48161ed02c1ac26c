"""Every test with a machine runs against asyncssh's server and, where it can, against real OpenSSH."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.testing.sandbox.machines import why_not_bwrap
from gpurent.testing.ssh_fixture import SshFixture, ssh_fixture


@pytest.fixture(scope="session")
def bwrap_trouble() -> str:
    """Why OpenSSH machines cannot run here; empty when they can."""
    return asyncio.run(why_not_bwrap())


@pytest.fixture(params=["embedded", pytest.param("bwrap", marks=pytest.mark.bwrap)])
async def machines(
    request: pytest.FixtureRequest, bwrap_trouble: str, tmp_path: Path
) -> AsyncIterator[SshFixture]:
    if request.param == "bwrap" and bwrap_trouble:
        pytest.skip(bwrap_trouble)
    async with ssh_fixture(request.param, tmp_path) as made:
        yield made
