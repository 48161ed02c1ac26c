"""Files below a folder: links are followed on the way to the folder and never below it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpurent.infra.platform.posix import local_files
from gpurent.infra.platform.posix.local_files import PosixFiles, PosixFileTree


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[PosixFileTree]:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    found = PosixFiles().open_tree(tmp_path / "root")
    yield found
    found.close()


def read(handle: int) -> bytes:
    with os.fdopen(handle, "rb") as file:
        return file.read()


def test_the_root_may_be_a_link_and_what_is_below_may_not(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "given").symlink_to("real")
    (tmp_path / "real" / "away").symlink_to("sub")
    tree = PosixFiles().open_tree(tmp_path / "given", ("sub",))
    assert tree.path == os.fsencode(tmp_path / "real" / "sub")
    tree.close()
    with pytest.raises(OSError) as caught:  # noqa: PT011 - by its number
        PosixFiles().open_tree(tmp_path / "given", ("away",), create=True)
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)


@pytest.mark.parametrize("name", [("link",), ("link", "deeper"), ("sub", "link"), ("file",), ("pipe",)])
@pytest.mark.parametrize("create", [False, True])
def test_a_folder_is_never_a_link_or_a_file(
    tree: PosixFileTree, tmp_path: Path, name: tuple[str, ...], create: bool
) -> None:
    root = tmp_path / "root"
    (root / "link").symlink_to("../outside")
    (root / "sub").mkdir()
    (root / "sub" / "link").symlink_to(tmp_path / "outside")
    (root / "file").touch()
    os.mkfifo(root / "pipe")
    with pytest.raises(OSError) as caught:  # noqa: PT011 - by its number
        tree.open_folder(name, create=create)
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret"]


@pytest.mark.parametrize("base", ["..", ".", "", "a/b", b"..", b"../outside"])
def test_a_component_is_one_name(tree: PosixFileTree, base: str | bytes) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        tree.open_folder((base,), create=True)


def test_no_method_of_a_folder_follows_a_link(tree: PosixFileTree, tmp_path: Path) -> None:
    secret = tmp_path / "outside" / "secret"
    (tmp_path / "root" / "link").symlink_to(secret)
    with tree.open_folder(()) as folder:
        for open_it in (folder.open_file, folder.create_file):
            with pytest.raises(OSError) as caught:  # noqa: PT011 - by its number
                open_it("link")
            assert caught.value.errno == errno.ELOOP
        assert folder.read_link("link") == os.fsencode(secret)
        assert folder.stat_entry("link").st_size == len(os.fsencode(secret))
        os.close(folder.create_file(b"new", must_be_new=True))
        folder.move_entry("new", folder, "link")
        assert not folder.stat_entry("link").st_size
        folder.delete_file("link")
    assert secret.read_text() == "secret"


def test_the_folder_stays_the_same_when_a_link_takes_its_place(tree: PosixFileTree, tmp_path: Path) -> None:
    with tree.open_folder(("sub",), create=True) as folder:
        (tmp_path / "root" / "sub").rename(tmp_path / "root" / "moved")
        (tmp_path / "root" / "sub").symlink_to("../outside")
        os.close(folder.create_file("file"))
    assert (tmp_path / "root" / "moved" / "file").exists()
    assert not (tmp_path / "outside" / "file").exists()


def test_few_folders_stay_open_and_those_in_use_do(
    tree: PosixFileTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_files, "_MAX_OPEN_FOLDERS", 3)
    with tree.open_folder(("used",), create=True) as used:
        for number in range(10):
            with tree.open_folder((str(number),), create=True) as folder:
                assert folder.handle >= 0
        assert len(tree._folders) == 3
        os.close(used.create_file("file"))
    assert [entry.name for entry in tree.open_folder(()).list_entries()][-1] == "used"


def test_after_the_end_nothing_is_found(tmp_path: Path) -> None:
    tree = PosixFiles().open_tree(tmp_path / "new" / "root", (b"below",), create=True)
    folder = tree.open_folder(("a",), create=True)
    tree.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        folder.create_file("file")


def test_threads_share_a_tree(tree: PosixFileTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_files, "_MAX_OPEN_FOLDERS", 2)
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for at in range(200):
                with tree.open_folder((str(at % 7),), create=True) as folder:
                    base = f"{number}-{at}"
                    handle = folder.create_file(base, must_be_new=True)
                    os.write(handle, base.encode())
                    os.close(handle)
                    assert read(folder.open_file(base)) == base.encode()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
