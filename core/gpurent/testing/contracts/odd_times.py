"""Contract tests for files whose mtimes few programs write: before 1970, or after 2106 and 2262."""

from __future__ import annotations

import os
from pathlib import Path

from gpurent.testing.contracts.file_trees import read_tree
from gpurent.testing.contracts.transfer_base import TransferContractBase
from gpurent.testing.ssh_fixture import MachineFixture

_NS = 10**9
ODD_TIMES = {
    "year-1833": -(1 << 32) * _NS,
    "year-1969": -3 * _NS // 2,
    "epoch": 0,
    "year-2106": ((1 << 32) + 5) * _NS + 250_000_000,
    "year-2128": 5 * 10**9 * _NS,
    "year-2286": 10**10 * _NS,
    "year-318857": 10**13 * _NS,
}


def make_odd_files(folder: Path) -> Path:
    """Make a small and a large file of each time."""
    folder.mkdir(parents=True)
    for name, stamp in ODD_TIMES.items():
        for path, size in ((folder / name, 5), (folder / f"{name}.large", (1 << 20) + 7)):
            path.write_bytes(os.urandom(size))
            os.utime(path, ns=(stamp, stamp))
    return folder


def read_contents(folder: Path) -> dict[str, object]:
    return {name: entry[-1] for name, entry in read_tree(folder).items()}


class OddTimesContract(TransferContractBase):
    """Contract tests of a transfer backend for odd mtimes."""

    async def test_files_of_odd_times_are_pushed_once(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_odd_files(tmp_path / "source")
        await self.push(remote, source)
        assert read_contents(remote.home / "work") == read_contents(source)
        again = await self.push(remote, source)
        assert (again.sent, again.resumed) == (0, again.total)
        (source / "year-2286").write_text("edited")
        os.utime(source / "year-2286", (3e10, 3e10))
        await self.push(remote, source)
        assert read_contents(remote.home / "work") == read_contents(source)

    async def test_files_of_odd_times_are_pulled_once(self, remote: MachineFixture, tmp_path: Path) -> None:
        out, home = make_odd_files(remote.home / "out"), tmp_path / "home"
        await self.pull(remote, "out", to=home)
        assert read_contents(home / "out") == read_contents(out)
        again = await self.pull(remote, "out", to=home)
        assert again.resumed == again.total
        (out / "year-1969").write_text("edited")
        os.utime(out / "year-1969", (-5e8, -5e8))
        await self.pull(remote, "out", to=home)
        assert read_contents(home / "out") == read_contents(out)
