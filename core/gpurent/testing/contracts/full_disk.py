"""Promises of a transfer that only a machine shows whose disk is really as small as it says."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gpurent.domain.transfer import Push
from gpurent.errors import TransferError
from gpurent.testing.contracts.place import TransferPlace
from gpurent.testing.contracts.trees import plant
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.sandbox.faults import Plan
from gpurent.testing.ssh_fixture import MachineFixture


class FullDiskContract(TransferPlace):
    """What only a machine shows whose disk is really as small as it says, and whose system is read-only."""

    driver = "bwrap"
    changes: ClassVar[dict[str, Any]] = {"disk_bytes": 8_000_000}

    async def test_a_full_disk_is_told_before_and_during(self, place: MachineFixture, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        (source / "large").write_bytes(os.urandom(20_000_000))
        with pytest.raises(TransferError, match="bytes free"):
            await self.push(place, source)
        (source / "large").write_bytes(os.urandom(6_000_000))
        link = await place.connect()
        loop = asyncio.get_running_loop()
        filled: list[Any] = []

        class Greedy(CountingProgress):
            def total(self, files: int, size: int) -> None:
                loop.call_soon_threadsafe(fill)

        def fill() -> None:
            filled.append(asyncio.ensure_future(link.run("head -c 8000000 /dev/zero >~/junk; true")))

        place.machine.line.plan = Plan(rate=6_000_000)
        cargo = Push(sources=(source,), target="work", content=True)
        with pytest.raises(TransferError, match=r"full|free"):
            await self.backend().push(link, cargo, Greedy())
        place.machine.line.plan = Plan()
        await asyncio.gather(*filled)
        there = await (await place.connect()).run("ls ~/work/large 2>/dev/null; rm -f ~/junk")
        assert not there.out
        await self.push(place, source)
        size = await (await place.connect()).run("wc -c <~/work/large")
        assert size.out.strip() == "6000000"

    async def test_a_read_only_target_is_told(self, place: MachineFixture, tmp_path: Path) -> None:
        source = plant(tmp_path / "source", files=3, large=0)
        with pytest.raises(TransferError, match=r"does not let us|cannot|Read-only|usr"):
            await self.push(place, source, target="/usr/work")
