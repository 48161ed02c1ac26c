"""Small machines: a home, a shell, and only the programs that they are given."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from gpurent.api import GpurentError, PullRequest, PushRequest, TransferUnsupported, UnavailableError
from gpurent.testing.contracts.file_trees import ODD_NAMES, make_tree
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.local_files import open_sources, open_target
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection
from gpurent_plugin_turbo.posix.pull import PosixPuller
from gpurent_plugin_turbo.posix.push import PosixPusher
from gpurent_plugin_turbo.posix.scripts import START_COMMAND
from gpurent_plugin_turbo.shared.wire import FrameStream

TOOLS = (
    *("cat", "chmod", "cksum", "dd", "df", "find", "gzip", "head", "ln", "mkdir", "mv", "readlink", "rm"),
    *("rmdir", "sha256sum", "stat", "tar", "touch", "wc"),
)
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]


class LocalShell(CommandConnection):
    """A process on this computer with its own home and only the programs that it is given."""

    def __init__(self, home: Path, tools: Path) -> None:
        self._process = subprocess.Popen(
            [tools / "sh", "-c", START_COMMAND],
            cwd=home,
            env={"PATH": str(tools)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.frames = FrameStream(self._process.stdout.fileno(), self._process.stdin.fileno())

    def abort(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self.abort()
        self._process.communicate()

    def explain_end(self) -> GpurentError:
        if self._process.wait() == 127:
            return TransferUnsupported("no python3")
        return UnavailableError("cut", retryable=True)


class MinimalMachine:
    def __init__(self, root: Path, shell: str, *missing: str) -> None:
        self.home, self.tools = root / "home", root / "tools"
        self.home.mkdir()
        self.tools.mkdir()
        for name in {*TOOLS} - {*missing}:
            found = shutil.which("busybox" if shell == "busybox" else name)
            assert found is not None
            (self.tools / name).symlink_to(found)
        (self.tools / "sh").symlink_to(shutil.which(shell) or "")

    def open_shell(self, first: bool) -> LocalShell:
        return LocalShell(self.home, self.tools)

    def push(self, source: Path, target: str = "work", **more: object) -> object:
        request = PushRequest(sources=(source,), target=target, **{"contents_only": True, **more})  # type: ignore[arg-type]
        return PosixPusher(request, open_sources(request), CountingProgress(), self.open_shell).run()

    def pull(self, to: Path, *sources: str) -> object:
        request = PullRequest(sources=sources or ("work",), target=to)
        return PosixPuller(request, open_target(request), CountingProgress(), self.open_shell).run()


def make_odd_tree(folder: Path) -> Path:
    """Create a project with everything that is hard to transfer."""
    make_tree(folder, files=12, large=2_500_000)
    for name in ODD_NAMES:
        (folder / name).write_text(name)
        (folder / "part1" / name).write_text(f"two {name}")
    (folder / "dir\n$(touch x)'" / "-r").mkdir(parents=True)
    (folder / "dir\n$(touch x)'" / "-r" / "f").write_text("f")
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff")).write_text("x")
    (folder / "up").symlink_to("part1/../part2")
    (folder / "li\nnk").symlink_to("-rf\n")
    (folder / "way").symlink_to("part2/back\\slash $(touch x)' ")
    (folder / "part1" / "around").symlink_to("../-rf")
    (folder / "broken").symlink_to("part2\n")
    (folder / "hard").hardlink_to(folder / "large.bin")
    with (folder / "sparse").open("wb") as file:
        file.truncate(16_000_000)
        file.seek(8_000_000)
        file.write(b"middle")
    return folder
