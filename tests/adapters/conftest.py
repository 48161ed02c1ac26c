"""Every test with a machine runs against asyncssh's server and, where it can, against real OpenSSH."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.adapters.files import private_folder
from gpurent.adapters.ssh import Ssh
from gpurent.testing.sandbox.machines import pick_driver, why_not_bwrap
from tests.adapters.yard import Yard


@pytest.fixture(scope="session")
def bwrap_trouble() -> str:
    """Why OpenSSH machines cannot run here; empty when they can."""
    return asyncio.run(why_not_bwrap())


@pytest.fixture(params=["embedded", pytest.param("bwrap", marks=pytest.mark.bwrap)])
async def yard(request: pytest.FixtureRequest, bwrap_trouble: str, tmp_path: Path) -> AsyncIterator[Yard]:
    if request.param == "bwrap" and bwrap_trouble:
        pytest.skip(bwrap_trouble)
    folder = private_folder(tmp_path / "ssh")
    driver = await pick_driver(request.param, tmp_path / "sandbox")
    yield Yard(driver, Ssh(folder), folder)
    await driver.close()
