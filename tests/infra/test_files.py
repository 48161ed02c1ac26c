"""Files that hold secrets: private from the start, complete or absent."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpurent.errors import StorageError, UsageError
from gpurent.infra.platform.posix.system import (
    delete_partial_files,
    make_private_folder,
    read_private_file,
    write_private_file,
)


def get_mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_folder_and_file_are_private_even_with_an_open_umask(tmp_path: Path) -> None:
    folder = make_private_folder(tmp_path / "a" / "home")
    write_private_file(folder / "key", b"x")
    assert get_mode(folder) == 0o700
    assert get_mode(folder.parent) == 0o700, "it may be asked for next"
    assert get_mode(folder / "key") == 0o600


@pytest.mark.parametrize("bits", [0o750, 0o705, 0o777, 0o710])
def test_a_folder_open_to_others_is_refused_with_the_command_that_mends_it(tmp_path: Path, bits: int) -> None:
    folder = tmp_path / "my home"
    folder.mkdir()
    folder.chmod(bits)
    with pytest.raises(UsageError) as caught:
        make_private_folder(folder)
    assert caught.value.hint == f"chmod 700 '{folder}'"
    folder.chmod(0o700)
    assert make_private_folder(folder) == folder


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_someone_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(UsageError, match="another user"):
        make_private_folder(folder)


@pytest.mark.parametrize("below", ["file", "file/deeper"])
def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((UsageError, StorageError), match=r"not a folder"):
        make_private_folder(tmp_path / below)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o644])
def test_a_file_open_to_others_is_not_read(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "key"
    write_private_file(path, b"x")
    path.chmod(bits)
    with pytest.raises(UsageError, match="accessible to other users") as caught:
        read_private_file(path)
    assert caught.value.hint == f"chmod 600 {path}"


def test_a_link_and_a_pipe_are_not_read(tmp_path: Path) -> None:
    write_private_file(tmp_path / "real", b"x")
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(UsageError, match="is a symbolic link"):
        read_private_file(tmp_path / "link")
    with pytest.raises(UsageError, match="not a regular file"):
        read_private_file(tmp_path / "pipe")


def test_writing_over_a_link_replaces_the_link_and_not_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "key").symlink_to("target")
    write_private_file(tmp_path / "key", b"new")
    assert (tmp_path / "target").read_bytes() == b"old"
    assert not (tmp_path / "key").is_symlink()
    assert read_private_file(tmp_path / "key") == b"new"


def test_an_error_while_writing_leaves_the_old_content_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private_file(path, b"old")
    with pytest.raises(TypeError):
        write_private_file(path, "no bytes")  # type: ignore[arg-type]
    assert read_private_file(path) == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["key"]


WRITER_SCRIPT = """
import sys
from pathlib import Path
from gpurent.infra.platform.posix.system import write_private_file
print("ready", flush=True)
for turn in range(1_000_000):
    write_private_file(Path(sys.argv[1]), (b"0 ", b"1 ")[turn % 2] * 50_000)
"""


def test_kill_9_while_writing_leaves_one_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "state[1]"
    wholes = {b"0 " * 50_000, b"1 " * 50_000}
    write_private_file(path, b"0 " * 50_000)
    leftovers = 0
    for turn in range(300):
        if turn >= 12 and leftovers:
            break
        with subprocess.Popen([sys.executable, "-c", WRITER_SCRIPT, path], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(0.002 + turn % 12 * 0.0007)
            child.kill()
        assert child.returncode == -signal.SIGKILL
        assert read_private_file(path) in wholes
        leftovers += len(list(tmp_path.iterdir())) - 1
        assert all(get_mode(found) == 0o600 for found in tmp_path.iterdir())
        delete_partial_files(path)
        assert [found.name for found in tmp_path.iterdir()] == ["state[1]"]
    assert leftovers > 0, "no kill came in the middle of a write: the test proves nothing"
