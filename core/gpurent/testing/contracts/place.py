"""A machine and a backend, for the contracts of transfers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gpurent.domain.transfer import Pull, Push, TransferReport
from gpurent.roles.machine import TransferBackend
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.sandbox.machines import DriverName, why_not_bwrap
from gpurent.testing.ssh_fixture import MachineFixture, machine_fixture


class TransferPlace:
    """A machine for each test. Say what the backend is, and pick a driver."""

    driver: ClassVar[DriverName] = "embedded"
    changes: ClassVar[dict[str, Any]] = {}

    @abstractmethod
    def backend(self) -> TransferBackend:
        """A fresh one."""

    @pytest.fixture
    async def place(self, tmp_path: Path) -> AsyncIterator[MachineFixture]:
        if self.driver == "bwrap" and (why := await why_not_bwrap()):
            pytest.skip(why)
        async with machine_fixture(tmp_path, self.driver, **self.changes) as found:
            yield found

    async def push(
        self, place: MachineFixture, *sources: Path, target: str = "work", **more: Any
    ) -> TransferReport:
        cargo = Push(sources=sources, target=target, **{"content": True, **more})
        return await self.backend().push(await place.connect(), cargo, CountingProgress())

    async def pull(self, place: MachineFixture, *sources: str, to: Path, **more: Any) -> TransferReport:
        return await self.backend().pull(
            await place.connect(), Pull(sources=sources, target=to, **more), CountingProgress()
        )
