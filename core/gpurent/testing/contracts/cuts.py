"""Cuts at random bytes: what a transfer must survive, many times."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from attrs import define

from gpurent.domain.transfer import Pull, Push
from gpurent.errors import TransferError, UnavailableError
from gpurent.roles.machine import TransferBackend
from gpurent.testing.contracts.trees import ROOM, tree
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.sandbox.faults import Plan
from gpurent.testing.ssh_fixture import MachineFixture


@define
class Cuts:
    """Sends a tree to and fro; each attempt is cut once, at a random byte, then taken up again."""

    place: MachineFixture
    backend: Callable[[], TransferBackend]
    room: Path
    seed: int = 1
    struck: int = 0

    async def run(self, cuts: int) -> None:
        """Until so many cuts have struck. After each, what has a final name is whole."""
        chance = random.Random(self.seed)
        number = 0
        while self.struck < cuts:
            number += 1
            await self._upload(chance, number)
            await self._download(chance, number)

    async def _upload(self, chance: random.Random, number: int) -> None:
        source = self._source(chance, number)
        target = f"work{number}"

        async def attempt() -> None:
            cargo = Push(sources=(source,), target=target, content=True)
            await self.backend().push(await self.place.connect(), cargo, CountingProgress())

        await self._cut(attempt, chance, source, self.place.home / target, up=True)
        shutil.rmtree(self.place.home / target)

    async def _download(self, chance: random.Random, number: int) -> None:
        source = self.room / f"source{number}"
        there = self.place.home / f"out{number}"
        shutil.copytree(source, there, symlinks=True)
        home = self.room / f"home{number}"

        async def attempt() -> None:
            cargo = Pull(sources=(there.name,), target=home)
            await self.backend().pull(await self.place.connect(), cargo, CountingProgress())

        await self._cut(attempt, chance, there, home / there.name, up=False)
        for folder in (source, there, home):
            shutil.rmtree(folder)

    def _source(self, chance: random.Random, number: int) -> Path:
        source = self.room / f"source{number}"
        for name in range(chance.randint(1, 8)):
            path = source / f"f{name % 3}" / str(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(chance.randbytes(chance.choice((0, 10, 3000, 60_000))))
        (source / "large").write_bytes(chance.randbytes(1_200_000 + chance.randint(0, 1000)))
        return source

    async def _cut(
        self, attempt: Callable[[], object], chance: random.Random, source: Path, there: Path, *, up: bool
    ) -> None:
        whole = tree(source)
        size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
        line = self.place.machine.line
        for _ in range(60):
            # Some strike in the greeting, most in the middle, some in the farewell.
            at = chance.choice(
                (
                    chance.randint(1, 6000),
                    chance.randint(1, size),
                    chance.randint(size, size + size // 10 + 20_000),
                )
            )
            line.plan = Plan(cut_up=at, times=1) if up else Plan(cut_down=at, times=1)
            try:
                await attempt()  # type: ignore[misc]
            except UnavailableError as error:
                assert error.retryable, error
                self.struck += 1
            except TransferError as error:
                raise AssertionError(f"a cut at {at} was taken for {error}") from error
            else:
                line.plan = Plan()
                assert tree(there) == whole
                assert not (there / ROOM).exists()
                return
            finally:
                line.plan = Plan()
            if there.exists():
                for name, what in tree(there).items():
                    assert what[0] == "folder" or what == whole[name], (
                        f"{name} is not whole after a cut at {at}"
                    )
        raise AssertionError(f"it never came through {'up' if up else 'down'}")
