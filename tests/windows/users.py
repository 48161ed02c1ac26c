"""Users of gpurent on Windows: with the fake Windows, and with Windows' own Python under Wine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from attrs import frozen

from gpurent.testing.shared_sandbox import CommandLineResult, CommandLineUser
from tests.own_python import get_packages, list_sources, make_python

FAKE = Path(__file__).parent / "fake"
COMMAND_SECONDS = 180


class WindowsUser(Protocol):
    """``folder``: where the user works. ``home``: the data folder, as the test reads it."""

    @property
    def folder(self) -> Path: ...
    @property
    def home(self) -> Path: ...
    def make_command(self, *arguments: str) -> list[str]:
        """Return the command line that runs Python with ``arguments``."""

    @property
    def environment(self) -> Mapping[str, str]: ...
    def tell_path(self, path: Path) -> str:
        """Return ``path`` as the user writes it."""


def run_python(user: WindowsUser, *arguments: str, input_text: str = "", **more: str) -> CommandLineResult:
    """Run Python as the user; ``more``: further variables of the environment."""
    ran = subprocess.run(
        user.make_command(*arguments),
        cwd=user.folder,
        env={**user.environment, **more},
        input=input_text.encode(),
        capture_output=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    out, err = (text.decode("utf-8").replace("\r\n", "\n") for text in (ran.stdout, ran.stderr))
    return CommandLineResult(ran.returncode, out, err)


def run(user: WindowsUser, *arguments: str, input_text: str = "", **more: str) -> CommandLineResult:
    """Run the command line as the user."""
    return run_python(user, "-m", "gpurent", *arguments, input_text=input_text, **more)


@contextmanager
def running_python(user: WindowsUser, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python as the user beside the block, with its output in a pipe; it is killed afterwards."""
    process = subprocess.Popen(
        user.make_command(*arguments),
        cwd=user.folder,
        env=dict(user.environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@frozen
class FakeWindowsUser:
    """``python``: that of `make_fake_windows`."""

    python: Path
    folder: Path
    home: Path
    environment: Mapping[str, str]

    def make_command(self, *arguments: str) -> list[str]:
        return [str(self.python), *arguments]

    def tell_path(self, path: Path) -> str:
        return str(path)


def make_fake_windows(home: Path) -> Path:
    """Make a Python in ``home`` in whose modules of gpurent this is Windows; return its interpreter."""
    python = make_python(home, list_sources())
    packages = get_packages(home)
    for path in FAKE.glob("*.py"):
        (packages / path.name).symlink_to(path)
    # Not as sitecustomize: Debian's Python has one of its own, which comes first. After the files that add folders.
    (packages / "zz_fake_windows.pth").write_text("import fake_windows\n")
    return python


def make_fake_user(python: Path, user: CommandLineUser, folder: Path) -> FakeWindowsUser:
    folder.mkdir()
    environment = {"PATH": os.environ["PATH"], **user.environment, "GPURENT_LANG": ""}
    for name in ("LANG", "LC_ALL", "LC_MESSAGES"):  # Windows sets none of them
        environment.pop(name, None)
    return FakeWindowsUser(python, folder, Path(user.environment["GPURENT_HOME"]), environment)


@frozen
class WineUser:
    """``top``: what `scripts/windows_python.py` has made: ``python/python.exe`` and ``prefix``."""

    top: Path
    folder: Path
    home: Path
    environment: Mapping[str, str]

    def make_command(self, *arguments: str) -> list[str]:
        return ["wine", str(self.top / "python" / "python.exe"), *arguments]

    def tell_path(self, path: Path) -> str:
        return tell_windows_path(path)


def tell_windows_path(path: Path) -> str:
    """Return ``path`` as Wine shows it to its programs."""
    return "Z:" + str(path).replace("/", "\\")


def make_wine_user(top: Path, user: CommandLineUser, folder: Path, name: str) -> WineUser:
    """Return a user whose data folder is on Wine's own drive, so that nothing of Linux is in its path."""
    folder.mkdir()
    given = {key: text for key, text in user.environment.items() if key.startswith("GPURENT_")}
    given.pop("GPURENT_LANG")
    clock = Path(given["GPURENT_CLOCK"].removeprefix("file:"))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C.UTF-8",  # by which Wine reads the names of files
        "WINEPREFIX": str(top / "prefix"),
        "WINEDEBUG": "-all",
        **given,
        "GPURENT_HOME": rf"C:\gpurent\{name}",
        "GPURENT_STATE_HOME": rf"C:\gpurent\{name}-state",
        "GPURENT_CLOCK": "file:" + tell_windows_path(clock).replace("\\", "/"),
        "GPURENT_SANDBOX": tell_windows_path(Path(given["GPURENT_SANDBOX"])),
    }
    return WineUser(top, folder, top / "prefix" / "drive_c" / "gpurent" / name, environment)


def require(found: CommandLineResult, code: int = 0, words: Sequence[str] = ()) -> CommandLineResult:
    """Return the result of a command that must end with ``code`` and say all ``words``."""
    shown = f"{found.code}\n{found.out}\n{found.err}"
    assert found.code == code, shown
    assert all(word in found.out + found.err for word in words), shown
    return found
