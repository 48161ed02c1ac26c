"""The contract of `gpurent.infra.platform`, which each system's implementation passes.

This file is also run by Windows' own Python and under the fake Windows (`tests/windows`), so it uses nothing of this
repository's configuration of pytest, and of systems only what all have.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gpurent.composition.system import default_data_folder
from gpurent.domain.name_policy import is_reserved_by_windows
from gpurent.errors import UsageError
from gpurent.infra.platform import file_locks, system, terminal
from gpurent.infra.platform.local_files import make_local_files
from gpurent.ports.local_files import LINK_ERRORS

IS_WINDOWS = sys.platform == "win32" or "FAKE_WINDOWS" in os.environ
HOLDER = """
import sys, time
from pathlib import Path
from gpurent.infra.platform.file_locks import FileLocks
print(FileLocks(Path(sys.argv[1])).take("one") is not None, flush=True)
time.sleep(60)
"""


def share(path: Path) -> None:
    """Let everybody read a file or a folder."""
    if sys.platform == "win32":
        from gpurent.infra.platform.windows import api

        api.set_access(str(path), f"D:P(A;;FA;;;{api.get_user_sid()})(A;;FR;;;WD)")
    else:
        path.chmod(path.stat().st_mode | 0o044)


def can_link(folder: Path) -> bool:
    try:
        (folder / "probe").symlink_to("nowhere")
    except (OSError, NotImplementedError):
        return False
    if not (folder / "probe").is_symlink():  # Wine says that it made one
        return False
    (folder / "probe").unlink()
    return True


@contextmanager
def running_python(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# Locks


def test_a_lock_is_given_once(tmp_path: Path) -> None:
    locks = file_locks.FileLocks(tmp_path / "locks")
    held = locks.take("one")
    assert held is not None
    assert locks.take("one") is None
    other = locks.take("two")
    assert other is not None
    other.release()
    held.release()
    again = locks.take("one")
    assert again is not None
    again.release()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    locks = file_locks.FileLocks(tmp_path / "locks")
    with running_python("-c", HOLDER, str(tmp_path / "locks")) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "True"
        assert locks.take("one") is None
    until = time.monotonic() + 10
    while (found := locks.take("one")) is None and time.monotonic() < until:
        time.sleep(0.05)
    assert found is not None
    found.release()


def test_a_waiting_lock_is_given_when_it_is_free(tmp_path: Path) -> None:
    order: list[str] = []

    def wait() -> None:
        with file_locks.hold_file_lock(tmp_path / "lock"):
            order.append("second")

    with file_locks.hold_file_lock(tmp_path / "lock"):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


# Private files


def test_a_private_folder_is_private(tmp_path: Path) -> None:
    made = system.make_private_folder(tmp_path / "a" / "b")
    assert made.is_dir()
    assert system.make_private_folder(made) == made
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        system.make_private_folder(tmp_path / "file")
    share(made)
    with pytest.raises(UsageError, match="accessible to other users"):
        system.make_private_folder(made)


def test_a_private_file_is_private_and_whole(tmp_path: Path) -> None:
    folder = system.make_private_folder(tmp_path / "own")
    path = folder / "vault"
    with pytest.raises(FileNotFoundError):
        system.read_private_file(path)
    system.write_private_file(path, b"one")
    system.write_private_file(path, b"two\r\n\x1a")
    assert system.read_private_file(path) == b"two\r\n\x1a"
    assert not system.is_shared(path)
    assert [one.name for one in folder.iterdir()] == ["vault"]


def test_a_private_file_is_private_in_an_open_folder(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    share(folder)
    system.write_private_file(folder / "one", b"1")
    system.write_new_private_file(folder / "two", b"2")
    system.create_private_file(folder / "three")
    os.close(system.open_appending(folder / "four"))
    assert [name for name in ("one", "two", "three", "four") if system.is_shared(folder / name)] == []


def test_a_shared_file_is_not_read(tmp_path: Path) -> None:
    folder = system.make_private_folder(tmp_path / "own")
    path = folder / "vault"
    system.write_private_file(path, b"one")
    share(path)
    assert system.is_shared(path)
    with pytest.raises(UsageError, match="accessible to other users") as raised:
        system.read_private_file(path)
    assert str(path) in raised.value.hint
    assert system.make_private(path)
    assert not system.make_private(path)
    assert system.read_private_file(path) == b"one"


def test_a_folder_or_a_link_is_no_private_file(tmp_path: Path) -> None:
    folder = system.make_private_folder(tmp_path / "own")
    (folder / "folder").mkdir()
    with pytest.raises((UsageError, OSError)):
        system.read_private_file(folder / "folder")
    if can_link(folder):
        system.write_private_file(folder / "real", b"x")
        (folder / "link").symlink_to(folder / "real")
        with pytest.raises(UsageError):
            system.read_private_file(folder / "link")
        with pytest.raises(OSError):  # noqa: PT011 - of many kinds
            system.open_appending(folder / "link")


def test_a_new_private_file_replaces_nothing(tmp_path: Path) -> None:
    path = system.make_private_folder(tmp_path / "own") / "page"
    system.write_new_private_file(path, b"one")
    with pytest.raises(FileExistsError):
        system.write_new_private_file(path, b"two")
    assert path.read_bytes() == b"one"
    assert [one.name for one in path.parent.iterdir()] == ["page"]


def test_notes_are_appended(tmp_path: Path) -> None:
    path = system.make_private_folder(tmp_path / "own") / "notes"
    for data in (b"a\n", b"b\n"):
        handle = system.open_appending(path)
        os.write(handle, data)
        os.close(handle)
    assert path.read_bytes() == b"a\nb\n"


def test_a_file_that_another_program_reads_is_replaced(tmp_path: Path) -> None:
    """W7: where an open file cannot be replaced, a scanner that lets it go soon is waited for."""
    path = system.make_private_folder(tmp_path / "own") / "config"
    system.write_private_file(path, b"old")
    reader = path.open("rb")
    timer = threading.Timer(0.3, reader.close)
    timer.start()
    system.write_private_file(path, b"new")
    timer.join()
    reader.close()
    assert path.read_bytes() == b"new"


def test_a_read_only_file_is_replaced(tmp_path: Path) -> None:
    path = system.make_private_folder(tmp_path / "own") / "config"
    system.write_private_file(path, b"old")
    path.chmod(stat.S_IREAD)
    system.write_private_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_own_files_have_our_number(tmp_path: Path) -> None:
    path = system.make_private_folder(tmp_path / "own") / "file"
    system.write_private_file(path, b"")
    assert system.is_own_file(path)
    handle = system.open_settings_file(path)
    try:
        assert system.find_file_owner(handle) == system.get_user_number()
    finally:
        os.close(handle)
    assert system.find_user_name(system.get_user_number())
    assert system.get_computer_name() or IS_WINDOWS


# Processes


def test_a_process_is_looked_at_and_not_touched() -> None:
    with running_python("-c", "import time; print('up', flush=True); time.sleep(60)") as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert system.is_process_running(process.pid)
        time.sleep(0.3)
        assert process.poll() is None, "a look ended it"
    assert not system.is_process_running(process.pid)
    assert system.is_process_running(os.getpid())


# Files below a folder


def test_a_file_arrives_under_its_name(tmp_path: Path) -> None:
    with closing(make_local_files().open_tree(tmp_path / "new", create=True)) as tree:
        with (
            tree.open_folder(("part",), create=True) as partials,
            tree.open_folder(("a", "b"), create=True) as folder,
        ):
            handle = partials.create_file("x", must_be_new=True)
            tree.write_at(handle, memoryview(b"world\n"), 6)
            tree.write_at(handle, memoryview(b"hello "), 0)
            assert tree.read_at(handle, 100, 0) == b"hello world\n"
            assert tree.read_at(handle, 100, 12) == b""
            time_ns = 1_600_000_000_000_001_000
            tree.set_status(handle, 0o644, time_ns)
            partials.move_entry("x", folder, "y.txt")
            os.close(handle)
            found = folder.stat_entry("y.txt")
            assert (found.st_size, found.st_mtime_ns) == (12, time_ns)
            assert [entry.name for entry in folder.list_entries()] == ["y.txt"]
            assert tree.count_stored_bytes(found) >= 0
        with tree.open_folder(()) as root:
            root.delete_folder("part")
        assert tree.measure_free_bytes() > 0
    assert (tmp_path / "new" / "a" / "b" / "y.txt").read_bytes() == b"hello world\n"


def test_a_file_is_replaced_and_a_folder_is_not(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "old").write_text("old")
    with closing(make_local_files().open_tree(tmp_path)) as tree, tree.open_folder(()) as root:
        for target in ("old", "folder"):
            os.close(root.create_file("new"))
            try:
                root.move_entry("new", root, target)
            except OSError:
                assert target == "folder"
            else:
                assert target == "old"
    assert (tmp_path / "old").read_text() == ""
    assert (tmp_path / "folder").is_dir()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\0b"])
def test_a_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    opened = make_local_files().open_tree(tmp_path / "t", create=True)
    with closing(opened) as tree, pytest.raises((OSError, ValueError)):
        tree.open_folder((name,), create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


@pytest.mark.parametrize(
    "name", ["a\\b", "..\\up", "c:x", "a:stream", "aux", "nul.txt", "end.", "end ", "a*b", 'q"q']
)
def test_what_windows_takes_for_something_else_is_refused_there(tmp_path: Path, name: str) -> None:
    """W1: also by what opens files, whoever judged the name before."""
    assert is_reserved_by_windows(name)
    if not IS_WINDOWS:
        return
    with closing(make_local_files().open_tree(tmp_path / "t", create=True)) as tree:
        with tree.open_folder(()) as root, pytest.raises(OSError, match="Invalid"):
            os.close(root.create_file(name))
        with pytest.raises(OSError, match="Invalid"):
            tree.open_folder((name,), create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "file").write_text("secret")
    (tmp_path / "root").mkdir()
    if not can_link(tmp_path):
        pytest.skip("links cannot be made here")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "away", target_is_directory=True)
    (tmp_path / "root" / "file").symlink_to(tmp_path / "away" / "file")
    with closing(make_local_files().open_tree(tmp_path / "root")) as tree:
        with pytest.raises(OSError) as raised:  # noqa: PT011 - its number is looked at
            tree.open_folder(("link",))
        assert raised.value.errno in LINK_ERRORS
        with tree.open_folder(()) as root:
            for open_it in (root.open_file, root.create_file):
                with pytest.raises(OSError):  # noqa: PT011 - of many kinds
                    open_it("file")
            assert stat.S_ISLNK(root.stat_entry("link").st_mode)
            assert not any(entry.is_dir(follow_symlinks=False) for entry in root.list_entries())
    assert (tmp_path / "away" / "file").read_text() == "secret"


def test_permissions_on_a_machine(tmp_path: Path) -> None:
    """W4: a file of Windows is not writable for everybody there, and a script can run."""
    (tmp_path / "run").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "data").write_bytes(b"1")
    (tmp_path / "sub").mkdir()
    if sys.platform != "win32":
        (tmp_path / "run").chmod(0o755)
        (tmp_path / "data").chmod(0o644)
        (tmp_path / "sub").chmod(0o755)
    with closing(make_local_files().open_tree(tmp_path)) as tree, tree.open_folder(()) as root:
        modes = {
            name: root.find_mode(name, stat.S_IMODE(root.stat_entry(name).st_mode))
            for name in ("run", "data", "sub")
        }
    assert modes == {"run": 0o755, "data": 0o644, "sub": 0o755}


def test_many_folders_at_once(tmp_path: Path) -> None:
    with closing(make_local_files().open_tree(tmp_path / "t", create=True)) as tree:
        for number in range(200):
            with tree.open_folder((f"d{number % 7}", f"e{number}"), create=True) as folder:
                os.close(folder.create_file("f"))
    assert len(list((tmp_path / "t").rglob("f"))) == 200


# The terminal


async def test_input_comes_piece_by_piece() -> None:
    reader, writer = os.pipe()
    try:
        waiting = asyncio.create_task(terminal.read_input(reader, 100))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.wait([waiting])
        os.write(writer, b"one\n")
        assert await terminal.read_input(reader, 100) == b"one\n"
        os.close(writer)
        assert await terminal.read_input(reader, 100) == b""
    finally:
        os.close(reader)


async def test_ctrl_c_asks_to_stop() -> None:
    found: list[int] = []
    with terminal.handle_stop_signals(found.append):
        signal.raise_signal(signal.SIGINT)
        for _turn in range(50):
            if found:
                break
            await asyncio.sleep(0.05)
    assert found == [signal.SIGINT]


async def test_what_is_no_terminal_is_left_alone() -> None:
    reader, writer = os.pipe()
    try:
        with terminal.raw_terminal(reader), terminal.watch_size(lambda columns, lines: None):
            await asyncio.sleep(0)
    finally:
        os.close(reader)
        os.close(writer)


# Names and places


def test_the_rules_for_names_are_true(tmp_path: Path) -> None:
    rules = system.read_file_system_rules(tmp_path / "missing" / "folder")
    (tmp_path / "Case").touch()
    if (tmp_path / "case").exists():
        assert rules.ignores_case
    assert rules.windows_names == IS_WINDOWS
    assert [path.name for path in tmp_path.iterdir()] == ["Case"]


def test_the_data_folder_is_named_once() -> None:
    assert [part for part in default_data_folder().parts if part == "gpurent"] == ["gpurent"]
