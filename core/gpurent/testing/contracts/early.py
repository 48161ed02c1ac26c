"""The promises of `gpurent.roles.machine.SupportsPredial`, beyond those of every backend."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from pathlib import Path

from gpurent.domain.transfer import Push
from gpurent.infra.ssh.lease_files import SshTarget
from gpurent.roles.machine import SupportsPredial
from gpurent.testing.contracts.place import TransferPlace
from gpurent.testing.contracts.trees import plant, tree
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.ssh_fixture import MachineFixture


async def door_of(place: MachineFixture) -> SshTarget:
    """The machine, its key installed and its host key pinned; every line of ours is closed again."""
    link = await place.connect()
    await link.aclose()
    return SshTarget(link.endpoint, link.key_file, link.known_hosts)


def children() -> set[str]:
    """The processes that this one has begun and not yet seen end."""
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has just ended
            found.update((task / "children").read_text().split())
    return found


class EarlyTransferContract(TransferPlace):
    """Over a door, behind which no connection is open."""

    @abstractmethod
    def backend(self) -> SupportsPredial:
        """A fresh one."""

    async def test_a_push_takes_the_login_that_was_dialled(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        door, backend, before = await door_of(place), self.backend(), children()
        source = plant(tmp_path / "here")
        cargo = Push(sources=(source,), target="work", content=True)
        hang_up = backend.dial(door, cargo)
        assert hang_up is not None
        report = await backend.push(door, cargo, CountingProgress())
        assert report.sent > 0
        hang_up()
        assert children() == before
        assert tree(place.home / "work") == tree(source)

    async def test_a_login_that_was_not_taken_is_ended(self, place: MachineFixture, tmp_path: Path) -> None:
        door, before = await door_of(place), children()
        cargo = Push(sources=(tmp_path,), target="work")
        hang_up = self.backend().dial(door, cargo)
        assert hang_up is not None
        hang_up()
        hang_up()
        assert children() == before
        assert not (place.home / "work").exists()

    async def test_a_push_that_nobody_dialled_goes_the_same_way(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        door = await door_of(place)
        source = plant(tmp_path / "here")
        await self.backend().push(
            door, Push(sources=(source,), target="work", content=True), CountingProgress()
        )
        assert tree(place.home / "work") == tree(source)
