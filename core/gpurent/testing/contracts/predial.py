"""Contract tests for `gpurent.roles.machine.SupportsPredial`, beyond those of every transfer backend."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from pathlib import Path

from gpurent.domain.transfer import PushRequest
from gpurent.infra.ssh.lease_files import SshTarget
from gpurent.roles.machine import SupportsPredial
from gpurent.testing.contracts.file_trees import make_tree, read_tree
from gpurent.testing.contracts.transfer_base import TransferContractBase
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.ssh_fixture import MachineFixture


async def prepare_ssh_target(remote: MachineFixture) -> SshTarget:
    """Install the key, pin the host key, close the connection and return the machine's SSH target."""
    connection = await remote.connect()
    await connection.close()
    return SshTarget(connection.endpoint, connection.key_file, connection.known_hosts)


def list_child_processes() -> set[str]:
    """Return the ids of this process's children that were not reaped yet."""
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # the thread has just ended
            found.update((task / "children").read_text().split())
    return found


class PredialContract(TransferContractBase):
    """Contract tests for predialing a machine to which no connection is open."""

    @abstractmethod
    def make_backend(self) -> SupportsPredial:
        """Return a new backend."""

    async def test_a_push_uses_the_predialed_login(self, remote: MachineFixture, tmp_path: Path) -> None:
        target, backend, before = (
            await prepare_ssh_target(remote),
            self.make_backend(),
            list_child_processes(),
        )
        source = make_tree(tmp_path / "here")
        request = PushRequest(sources=(source,), target="work", contents_only=True)
        end_login = backend.start_login(target, request)
        assert end_login is not None
        report = await backend.push(target, request, CountingProgress())
        assert report.sent > 0
        end_login()
        assert list_child_processes() == before
        assert read_tree(remote.home / "work") == read_tree(source)

    async def test_an_unused_predialed_login_is_ended(self, remote: MachineFixture, tmp_path: Path) -> None:
        target, before = await prepare_ssh_target(remote), list_child_processes()
        request = PushRequest(sources=(tmp_path,), target="work")
        end_login = self.make_backend().start_login(target, request)
        assert end_login is not None
        end_login()
        end_login()
        assert list_child_processes() == before
        assert not (remote.home / "work").exists()

    async def test_a_push_without_predial_gives_the_same_result(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        target = await prepare_ssh_target(remote)
        source = make_tree(tmp_path / "here")
        await self.make_backend().push(
            target, PushRequest(sources=(source,), target="work", contents_only=True), CountingProgress()
        )
        assert read_tree(remote.home / "work") == read_tree(source)
