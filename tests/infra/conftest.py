"""Every test with a machine runs with asyncssh's server and, where possible, with real OpenSSH."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.testing.sandbox.machines import find_bwrap_problem
from gpurent.testing.ssh_fixture import SshFixture, ssh_fixture


@pytest.fixture(scope="session")
def bwrap_problem() -> str:
    """Return why OpenSSH machines cannot run here; empty if they can."""
    return asyncio.run(find_bwrap_problem())


@pytest.fixture(params=["embedded", pytest.param("bwrap", marks=pytest.mark.bwrap)])
async def machines(
    request: pytest.FixtureRequest, bwrap_problem: str, tmp_path: Path
) -> AsyncIterator[SshFixture]:
    if request.param == "bwrap" and bwrap_problem:
        pytest.skip(bwrap_problem)
    async with ssh_fixture(request.param, tmp_path) as made:
        yield made
