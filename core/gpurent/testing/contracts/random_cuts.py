"""Connection cuts at random bytes, which a transfer must survive repeatedly."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from attrs import define

from gpurent.domain.transfer import PullRequest, PushRequest
from gpurent.errors import TransferError, UnavailableError
from gpurent.roles.machine import TransferBackend
from gpurent.testing.contracts.file_trees import PARTIALS_FOLDER, read_tree
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.sandbox.fault_plan import FaultPlan
from gpurent.testing.ssh_fixture import MachineFixture


@define
class RandomCuts:
    """Pushes and pulls trees; each attempt is cut once, at a random byte, then resumed."""

    remote: MachineFixture
    backend: Callable[[], TransferBackend]
    folder: Path
    seed: int = 1
    cut_count: int = 0

    async def run_until(self, cuts: int) -> None:
        """Transfer until ``cuts`` cuts have happened; after each, every file with its final name must be complete."""
        rng = random.Random(self.seed)
        number = 0
        while self.cut_count < cuts:
            number += 1
            await self._push_with_cuts(rng, number)
            await self._pull_with_cuts(rng, number)

    async def _push_with_cuts(self, rng: random.Random, number: int) -> None:
        source = self._make_source(rng, number)
        target = f"work{number}"

        async def attempt() -> None:
            request = PushRequest(sources=(source,), target=target, contents_only=True)
            await self.backend().push(await self.remote.connect(), request, CountingProgress())

        await self._retry_with_cuts(attempt, rng, source, self.remote.home / target, up=True)
        shutil.rmtree(self.remote.home / target)

    async def _pull_with_cuts(self, rng: random.Random, number: int) -> None:
        source = self.folder / f"source{number}"
        remote_path = self.remote.home / f"out{number}"
        shutil.copytree(source, remote_path, symlinks=True)
        home = self.folder / f"home{number}"

        async def attempt() -> None:
            request = PullRequest(sources=(remote_path.name,), target=home)
            await self.backend().pull(await self.remote.connect(), request, CountingProgress())

        await self._retry_with_cuts(attempt, rng, remote_path, home / remote_path.name, up=False)
        for folder in (source, remote_path, home):
            shutil.rmtree(folder)

    def _make_source(self, rng: random.Random, number: int) -> Path:
        source = self.folder / f"source{number}"
        for name in range(rng.randint(1, 8)):
            path = source / f"f{name % 3}" / str(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rng.randbytes(rng.choice((0, 10, 3000, 60_000))))
        (source / "large").write_bytes(rng.randbytes(1_200_000 + rng.randint(0, 1000)))
        return source

    async def _retry_with_cuts(
        self, attempt: Callable[[], object], rng: random.Random, source: Path, result: Path, *, up: bool
    ) -> None:
        whole = read_tree(source)
        size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
        proxy = self.remote.machine.proxy
        for _ in range(60):
            # Some cuts hit the handshake, most the data, some the end of the protocol.
            at = rng.choice(
                (
                    rng.randint(1, 6000),
                    rng.randint(1, size),
                    rng.randint(size, size + size // 10 + 20_000),
                )
            )
            proxy.plan = (
                FaultPlan(cut_upload_after=at, times=1) if up else FaultPlan(cut_download_after=at, times=1)
            )
            try:
                await attempt()  # type: ignore[misc]
            except UnavailableError as error:
                assert error.retryable, error
                self.cut_count += 1
            except TransferError as error:
                raise AssertionError(f"a cut at {at} was taken for {error}") from error
            else:
                proxy.plan = FaultPlan()
                assert read_tree(result) == whole
                assert not (result / PARTIALS_FOLDER).exists()
                return
            finally:
                proxy.plan = FaultPlan()
            if result.exists():
                for name, entry in read_tree(result).items():
                    assert entry[0] == "folder" or entry == whole[name], (
                        f"{name} is not whole after a cut at {at}"
                    )
        raise AssertionError(f"it never came through {'up' if up else 'down'}")
