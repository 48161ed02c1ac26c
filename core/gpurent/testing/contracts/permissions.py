"""Promises of a transfer that root never sees kept: permissions do not stop root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gpurent.errors import TransferError
from gpurent.testing.contracts.place import TransferPlace
from gpurent.testing.contracts.trees import plant, tree
from gpurent.testing.ssh_fixture import MachineFixture


class FarPermissionsContract(TransferPlace):
    """What may not be read or written on the machine. In a bubblewrap its user is an ordinary one, whoever we are."""

    driver = "bwrap"

    async def test_a_folder_there_that_may_not_be_written(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        source, work = plant(tmp_path / "source", files=3, large=2_000_000), place.home / "work"
        work.mkdir(mode=0o555)
        with pytest.raises(TransferError, match=r"does not let us write|Permission denied"):
            await self.push(place, source)
        assert [name for name, what in tree(work).items() if what[0] == "file"] == []
        work.chmod(0o755)
        await self.push(place, source)
        assert tree(work) == tree(source)

    async def test_a_file_there_that_may_not_be_overwritten(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        source = plant(tmp_path / "source", files=3, large=2_000_000)
        await self.push(place, source)
        old = tree(place.home / "work")
        for name in ("part0/file000.txt", "part1/file001.txt"):
            (source / name).write_text("another text")
        closed = place.home / "work" / "part1"
        closed.chmod(0o555)
        with pytest.raises(TransferError, match=r"part1/file001\.txt"):
            await self.push(place, source)
        assert tree(place.home / "work")["part1/file001.txt"] == old["part1/file001.txt"]
        closed.chmod(0o755)
        await self.push(place, source)
        assert tree(place.home / "work") == tree(source)

    async def test_files_there_that_are_read_only_or_closed_are_replaced(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        source = plant(tmp_path / "source", files=3, large=2_000_000)
        await self.push(place, source)
        for name, mode in (("part0/file000.txt", 0o444), ("part1/file001.txt", 0), ("large.bin", 0)):
            (place.home / "work" / name).chmod(mode)
            (source / name).write_bytes(os.urandom((source / name).stat().st_size + 1))
        await self.push(place, source)
        assert tree(place.home / "work") == tree(source)

    async def test_a_file_there_that_may_not_be_read(self, place: MachineFixture, tmp_path: Path) -> None:
        out = plant(place.home / "out", files=4, large=2_000_000)
        whole: dict[str, Any] = tree(out)
        for name in ("part0/file000.txt", "large.bin"):
            (out / name).chmod(0)
            home = tmp_path / f"without {Path(name).name}"
            with pytest.raises(TransferError, match=f"{name}.* cannot be read there"):
                await self.pull(place, "out", to=home)
            assert tree(home / "out") == {other: what for other, what in whole.items() if other != name}
            (out / name).chmod(whole[name][1])

    async def test_a_folder_there_that_may_not_be_read(self, place: MachineFixture, tmp_path: Path) -> None:
        out = plant(place.home / "out", files=5, large=0)
        (out / "part1").chmod(0)
        report = await self.pull(place, "out", to=tmp_path / "home")
        assert [item.name.rstrip("/") for item in report.skipped] == ["out/part1"]
        assert report.files == 5
        (out / "part1").chmod(0o755)


class NearPermissionsContract(TransferPlace):
    """What may not be read or written here, and a disk here that is full."""

    @pytest.fixture(autouse=True)
    def ordinary(self) -> None:
        if os.geteuid() == 0:
            pytest.skip("permissions do not stop root; `run_as_ordinary_user` runs this")

    async def test_a_file_here_that_may_not_be_read(self, place: MachineFixture, tmp_path: Path) -> None:
        source = plant(tmp_path / "source", files=5, large=2_000_000)
        for name in ("part0/file000.txt", "large.bin"):
            mode = (source / name).stat().st_mode
            (source / name).chmod(0)
            with pytest.raises(TransferError, match=f"{name}.*cannot be read"):
                await self.push(place, source)
            assert not (place.home / "work" / name).exists()
            assert (place.home / "work" / "part1" / "file001.txt").exists()
            (source / name).chmod(mode)
            await self.push(place, source)
            assert tree(place.home / "work") == tree(source)
            (place.home / "work" / "large.bin").unlink()

    async def test_a_folder_here_that_may_not_be_read(self, place: MachineFixture, tmp_path: Path) -> None:
        source = plant(tmp_path / "source", files=5, large=0)
        (source / "part1").chmod(0)
        with pytest.raises(TransferError, match=r"part1.*cannot be read"):
            await self.push(place, source)
        (source / "part1").chmod(0o755)

    async def test_a_target_here_that_may_not_be_written(self, place: MachineFixture, tmp_path: Path) -> None:
        out, home = plant(place.home / "out", files=3, large=2_000_000), tmp_path / "home"
        home.mkdir(mode=0o555)
        for target in (home, home / "below"):
            with pytest.raises(TransferError, match="cannot be written here"):
                await self.pull(place, "out", to=target)
        assert list(home.iterdir()) == []
        home.chmod(0o755)
        await self.pull(place, "out", to=home)
        assert tree(home / "out") == tree(out)

    async def test_a_file_here_that_may_not_be_overwritten(
        self, place: MachineFixture, tmp_path: Path
    ) -> None:
        out, home = plant(place.home / "out", files=3, large=0), tmp_path / "home"
        await self.pull(place, "out", to=home)
        old = tree(home / "out")
        (out / "part1" / "file001.txt").write_text("another text")
        (home / "out" / "part1").chmod(0o555)
        with pytest.raises(TransferError, match=r"part1/file001\.txt cannot be written here"):
            await self.pull(place, "out", to=home)
        assert tree(home / "out") == old
        (home / "out" / "part1").chmod(0o755)
        (home / "out" / "part1" / "file001.txt").chmod(0o400)  # of a file its folder alone decides
        await self.pull(place, "out", to=home)
        assert tree(home / "out") == tree(out)

    async def test_a_disk_here_that_is_full(self, place: MachineFixture, tmp_path: Path) -> None:
        home = Path(os.environ.get("GPURENT_SMALL_DISK", ""))
        if not home.is_absolute():
            pytest.skip("no small disk here; `run_as_ordinary_user` makes one")
        out = plant(place.home / "out", files=40, large=0)
        (out / "z too large.bin").write_bytes(os.urandom(12_000_000))
        with pytest.raises(TransferError, match="the disk of this computer is full"):
            await self.pull(place, "out", to=home)
        assert not (home / "out" / "z too large.bin").exists()
        whole: dict[str, Any] = tree(out)
        assert all(what == whole[name] for name, what in tree(home / "out").items() if what[0] == "file")
