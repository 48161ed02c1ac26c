"""Contract tests of a transfer backend that need a machine whose disk really is small."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gpurent.domain.transfer import PushRequest
from gpurent.errors import TransferError
from gpurent.testing.contracts.file_trees import make_tree
from gpurent.testing.contracts.transfer_base import TransferContractBase
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.sandbox.fault_plan import FaultPlan
from gpurent.testing.ssh_fixture import MachineFixture


class FullDiskContract(TransferContractBase):
    """Contract tests for a machine with a small disk and a read-only system folder."""

    driver = "bwrap"
    spec_changes: ClassVar[dict[str, Any]] = {"disk_bytes": 8_000_000}

    async def test_a_full_disk_is_reported_before_and_during(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        source = tmp_path / "source"
        source.mkdir()
        (source / "large").write_bytes(os.urandom(20_000_000))
        with pytest.raises(TransferError, match="not enough disk space on the machine"):
            await self.push(remote, source)
        (source / "large").write_bytes(os.urandom(6_000_000))
        connection = await remote.connect()
        loop = asyncio.get_running_loop()
        filled: list[Any] = []

        class DiskFiller(CountingProgress):
            def set_total(self, files: int, size: int) -> None:
                loop.call_soon_threadsafe(fill)

        def fill() -> None:
            filled.append(asyncio.ensure_future(connection.run("head -c 8000000 /dev/zero >~/junk; true")))

        remote.machine.proxy.plan = FaultPlan(rate=6_000_000)
        request = PushRequest(sources=(source,), target="work", contents_only=True)
        with pytest.raises(TransferError, match=r"no space left|free"):
            await self.make_backend().push(connection, request, DiskFiller())
        remote.machine.proxy.plan = FaultPlan()
        await asyncio.gather(*filled)
        listing = await (await remote.connect()).run("ls ~/work/large 2>/dev/null; rm -f ~/junk")
        assert not listing.stdout
        await self.push(remote, source)
        size = await (await remote.connect()).run("wc -c <~/work/large")
        assert size.stdout.strip() == "6000000"

    async def test_a_read_only_target_is_reported(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source", files=3, large=0)
        with pytest.raises(TransferError, match=r"permission denied|cannot|Read-only|usr"):
            await self.push(remote, source, target="/usr/work")
