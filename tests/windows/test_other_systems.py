"""What differs on Windows and macOS outside of the platform itself: outputs, folders, disks, sockets."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import platformdirs
import platformdirs.windows
import pytest

from gpurent.cli import main
from gpurent.composition.system import default_data_folder
from gpurent.infra import outer_folder
from gpurent.infra.platform.posix.system import write_private_file
from gpurent.infra.sqlite.database import Database
from tests.command_line import run_command

CHINESE = "\u673a\u5668\u5df2\u91ca\u653e \U0001f680"


class Stream(io.TextIOWrapper):
    """A pipe or a file whose encoding is that of Windows' code page."""

    def __init__(self, encoding: str, errors: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors=errors)


@pytest.mark.parametrize(("encoding", "errors"), [("cp1252", "strict"), ("gbk", "backslashreplace")])
def test_what_is_piped_on_windows_is_utf8(
    monkeypatch: pytest.MonkeyPatch, encoding: str, errors: str
) -> None:
    """W6."""
    out, err = Stream(encoding, errors), Stream(encoding, errors)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(main, "_SYSTEM", "win32")
    main._prepare_streams()
    for stream in (out, err):
        stream.write(CHINESE + "\udc80")
        stream.flush()
        assert stream.buffer.getvalue().decode("utf-8") == CHINESE + "?"  # type: ignore[attr-defined]


def test_the_data_folder_on_windows_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """W8: platformdirs puts a folder of the author above, who is called like the program."""

    def make_path(*names: Any, **options: Any) -> Path:
        return Path(platformdirs.windows.Windows(*names, **options)._append_parts("Local"))

    monkeypatch.setattr(platformdirs, "user_data_path", make_path)
    assert default_data_folder() == Path("Local") / "gpurent"


def test_the_copy_outside_of_the_data_folder_is_elsewhere_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outer_folder, "_SYSTEM", "win32")
    environment = {"LOCALAPPDATA": "/profile/Local", "APPDATA": "/profile/Roaming"}
    found = outer_folder.find_outer_path(Path("/profile/Local/gpurent"), "x.json", environment)
    assert found is not None
    assert found.parent == Path("/profile/Roaming/gpurent")


@pytest.mark.parametrize("kind", ["task", "launchd"])
def test_what_this_system_lacks_starts_no_guard(tmp_path: Path, kind: str) -> None:
    """W5."""
    environment = {"HOME": str(tmp_path), "GPURENT_HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"]}
    found = run_command("watch", "install", "--as", kind, environment=environment, folder=tmp_path)
    assert found.code == 2, found
    assert "the guard would not run" in found.err
    assert [path for path in tmp_path.rglob("*") if path.suffix in (".plist", ".xml", ".service")] == []
    shown = run_command("watch", "install", "--as", kind, "--print", environment=environment, folder=tmp_path)
    assert shown.code == 0, shown


@pytest.fixture
def full_syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As on macOS, where `fsync` alone does not reach the disk itself; what was synced as far as that."""
    synced: list[int] = []
    real = fcntl.fcntl

    def control(file: int, request: int, *more: Any) -> Any:
        if request != 51:
            return real(file, request, *more)
        synced.append(os.fstat(file).st_ino)
        return 0

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", control)
    return synced


def test_private_files_reach_the_disk_on_macos(tmp_path: Path, full_syncs: list[int]) -> None:
    """M2: the vault, the copies of leases, the records."""
    write_private_file(tmp_path / "vault.json", b"secret")
    assert full_syncs == [(tmp_path / "vault.json").stat().st_ino, tmp_path.stat().st_ino]


def test_a_disk_that_knows_no_full_sync_is_synced_all_the_same(
    tmp_path: Path, full_syncs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_given: Any) -> Any:
        raise OSError(errno.ENOTSUP, "a network's disk")

    synced: list[int] = []
    monkeypatch.setattr(fcntl, "fcntl", refuse)
    monkeypatch.setattr(os, "fsync", synced.append)
    write_private_file(tmp_path / "vault.json", b"secret")
    assert len(synced) == 2


def test_the_ledger_reaches_the_disk_on_macos(tmp_path: Path) -> None:
    """M2: SQLite asks for it itself, where there is such a thing."""
    database = Database(tmp_path / "journal.sqlite")
    try:
        assert database.fetch_rows("PRAGMA fullfsync") == [(1,)]
    finally:
        database.close()


TUNING = """
import _socket, socket
del _socket.TCP_INFO, _socket.TCP_QUICKACK
from gpurent_plugin_turbo.near.connection.tcp_tuning import SOCKET_TUNER
server = socket.create_server(("127.0.0.1", 0))
ours = socket.create_connection(server.getsockname())
tuned = SOCKET_TUNER.tune_descriptor(ours.fileno())
assert tuned.rtt == 0 and tuned.read_slow_start_window() == 0 and tuned.is_lossy()
assert SOCKET_TUNER._thread is None, "nothing is to be tuned"
SOCKET_TUNER.release_socket(tuned)
process = SOCKET_TUNER.tune_process(1, 22)
SOCKET_TUNER.release_socket(process)
ours.close()
server.close()
"""


def test_a_transfer_on_macos_asks_for_nothing_that_linux_alone_has() -> None:
    """M1."""
    ran = subprocess.run([sys.executable, "-c", TUNING], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
