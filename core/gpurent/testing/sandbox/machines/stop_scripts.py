"""Stop scripts: files in a machine that tell the driver to stop it."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from gpurent.testing.sandbox.machines.programs import MACHINE_FILES, write_program


class StopPipe:
    """A named pipe through which a script inside the machine signals the driver. Calls ``on_stop`` once."""

    def __init__(self, path: Path, on_stop: Callable[[], None]) -> None:
        self.path = path
        self._on_stop = on_stop
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        os.mkfifo(path, 0o600)
        # Opened read-write, so that there is never an end of file and no writer blocks.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._fd, self._on_written)

    def close(self) -> None:
        """Stop listening. Idempotent."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
            self.path.unlink(missing_ok=True)

    def _on_written(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 4096)
        asyncio.get_running_loop().remove_reader(self._fd)
        self._on_stop()


def make_stop_script(stop_pipe_path: str) -> str:
    """Return the text of a stop script; ``stop_pipe_path`` is the pipe's path inside the machine."""
    return (MACHINE_FILES / "stop.sh").read_text().replace("@BELL@", stop_pipe_path)


def write_home_scripts(scripts: tuple[str, ...], home: Path, stop_pipe_path: str) -> None:
    """Write the scripts in the home folder; those with absolute paths are written by the driver."""
    for script in scripts:
        if script.startswith("~/"):
            write_program(home / script[2:], make_stop_script(stop_pipe_path))
