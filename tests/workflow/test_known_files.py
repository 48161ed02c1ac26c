"""Where arriving files and links go, when something of their name is here already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from attrs import frozen

from gpurent.api import RemoteState, SafeDir
from gpurent.domain.transfer import SkipKind, TransferReport, sum_reports
from gpurent.infra.transferred_files import TransferredFileNotes
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.workflow.connection.known_files import DownloadableFiles, KnownFilesMaker, UploadedFiles

TIME = 1_600_000_000 * 10**9
BESIDE = "f.from-machine"
FOLDER = "gpurent/t1129-abcde"


@frozen
class LocalFolder:
    """A folder, and the notes of the transfers with one machine."""

    folder: Path
    maker: KnownFilesMaker

    @contextmanager
    def open_download(self) -> Iterator[tuple[SafeDir, DownloadableFiles]]:
        with (
            self.maker.open_downloadable("lease-1", (FOLDER,)) as known,
            closing(SafeDir(LOCAL_FILES.open_tree(self.folder, create=True), known)) as target,
        ):
            yield target, known

    def receive(self, name: str, text: str, *, large: bool = False) -> dict[str, str]:
        """Let a file arrive; return what was kept, and where the machine's version is."""
        data = memoryview(text.encode())
        with self.open_download() as (target, known):
            parts = tuple(os.fsencode(name).split(b"/"))
            if large:
                handle, _ = target.open_partial(parts, b"0" * 33, len(data))
                target.write_partial(parts, handle, data, 0)
                target.commit_partial(parts, b"0" * 33, handle, 0o644, TIME)
                os.close(handle)
            else:
                target.write_file(parts, data, 0o644, TIME)
            return list_kept(known.add_to_report(sum_reports(())))

    def receive_link(self, name: str, goal: str) -> bool:
        with self.open_download() as (target, _known):
            return target.make_symlink((name,), goal)

    def upload(self) -> None:
        """Note everything that is here as uploaded."""
        uploaded = UploadedFiles()
        for path in self.folder.rglob("*"):
            if path.is_symlink():
                uploaded.add_link(os.fsencode(path), os.fsencode(path.readlink()))
            elif path.is_file():
                status = path.stat()
                uploaded.add_file(os.fsencode(path), status.st_size, status.st_mtime_ns)
        self.maker.record_upload("lease-1", FOLDER, uploaded)

    def read(self) -> dict[str, str]:
        files = [path for path in self.folder.rglob("*") if path.is_symlink() or path.is_file()]
        return {
            str(path.relative_to(self.folder)): f"-> {path.readlink()}"
            if path.is_symlink()
            else path.read_text()
            for path in files
        }


def list_kept(report: TransferReport) -> dict[str, str]:
    return {item.name: item.beside for item in report.skipped if item.kind is SkipKind.KEPT}


@pytest.fixture
def here(tmp_path: Path) -> LocalFolder:
    folder = tmp_path / "project"
    folder.mkdir()
    return LocalFolder(folder, KnownFilesMaker(TransferredFileNotes(tmp_path / "notes")))


@pytest.mark.parametrize("large", [False, True])
def test_an_uploaded_file_is_replaced_until_it_is_edited(here: LocalFolder, large: bool) -> None:
    (here.folder / "f").write_text("mine")
    here.upload()
    assert here.receive("f", "first", large=large) == {}
    assert here.receive("f", "second", large=large) == {}
    (here.folder / "f").write_text("edited")
    assert here.receive("f", "third", large=large) == {"f": BESIDE}
    assert here.receive("f", "fourth", large=large) == {"f": BESIDE}
    assert here.read() == {"f": "edited", BESIDE: "fourth"}
    (here.folder / BESIDE).write_text("edited, too")
    assert here.receive("f", "fifth", large=large) == {"f": f"{BESIDE}-2"}
    assert here.read() == {"f": "edited", BESIDE: "edited, too", f"{BESIDE}-2": "fifth"}


@pytest.mark.parametrize("large", [False, True])
def test_an_unknown_file_is_kept_unless_it_has_the_same_content(here: LocalFolder, large: bool) -> None:
    (here.folder / "f").write_text("other")
    (here.folder / "g").write_text("equal")
    assert here.receive("f", "mine!", large=large) == {"f": BESIDE}
    assert here.receive("g", "equal", large=large) == {}
    assert here.receive("g", "newer", large=large) == {}
    assert here.read() == {"f": "other", BESIDE: "mine!", "g": "newer"}


