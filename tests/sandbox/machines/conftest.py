"""Every test here runs with every driver that works on this computer."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.testing.sandbox.machines import DriverName, find_bwrap_problem, select_driver
from tests.sandbox.machines.driver_fixture import (
    DriverFixture,
    Eventually,
    MakeLab,
    ProcessMark,
    wait_for_value,
)


@pytest.fixture(name="eventually")
def eventually_fixture() -> Eventually:
    return wait_for_value


@pytest.fixture
def process_mark() -> ProcessMark:
    return ProcessMark(f"brand-{os.getpid()}-{secrets.token_hex(4)}")


@pytest.fixture(scope="session")
def bwrap_problem() -> str:
    """Return why bubblewrap machines cannot run here; empty if they can."""
    return asyncio.run(find_bwrap_problem())


@pytest.fixture(params=["embedded", pytest.param("bwrap", marks=pytest.mark.bwrap)])
def driver_name(request: pytest.FixtureRequest, bwrap_problem: str) -> str:
    if request.param == "bwrap" and bwrap_problem:
        pytest.skip(bwrap_problem)
    return str(request.param)


@pytest.fixture
async def make_driver_fixture(driver_name: DriverName, tmp_path: Path) -> AsyncIterator[MakeLab]:
    """Create drivers that share one state folder."""
    made: list[DriverFixture] = []

    async def make() -> DriverFixture:
        made.append(DriverFixture(await select_driver(driver_name, tmp_path / "sandbox")))
        return made[-1]

    yield make
    for fixture in made:
        await fixture.driver.close()


@pytest.fixture
async def driver_fixture(make_driver_fixture: MakeLab) -> DriverFixture:
    return await make_driver_fixture()
