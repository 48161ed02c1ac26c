"""Contract tests for links, pushed and pulled: recreated where safe, never followed, else skipped and reported."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from gpurent.domain.transfer import SkipKind
from gpurent.testing.contracts.file_trees import PARTIALS_FOLDER, make_tree, read_tree
from gpurent.testing.contracts.transfer_base import TransferContractBase
from gpurent.testing.ssh_fixture import MachineFixture

SAFE_LINKS = {"part0/up": "../part1", "dangling": "no/where", "itself": ".", "hop": "part0/up/file001.txt"}
UNSAFE_LINKS = {
    "absolute": "/etc/passwd",
    "out": "../elsewhere",
    "deep/out": "../../elsewhere",
    "winding": "part0/../../elsewhere",
    "through": "part0/up/../../..",
    "control": "part0/\x1b[2J",
}


def make_links(folder: Path, links: dict[str, str]) -> Path:
    for name, target in links.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(target)
    return folder


class LinkContract(TransferContractBase):
    """Contract tests of a transfer backend for links."""

    async def test_links_are_pushed(self, remote: MachineFixture, tmp_path: Path) -> None:
        source = make_tree(tmp_path / "source", files=3, large=0)
        (source / "part0" / "up").symlink_to("../part1")
        (source / "out").symlink_to("/etc/passwd")
        (source / "dangling").symlink_to("nowhere")
        (source / "hard").hardlink_to(source / "part0" / "file000.txt")
        report = await self.push(remote, source)
        remote_path = remote.home / "work"
        assert os.readlink(remote_path / "part0" / "up") == "../part1"
        assert os.readlink(remote_path / "dangling") == "nowhere"
        assert not os.path.lexists(remote_path / "out")
        assert [item.name for item in report.skipped] == ["out"]
        assert (remote_path / "hard").read_bytes() == (source / "hard").read_bytes()

    async def test_links_that_stay_inside_are_pulled(self, remote: MachineFixture, tmp_path: Path) -> None:
        out = make_links(
            make_links(make_tree(remote.home / "out", files=3, large=0), SAFE_LINKS), UNSAFE_LINKS
        )
        os.mkfifo(out / "pipe")
        home = tmp_path / "home"
        report = await self.pull(remote, "out", to=home)
        assert {item.name for item in report.skipped} == {f"out/{name}" for name in (*UNSAFE_LINKS, "pipe")}
        found = read_tree(home / "out")
        assert {name: entry[1] for name, entry in found.items() if entry[0] == "link"} == SAFE_LINKS
        assert not set(found) & {*UNSAFE_LINKS, "pipe"}
        assert report.files == 4
        assert not (home / PARTIALS_FOLDER).exists()
        stamps = [(home / "out" / name).lstat().st_ino for name in SAFE_LINKS]
        await self.pull(remote, "out", to=home)
        assert stamps == [(home / "out" / name).lstat().st_ino for name in SAFE_LINKS]

    async def test_a_source_that_is_a_link_to_a_folder_is_followed_with_a_slash(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        make_tree(remote.home / "data" / "run7", files=3, large=0)
        (remote.home / "work").mkdir()
        (remote.home / "work" / "out").symlink_to("../data/run7")
        (remote.home / "data" / "run7" / "inner").symlink_to("/etc")
        report = await self.pull(remote, "work/out/", to=tmp_path / "home")
        assert (report.files, [item.kind for item in report.skipped]) == (4, [SkipKind.LINK])
        (remote.home / "data" / "run7" / "inner").unlink()
        assert read_tree(tmp_path / "home" / "out") == read_tree(remote.home / "data" / "run7")
        report = await self.pull(remote, "work/out", to=tmp_path / "other")
        assert (report.files, [item.kind for item in report.skipped]) == (0, [SkipKind.LINK])

    async def test_files_with_refused_names_are_reported_with_path_and_size(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        folder = remote.home / "work" / "out" / "b\u202ed"
        folder.mkdir(parents=True)
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("12345")
        (folder.parent / "bell\x07").write_text("123")
        (folder.parent / "good").write_text("1")
        report = await self.pull(remote, "work/out", to=tmp_path / "home")
        refused = {item.remote_path: item.size for item in report.skipped if item.remote_path}
        names = ("work/out/b\u202ed/deep/file", "work/out/bell\x07")
        assert refused == {quote(name): size for name, size in zip(names, (5, 3), strict=True)}
        assert [path.name for path in (tmp_path / "home" / "out").iterdir()] == ["good"]
        assert (report.files, report.total) == ((3, 9) if report.archive else (1, 1))

    async def test_links_between_sources_are_pulled(self, remote: MachineFixture, tmp_path: Path) -> None:
        one, two = remote.home / "one", remote.home / "two"
        for folder in (one, two):
            folder.mkdir()
            (folder / "f").write_text(folder.name)
        (one / "sister").symlink_to("../two/f")
        (one / "stranger").symlink_to("../three/f")
        (remote.home / "latest").symlink_to("one/f")
        report = await self.pull(remote, "one", "two", "latest", to=tmp_path / "home")
        assert (tmp_path / "home" / "one" / "sister").read_text() == "two"
        assert (tmp_path / "home" / "latest").read_text() == "one"
        assert [item.name for item in report.skipped] == ["one/stranger"]

    async def test_a_link_takes_the_place_of_a_file_but_not_of_a_folder(
        self, remote: MachineFixture, tmp_path: Path
    ) -> None:
        out, home = remote.home / "out", tmp_path / "home"
        out.mkdir()
        (out / "f").write_text("f")
        make_links(out, {"new": "f", "file": "f", "folder": "f"})
        (home / "out" / "folder").mkdir(parents=True)
        (home / "out" / "folder" / "mine").write_text("mine")
        (home / "out" / "file").write_text("a file")
        (home / "out" / "new").symlink_to(tmp_path)
        report = await self.pull(remote, "out", to=home)
        assert [item.name for item in report.skipped] == ["out/folder"]
        assert (home / "out" / "folder" / "mine").read_text() == "mine"
        assert os.readlink(home / "out" / "file") == os.readlink(home / "out" / "new") == "f"
        # A file also replaces a link, without writing through it.
        (out / "new").unlink()
        (out / "new").write_text("a file now")
        await self.pull(remote, "out", to=home)
        assert not (home / "out" / "new").is_symlink()
        assert ((home / "out" / "new").read_text(), (home / "out" / "f").read_text()) == ("a file now", "f")

    async def test_hard_links_are_pulled_as_copies(self, remote: MachineFixture, tmp_path: Path) -> None:
        out = make_tree(remote.home / "out", files=3)
        (out / "hard").hardlink_to(out / "part0" / "file000.txt")
        (out / "large too").hardlink_to(out / "large.bin")
        await self.pull(remote, "out", to=tmp_path / "home")
        assert read_tree(tmp_path / "home" / "out") == read_tree(out)
