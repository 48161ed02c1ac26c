"""A machine and a backend, for the contracts of transfers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gpurent.domain.transfer import Pull, Push, TransferReport
from gpurent.roles.transfer import TransferBackend
from gpurent.testing.contracts.site import Site, Tally, site
from gpurent.testing.sandbox.machines import DriverName, why_not_bwrap


class TransferPlace:
    """A machine for each test. Say what the backend is, and pick a driver."""

    driver: ClassVar[DriverName] = "embedded"
    changes: ClassVar[dict[str, Any]] = {}

    @abstractmethod
    def backend(self) -> TransferBackend:
        """A fresh one."""

    @pytest.fixture
    async def place(self, tmp_path: Path) -> AsyncIterator[Site]:
        if self.driver == "bwrap" and (why := await why_not_bwrap()):
            pytest.skip(why)
        async with site(tmp_path, self.driver, **self.changes) as found:
            yield found

    async def push(self, place: Site, *sources: Path, target: str = "work", **more: Any) -> TransferReport:
        cargo = Push(sources=sources, target=target, **{"content": True, **more})
        return await self.backend().push(await place.link(), cargo, Tally())

    async def pull(self, place: Site, *sources: str, to: Path, **more: Any) -> TransferReport:
        return await self.backend().pull(
            await place.link(), Pull(sources=sources, target=to, **more), Tally()
        )
