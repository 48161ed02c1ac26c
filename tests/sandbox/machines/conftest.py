"""Every test here runs against every driver that works on this computer."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.testing.sandbox.machines import DriverName, pick_driver, why_not_bwrap
from tests.sandbox.machines.lab import Brand, Eventually, Lab, MakeLab, eventually


@pytest.fixture(name="eventually")
def eventually_fixture() -> Eventually:
    return eventually


@pytest.fixture
def brand() -> Brand:
    return Brand(f"brand-{os.getpid()}-{secrets.token_hex(4)}")


@pytest.fixture(scope="session")
def bwrap_trouble() -> str:
    """Why bubblewrap machines cannot run here; empty when they can."""
    return asyncio.run(why_not_bwrap())


@pytest.fixture(params=["embedded", pytest.param("bwrap", marks=pytest.mark.bwrap)])
def driver_name(request: pytest.FixtureRequest, bwrap_trouble: str) -> str:
    if request.param == "bwrap" and bwrap_trouble:
        pytest.skip(bwrap_trouble)
    return str(request.param)


@pytest.fixture
async def make_lab(driver_name: DriverName, tmp_path: Path) -> AsyncIterator[MakeLab]:
    """Makes drivers over one and the same state folder."""
    made: list[Lab] = []

    async def make() -> Lab:
        made.append(Lab(await pick_driver(driver_name, tmp_path / "sandbox")))
        return made[-1]

    yield make
    for lab in made:
        await lab.driver.close()


@pytest.fixture
async def lab(make_lab: MakeLab) -> Lab:
    return await make_lab()