def test_the_folder_may_be_named_through_a_link(here: LocalFolder, tmp_path: Path) -> None:
    (here.folder / "deep").mkdir()
    (here.folder / "deep" / "f").write_text("mine")
    (tmp_path / "link").symlink_to(here.folder)
    through = LocalFolder(tmp_path / "link", here.maker)
    through.upload()
    assert here.receive("deep/f", "new") == {}
    assert through.receive("deep/f", "newer") == {}


def test_what_is_here_already_does_not_arrive_again(here: LocalFolder) -> None:
    (here.folder / "f").write_text("edited")
    here.receive("f", "theirs")

    def has_file(size: int, time: int) -> tuple[bool, dict[str, str]]:
        remote = RemoteState(size, time, lambda status: (status.st_size, status.st_mtime_ns) == (size, time))
        with here.open_download() as (target, known):
            return target.has_file(("f",), remote), list_kept(known.add_to_report(sum_reports(())))

    assert has_file(6, TIME) == (True, {"f": BESIDE})
    assert has_file(6, TIME + 1) == (False, {})
    (here.folder / BESIDE).unlink()
    assert has_file(6, TIME) == (False, {}), "it was never here under its own name"
    (here.folder / "f").unlink()
    here.receive("f", "theirs")
    (here.folder / "f").write_text("edited again")
    assert has_file(6, TIME) == (True, {"f": ""}), "the machine has nothing new"


def test_no_place_is_given_twice(here: LocalFolder) -> None:
    for name in ("f", BESIDE):
        (here.folder / name).write_text("mine")
    here.upload()
    (here.folder / "f").write_text("edited")
    with here.open_download() as (target, known):
        target.write_file(("f",), memoryview(b"their f"), 0o644, TIME)
        target.write_file((BESIDE,), memoryview(b"their other"), 0o644, TIME)
        kept = list_kept(known.add_to_report(sum_reports(())))
    assert kept == {"f": BESIDE, BESIDE: f"{BESIDE}.from-machine"}
    assert here.read() == {"f": "edited", BESIDE: "their f", f"{BESIDE}.from-machine": "their other"}


@pytest.mark.parametrize("name", ["x" * 255, "名" * 85])
def test_a_long_name_is_cut(here: LocalFolder, name: str) -> None:
    (here.folder / name).write_text("mine")
    ((_kept, place),) = here.receive(name, "theirs").items()
    assert here.read() == {name: "mine", place: "theirs"}
    assert place.endswith(".from-machine")


def test_links_are_replaced_until_they_are_changed(here: LocalFolder) -> None:
    (here.folder / "l").symlink_to("a")
    (here.folder / "f").write_text("mine")
    here.upload()
    assert here.receive_link("l", "b")
    assert here.receive_link("l", "c")
    (here.folder / "l").unlink()
    (here.folder / "l").symlink_to("my own")
    assert not here.receive_link("l", "d")
    assert here.receive("l", "a file") == {"l": "l.from-machine"}
    (here.folder / "f").write_text("edited")
    assert not here.receive_link("f", "d")
    assert here.read() == {"l": "-> my own", "l.from-machine": "a file", "f": "edited"}


def test_a_machine_gives_back_only_what_was_sent_to_it(here: LocalFolder) -> None:
    """Two machines have the folder of one project: an edit that one of them has never seen is not its to replace."""
    project = "gpurent/t1129-model-0a1b2c3d"
    note = here.folder / "f"

    def upload(lease: str, text: str) -> None:
        note.write_text(text)
        uploaded = UploadedFiles()
        uploaded.add_file(os.fsencode(note), note.stat().st_size, note.stat().st_mtime_ns)
        here.maker.record_upload(lease, project, uploaded)

    def may_replace(lease: str, folder: str = project) -> bool:
        with here.maker.open_downloadable(lease, (folder,)) as known:
            return known.has_file(os.fsencode(note), note.stat().st_size, note.stat().st_mtime_ns)

    for lease in ("lease-1", "lease-2"):
        upload(lease, "one")
    upload("lease-1", "edited")
    assert may_replace("lease-1")
    assert may_replace("lease-1", "elsewhere"), "a path may lead to any folder of the machine"
    assert not may_replace("lease-2")
    assert not may_replace("lease-2", f"{project}/sub")
