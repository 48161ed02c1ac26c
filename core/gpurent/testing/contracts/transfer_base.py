"""Base class of the transfer contracts: a machine and a backend."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gpurent.domain.transfer import PullRequest, PushRequest, TransferReport
from gpurent.roles.machine import TransferBackend
from gpurent.testing.contracts.contract import Contract
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.sandbox.machines import DriverName, find_bwrap_problem
from gpurent.testing.ssh_fixture import MachineFixture, machine_fixture


class TransferContractBase(Contract):
    """Provides a machine for each test. A subclass implements `make_backend` and picks a driver."""

    driver: ClassVar[DriverName] = "embedded"
    spec_changes: ClassVar[dict[str, Any]] = {}

    @abstractmethod
    def make_backend(self) -> TransferBackend:
        """Return a new backend."""

    @pytest.fixture
    async def remote(self, tmp_path: Path) -> AsyncIterator[MachineFixture]:
        if self.driver == "bwrap" and (problem := await find_bwrap_problem()):
            pytest.skip(problem)
        async with machine_fixture(tmp_path, self.driver, **self.spec_changes) as found:
            yield found

    async def push(
        self, remote: MachineFixture, *sources: Path, target: str = "work", **more: Any
    ) -> TransferReport:
        request = PushRequest(sources=sources, target=target, **{"contents_only": True, **more})
        return await self.make_backend().push(await remote.connect(), request, CountingProgress())

    async def pull(self, remote: MachineFixture, *sources: str, to: Path, **more: Any) -> TransferReport:
        return await self.make_backend().pull(
            await remote.connect(), PullRequest(sources=sources, target=to, **more), CountingProgress()
        )
