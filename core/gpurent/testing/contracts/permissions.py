"""Contract tests of a transfer backend that root cannot run, since permissions do not restrict root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gpurent.errors import TransferError
from gpurent.testing.contracts.file_trees import make_tree, read_tree
from gpurent.testing.contracts.transfer_base import TransferContractBase
from gpurent.testing.ssh_fixture import MachineFixture


class RemotePermissionsContract(TransferContractBase):
    """Contract tests for files that cannot be read or written on the machine.

    Under bubblewrap its user is unprivileged, whoever runs the tests.
    """

    driver = "bwrap"

    async def test_an_unwritable_remote_folder(self, remote: MachineFixture, tmp_path: Path) -> None:
        source, work = make_tree(tmp_path / "source", files=3, large=2_000_000), remote.home / "work"
        work.mkdir(mode=0o555)
        with pytest.raises(TransferError, match=r"(?i)permission denied"):
            await self.push(remote, source)
        assert [name for name, entry in read_tree(work).items() if entry[0] == "file"] == []
        work.chmod(0o755)
        await self.push(remote, source)
        assert read_tree(work) == read_tree(source)

    async def test_an_unwritable_remote_file(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source", files=3, large=2_000_000)
        await self.push(remote, source)
        old = read_tree(remote.home / "work")
        for name in ("part0/file000.txt", "part1/file001.txt"):
            (source / name).write_text("another text")
        closed = remote.home / "work" / "part1"
        closed.chmod(0o555)
        with pytest.raises(TransferError, match=r"part1/file001\.txt"):
            await self.push(remote, source)
        assert read_tree(remote.home / "work")["part1/file001.txt"] == old["part1/file001.txt"]
        closed.chmod(0o755)
        await self.push(remote, source)
        assert read_tree(remote.home / "work") == read_tree(source)

    async def test_read_only_remote_files_are_replaced(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source", files=3, large=2_000_000)
        await self.push(remote, source)
        for name, mode in (("part0/file000.txt", 0o444), ("part1/file001.txt", 0), ("large.bin", 0)):
            (remote.home / "work" / name).chmod(mode)
            (source / name).write_bytes(os.urandom((source / name).stat().st_size + 1))
        await self.push(remote, source)
        assert read_tree(remote.home / "work") == read_tree(source)

    async def test_an_unreadable_remote_file(self, remote: MachineFixture, tmp_path: Path) -> None:
        out = make_tree(remote.home / "out", files=4, large=2_000_000)
        whole: dict[str, Any] = read_tree(out)
        for name in ("part0/file000.txt", "large.bin"):
            (out / name).chmod(0)
            home = tmp_path / f"without {Path(name).name}"
            with pytest.raises(TransferError, match=f"{name}.* cannot be read on the machine"):
                await self.pull(remote, "out", to=home)
            assert read_tree(home / "out") == {
                other: entry for other, entry in whole.items() if other != name
            }
            (out / name).chmod(whole[name][1])

    async def test_an_unreadable_remote_folder(self, remote: MachineFixture, tmp_path: Path) -> None:
        out = make_tree(remote.home / "out", files=5, large=0)
        (out / "part1").chmod(0)
        report = await self.pull(remote, "out", to=tmp_path / "home")
        assert [item.name.rstrip("/") for item in report.skipped] == ["out/part1"]
        assert report.files == 5
        (out / "part1").chmod(0o755)


class LocalPermissionsContract(TransferContractBase):
    """Contract tests for local files that cannot be read or written, and for a full local disk."""

    @pytest.fixture(autouse=True)
    def skip_as_root(self) -> None:
        if os.geteuid() == 0:
            pytest.skip("permissions do not stop root; `run_as_unprivileged_user` runs this")

    async def test_an_unreadable_local_file(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source", files=5, large=2_000_000)
        for name in ("part0/file000.txt", "large.bin"):
            mode = (source / name).stat().st_mode
            (source / name).chmod(0)
            with pytest.raises(TransferError, match=f"{name}.*cannot be read"):
                await self.push(remote, source)
            assert not (remote.home / "work" / name).exists()
            assert (remote.home / "work" / "part1" / "file001.txt").exists()
            (source / name).chmod(mode)
            await self.push(remote, source)
            assert read_tree(remote.home / "work") == read_tree(source)
            (remote.home / "work" / "large.bin").unlink()

    async def test_an_unreadable_local_folder(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source", files=5, large=0)
        (source / "part1").chmod(0)
        with pytest.raises(TransferError, match=r"part1.*cannot be read"):
            await self.push(remote, source)
        (source / "part1").chmod(0o755)

    async def test_an_unwritable_local_target(self, remote: MachineFixture, tmp_path: Path) -> None:
        out, home = make_tree(remote.home / "out", files=3, large=2_000_000), tmp_path / "home"
        home.mkdir(mode=0o555)
        for target in (home, home / "below"):
            with pytest.raises(TransferError, match="cannot be written here"):
                await self.pull(remote, "out", to=target)
        assert list(home.iterdir()) == []
        home.chmod(0o755)
        await self.pull(remote, "out", to=home)
        assert read_tree(home / "out") == read_tree(out)

    async def test_an_unwritable_local_file(self, remote: MachineFixture, tmp_path: Path) -> None:
        out, home = make_tree(remote.home / "out", files=3, large=0), tmp_path / "home"
        await self.pull(remote, "out", to=home)
        old = read_tree(home / "out")
        (out / "part1" / "file001.txt").write_text("another text")
        (home / "out" / "part1").chmod(0o555)
        with pytest.raises(TransferError, match=r"part1/file001\.txt cannot be written here"):
            await self.pull(remote, "out", to=home)
        assert read_tree(home / "out") == old
        (home / "out" / "part1").chmod(0o755)
        (home / "out" / "part1" / "file001.txt").chmod(0o400)  # it is replaced: only the folder's mode counts
        await self.pull(remote, "out", to=home)
        assert read_tree(home / "out") == read_tree(out)

    async def test_a_full_local_disk(self, remote: MachineFixture, tmp_path: Path) -> None:
        home = Path(os.environ.get("GPURENT_SMALL_DISK", ""))
        if not home.is_absolute():
            pytest.skip("no small disk here; `run_as_unprivileged_user` makes one")
        out = make_tree(remote.home / "out", files=40, large=0)
        (out / "z too large.bin").write_bytes(os.urandom(12_000_000))
        with pytest.raises(TransferError, match=r"disk (space on|of) this computer"):
            await self.pull(remote, "out", to=home)
        assert not (home / "out" / "z too large.bin").exists()
        whole: dict[str, Any] = read_tree(out)
        assert all(
            entry == whole[name] for name, entry in read_tree(home / "out").items() if entry[0] == "file"
        )
